//! A snapshot's workers have what the program had built when it was taken; the
//! program goes on as if nothing had been.

use anyfork::{ErrorKind, Process};
use anyfork_tests::births::{Folder, program, succeed};

fn snapshot(what: &str) -> String {
    succeed(&mut program(env!("CARGO_BIN_EXE_snapshot"), what))
}

#[test]
fn workers_have_the_state_of_the_moment() {
    snapshot("state");
}

#[test]
fn a_process_with_threads_is_refused_and_not_forked() {
    // It looks at all processes of its file.
    let folder = Folder::new(env!("CARGO_TARGET_TMPDIR"), "snapshot");
    let copy = folder.copy(env!("CARGO_BIN_EXE_snapshot"), "snapshot");
    succeed(&mut program(copy, "threads"));
    let error = Process::snapshot().expect_err("a test has threads");
    assert_eq!(error.kind(), ErrorKind::MultiThreaded, "{error}");
}

#[test]
fn buffered_output_appears_once() {
    let text = snapshot("buffers");
    for part in ["std's", "C's", "the program's", "a worker's"] {
        let part = format!("{part} text ");
        assert_eq!(text.matches(&part).count(), 1, "{part:?} in {text:?}");
    }
}

#[test]
fn destructors_run_in_the_caller_only() {
    let text = snapshot("destructors");
    for part in ["kept", "moved on", "thread-local"] {
        let part = format!("{part} is dropped");
        assert_eq!(text.matches(&part).count(), 1, "{part:?} in {text:?}");
    }
    assert_eq!(text.matches("a worker's is dropped").count(), 3, "{text:?}");
    assert_eq!(text.matches("at exit").count(), 1, "{text:?}");
}

#[test]
fn a_worker_can_take_one() {
    snapshot("in-a-worker");
}

#[test]
fn its_workers_have_templates_of_their_own() {
    snapshot("new-in-a-worker");
}

#[test]
fn it_has_no_descriptor_of_the_callers() {
    snapshot("descriptors");
}

#[test]
fn a_program_may_have_closed_its_standard_streams() {
    let text = snapshot("closed");
    assert_eq!(text, "");
}
