//! A command inherits the environment, the directory, the standard streams and the
//! attributes (umask, limits, …) that its caller has when it is started, not those of the template, which was
//! there before they changed: as std's does.
//!
//! Each test is a program of its own, for it changes what a whole process has;
//! there is one with an early template, and one whose template is exec'ed.

use std::fs;

use anyfork_tests::births::{Folder, program, run};

const WITH_AND_WITHOUT_EARLY: [&str; 2] = [
    env!("CARGO_BIN_EXE_inherits_now"),
    env!("CARGO_BIN_EXE_inherits_late"),
];

fn change(what: &str) {
    for path in WITH_AND_WITHOUT_EARLY {
        let folder = Folder::new(env!("CARGO_TARGET_TMPDIR"), what);
        let mut program = program(path, what);
        program.arg(&*folder).arg(env!("CARGO_BIN_EXE_tell"));
        // Its panics would go where its streams lead.
        let errors = folder.join("err");
        program.env("GIVEN", "at the start");
        let (status, text) = run(&mut program);
        let errors = fs::read_to_string(errors).unwrap_or_default();
        assert!(status.success(), "{what}: {status}\n{text}\n{errors:.2000}");
    }
}

#[test]
fn the_environment() {
    change("environment");
}

#[test]
fn where_programs_are_found() {
    change("path");
}

#[test]
fn the_directory() {
    change("directory");
}

#[test]
fn a_directory_that_was_removed() {
    change("removed-directory");
}

#[test]
fn the_streams() {
    change("streams");
}

#[test]
fn streams_that_the_caller_has_exchanged() {
    change("exchanged");
}

#[test]
fn streams_that_the_command_exchanges() {
    change("taken");
}

#[test]
fn a_stream_that_was_closed() {
    change("closed");
}

#[test]
fn the_umask() {
    change("umask");
}

#[test]
fn the_limits() {
    change("limits");
}

#[test]
fn the_nice_value() {
    change("nice value");
}

#[test]
fn the_processors() {
    change("processors");
}

#[test]
fn the_choice_when_memory_is_short() {
    change("oom_score_adj");
}

#[test]
fn the_ignored_signals() {
    change("ignored signals");
}

#[test]
fn attributes_but_for_those_that_a_preparation_has_changed() {
    change("prepared attributes");
}
