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

/// In the background of a terminal that stops whoever prints from there (`TOSTOP`,
/// termios(3)): nothing of anyfork's touches it.
#[test]
fn a_program_in_the_background_of_a_terminal_is_not_stopped() {
    probe("leads-a-terminal");
}

/// What a program shares with others in memory files can be taken away by nobody, and is not
/// mapped by the caller (SIGBUS, mmap(2)).
#[test]
fn a_program_whose_worker_cuts_what_it_can_goes_on() {
    probe("cut-files");
}

fn probe(what: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_probe"));
    let output = bounded(what, || command.arg(what).output()).unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    let status = output.status;
    assert!(status.success(), "{what:?}: {status}\n{text}");
}
