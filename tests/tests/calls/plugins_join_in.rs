//! Functions of a plugin are called as the program's own: by the plugin itself, and by a
//! program that has their companions.

use std::fs::File;
use std::io::{self, PipeReader};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use anyfork::{Call, Error, ErrorKind, Process};
use anyfork_tests::births::example;
use anyfork_tests::{bounded, new, pipe_with, text_of};

fn plugin() -> PathBuf {
    example(env!("CARGO_BIN_EXE_plain"), "plugin_of_tests")
}

/// A program without these functions, with the plugin.
fn elsewhere() -> Process {
    let program = Process::exec_program(env!("CARGO_BIN_EXE_other_build"));
    program.expect("a template").require(plugin())
}

type Joined = io::Result<(String, Vec<u8>, OwnedFd)>;

/// As in the plugin, but for what it does.
#[anyfork::call(name = "plugin: join")]
fn join(texts: Vec<String>, bytes: Vec<u8>, file: File) -> Joined {
    let _ = (texts, bytes);
    Ok(("here".into(), Vec::new(), file.into()))
}

#[anyfork::call(name = "plugin: end")]
fn end(how: String) -> u32 {
    drop(how);
    0
}

#[anyfork::call(name = "plugin: changed")]
fn changed(number: u64) -> u64 {
    number
}

fn blocking<R>(call: Call<R>) -> anyfork::Result<R> {
    bounded("a call", || call.blocking())
}

fn ended(how: &str) -> Error {
    blocking(end::call(elsewhere(), how.into())).unwrap_err()
}

#[test]
fn for_a_program_that_has_their_companions() {
    let bytes: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
    let call = join::call(
        elsewhere(),
        vec!["a".into(), "b".into()],
        bytes.clone(),
        pipe_with("file").into(),
    );
    let (text, back, fd) = blocking(call).unwrap().unwrap();
    assert_eq!(text, "plugin a b");
    assert!(back == bytes);
    assert_eq!(io::read_to_string(PipeReader::from(fd)).unwrap(), "file");
    // The program's own function goes before.
    let file = pipe_with("").into();
    let (text, ..) = blocking(join::call(new().require(plugin()), vec![], vec![], file))
        .unwrap()
        .unwrap();
    assert_eq!(text, "here");
}

#[test]
fn their_failures_are_told() {
    assert_eq!(
        blocking(end::call(elsewhere(), "return".into())).unwrap(),
        7
    );
    for how in ["panic", "abort"] {
        let error = ended(how);
        assert_eq!(error.kind(), ErrorKind::Panicked, "{error}");
        let failure = error.failure().unwrap();
        assert!(failure.message().starts_with("in a plugin"), "{failure}");
        assert!(failure.location().unwrap().contains("plugin_of_tests.rs"));
    }
    let error = ended("exit");
    assert_eq!(error.exit().unwrap().code(), Some(4), "{error}");
    let error = blocking(changed::call(elsewhere(), 1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadArgument, "{error}");
    assert!(
        error
            .to_string()
            .contains("`plugin: changed` has another signature"),
        "{error}"
    );
}

#[test]
fn for_the_plugin_itself() {
    let process = new().require(plugin()).send_arg(plugin());
    assert_eq!(
        text_of(process.run("plugin_calls_its_own")),
        "own x 3 [0, 1, 2]"
    );
}
