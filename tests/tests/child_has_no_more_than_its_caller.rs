//! A program that gives up rights has no child with more than it has: neither a
//! worker nor an external program, of a process that was made before or after. The
//! template that has more ends, and its spares do. What a child is, is compared with
//! what a child of std's is.
//!
//! Each test is a program of its own, once with an early template and once with one
//! that was exec'ed.

use anyfork_tests::births::{Folder, program, succeed};
use anyfork_tests::rights::{SYS_ADMIN, may, may_become_nobody};
use anyfork_tests::{has_ended, until};

/// Gives up what the program is told to, if this is root; gives what it prints.
fn give_up(what: &str) -> Vec<String> {
    if !may(SYS_ADMIN) {
        return Vec::new();
    }
    let texts = ["early", "exec"].map(|template| {
        let folder = Folder::new(env!("CARGO_TARGET_TMPDIR"), what);
        let mut program = program(env!("CARGO_BIN_EXE_gives_up"), what);
        succeed(program.arg(template).arg(&*folder))
    });
    texts.into()
}

#[test]
fn a_user() {
    if may_become_nobody() {
        give_up("user");
    }
}

#[test]
fn an_effective_user() {
    if may_become_nobody() {
        give_up("effective user");
    }
}

#[test]
fn supplementary_groups() {
    give_up("groups");
}

#[test]
fn new_privileges() {
    give_up("privileges");
}

#[test]
fn capabilities() {
    give_up("capabilities");
}

#[test]
fn capabilities_that_programs_may_have() {
    give_up("bounding set");
}

#[test]
fn system_calls() {
    give_up("seccomp");
}

#[test]
fn mounts() {
    give_up("mounts");
}

#[test]
fn a_root_directory() {
    give_up("jail");
}

#[test]
fn a_root_directory_without_a_program() {
    for text in give_up("empty jail") {
        let pid = text.trim().strip_prefix("template ").unwrap();
        let pid = pid.parse().unwrap();
        until("the old template is gone", || has_ended(pid));
    }
}

#[test]
fn a_threads_privileges() {
    give_up("thread");
}
