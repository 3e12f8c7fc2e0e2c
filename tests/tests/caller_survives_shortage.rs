//! A program that runs short of descriptors, or whose early template is killed,
//! gets errors of their kind. In programs of their own: the tests need theirs.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyfork_tests::bounded;
use nix::sys::resource::{Resource, setrlimit};

#[test]
fn a_killed_early_template_is_gone() {
    probe(&["early-template-killed"], |_| {});
}

#[test]
fn a_caller_with_a_full_descriptor_table_gets_an_error() {
    probe(&["caller-full"], |_| {});
}

#[test]
fn a_caller_without_room_for_the_answer_leaves_no_worker() {
    probe(&["caller-full-at-the-answer"], |_| {});
}

/// A descriptor with a high number, inherited, is one descriptor.
#[test]
fn a_template_counts_its_descriptors_and_not_their_numbers() {
    probe(&["many-at-once", "50"], |command| {
        let apply = || {
            // SAFETY: duplicates a descriptor to a number that is free.
            unsafe { libc::dup2(0, 240) };
            setrlimit(Resource::RLIMIT_NOFILE, 256, 256).map_err(Into::into)
        };
        // SAFETY: makes three system calls.
        unsafe { command.pre_exec(apply) };
    });
}

fn probe(what: &[&str], change: impl FnOnce(&mut Command)) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_probe"));
    change(command.args(what));
    let output = bounded(what[0], || command.output()).unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{what:?}: {}\n{text}",
        output.status
    );
}
