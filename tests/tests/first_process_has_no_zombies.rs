//! The first process of a container, and a subreaper, is given all orphans below it.
//! It finds no zombie of this library's, whatever has become of its templates and
//! workers, and its `waitpid(-1)` none of this library's children.

use anyfork_tests::births::{in_pid_namespace, program, succeed};

const FIRST: &str = env!("CARGO_BIN_EXE_first_process");

#[test]
fn as_the_first_process() {
    if let Some(mut command) = in_pid_namespace() {
        succeed(command.args([FIRST, "first"]));
    }
}

#[test]
fn as_a_subreaper() {
    succeed(&mut program(FIRST, "subreaper"));
}
