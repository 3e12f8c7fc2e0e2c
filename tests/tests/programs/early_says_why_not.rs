//! `Process::early` names the reason that there is no early template; what stands
//! in the way of a fork before `main` is in `unsafe_fork_is_refused.rs`.

use anyfork::{ErrorKind, Process};
use anyfork_tests::births::{program, succeed};
use anyfork_tests::{held, release};

const EARLY: &str = env!("CARGO_BIN_EXE_early");

#[test]
fn nothing_asks_for_it() {
    let error = Process::early().expect_err("no early template");
    assert_eq!(error.kind(), ErrorKind::TemplateGone);
    assert!(error.to_string().contains("#[anyfork::early]"), "{error}");
    release(held(Process::new().expect("a template")));
}

#[test]
fn the_fork_has_failed() {
    succeed(&mut program(EARLY, "without-forks"));
}

#[test]
fn it_has_died() {
    succeed(&mut program(EARLY, "default-dies"));
}

#[test]
fn its_descriptors_were_closed() {
    succeed(&mut program(EARLY, "daemon-closes"));
}

#[test]
fn this_is_a_worker() {
    let worker = Process::new().expect("a template").run("why").blocking();
    let exit = worker.expect("a worker").wait().expect("a status");
    assert!(exit.success());
}

#[anyfork::worker]
fn why() {
    let error = Process::early().expect_err("no early template");
    assert_eq!(error.kind(), ErrorKind::TemplateGone);
    assert!(error.to_string().contains("forked by anyfork"), "{error}");
}
