//! A template serves root and the user that it is itself, and refuses all others that
//! hold its socket: their launches fail with the reason, and it goes on serving.

use std::io;

use anyfork::{ErrorKind, Process};
use anyfork_tests::births::{program, serving, succeed};
use anyfork_tests::rights::{NOBODY, as_nobody, may_become_nobody};
use anyfork_tests::spares::{until_idle, warm};
use anyfork_tests::{bounded, held, new, release, template_of};

#[anyfork::early]
fn preload() {}

/// Asserts that nobody gets a process of this one.
fn must_refuse_nobody(process: &Process) {
    let errors = as_nobody(|| {
        let worker = process.fork().run("hold");
        let command = process.fork().exec("true").status();
        let output = process.fork().exec("true").output();
        let template = process.fork().send_arg("x").prepare();
        let handed_over = process.fork().send_arg("x").into_fd();
        [
            bounded("a launch", || worker.blocking().map(drop)),
            bounded("a command", || command.blocking().map(drop)),
            bounded("a command", || output.blocking().map(drop)),
            bounded("a template", || template.blocking().map(drop)),
            bounded("a template", || handed_over.map(drop)),
        ]
    });
    for error in errors {
        let error = error.expect_err("it is another user");
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        for words in ["of user 0", &format!("serve user {NOBODY}"), "keep_rights"] {
            assert!(error.to_string().contains(words), "{error}");
        }
        let error = io::Error::from(error);
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
    }
}

#[test]
fn a_template_of_ones_own() {
    if !may_become_nobody() {
        return;
    }
    for process in [
        Process::new_exec().unwrap(),
        new().env("NESTED", "1"),
        new().env("NESTED", "1").fork().send_arg("y"),
    ] {
        let template = serving(&process);
        must_refuse_nobody(&process);
        assert_eq!(serving(&process), template);
    }
}

#[test]
fn a_template_with_spares() {
    if !may_become_nobody() {
        return;
    }
    let (process, template) = warm(new(), 2);
    // A spare takes each request, and the template if there is none.
    for _ in 0..3 {
        must_refuse_nobody(&process);
    }
    until_idle(template, 2);
    let process = as_nobody(|| process.keep_warm(5));
    // It takes what comes one after the other.
    for _ in 0..3 {
        let worker = held(process.fork());
        assert_eq!(template_of(&worker), template);
        release(worker);
    }
    until_idle(template, 2);
}

#[test]
fn a_template_that_was_handed_over() {
    if !may_become_nobody() {
        return;
    }
    let fd = Process::new_exec().unwrap().into_fd().unwrap();
    let others = Process::from_fd(fd.try_clone().unwrap()).unwrap();
    must_refuse_nobody(&others);
    release(held(Process::from_fd(fd).unwrap()));
}

/// Another user's own template serves root, whose own it could be.
#[test]
fn root_is_served() {
    if !may_become_nobody() {
        return;
    }
    let process = new().uid(NOBODY).gid(NOBODY);
    let template = serving(&process);
    let worker = held(process.fork());
    assert_eq!(template_of(&worker), template);
    release(worker);
    as_nobody(|| release(held(process.fork())));
}

/// Where the program asks for it.
#[test]
fn a_program_that_keeps_its_rights_is_served() {
    if may_become_nobody() {
        succeed(&mut program(env!("CARGO_BIN_EXE_keeps_rights"), ""));
    }
}
