//! What the library does in a program that has limits of its own raises no signal
//! there: it gets an error where another one would be ended. In programs of their
//! own: the tests need their limits and their signals.

use std::process::Command;

use anyfork_tests::bounded;

#[test]
fn a_program_that_may_write_small_files_only_gets_an_error() {
    probe("small-files-only");
}

#[test]
fn a_program_that_sigpipe_would_end_gets_an_error() {
    probe("default-sigpipe");
}

fn probe(what: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_probe"));
    let output = bounded(what, || command.arg(what).output()).unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    let status = output.status;
    assert!(status.success(), "{what:?}: {status}\n{text}");
}
