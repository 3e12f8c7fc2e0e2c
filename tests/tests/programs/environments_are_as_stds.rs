//! A program's environment is the one that std's `Command` gives: where a name is there
//! twice, where a text has no name, where bytes are not UTF-8.

use std::ffi::CString;
use std::os::fd::AsFd;

use anyfork_tests::pipe_with;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, posix_spawn};
use nix::sys::wait::{WaitStatus, waitpid};

const PROGRAM: &str = env!("CARGO_BIN_EXE_environments");

fn run(environment: &[&[u8]]) {
    let texts = environment.iter().map(|text| CString::new(*text).unwrap());
    let texts: Vec<CString> = texts.collect();
    let nothing = pipe_with("");
    let mut actions = PosixSpawnFileActions::init().unwrap();
    actions
        .add_dup2(std::os::fd::AsRawFd::as_raw_fd(&nothing.as_fd()), 0)
        .unwrap();
    let attributes = PosixSpawnAttr::init().unwrap();
    let program = CString::new(PROGRAM).unwrap();
    let args = [program.as_c_str()];
    let pid = posix_spawn(program.as_c_str(), &actions, &attributes, &args, &texts).unwrap();
    let status = waitpid(pid, None).unwrap();
    assert_eq!(status, WaitStatus::Exited(pid, 0), "{environment:?}");
}

#[test]
fn an_odd_environment() {
    run(&[
        b"TWICE=1",
        b"NAMELESS",
        b"EMPTY=",
        b"TWICE=2",
        b"BYTES=\xff\xfe",
        b"\xff=1",
        b"=ODD=1",
        b"",
        b"SIGNS==a=b",
        b"A=0",
    ]);
}

#[test]
fn no_environment() {
    run(&[]);
}

#[test]
fn one_variable() {
    run(&[b"A=0"]);
}
