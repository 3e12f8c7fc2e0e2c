//! A worker ends as a `main` does: its result is the exit code, an error or a
//! panic is on standard error. An async one has the runtime that it asks for.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode, exit, id};

use anyfork::{Launch, Worker};
use anyfork_tests::{bounded, new};
use tokio::runtime::{Handle, RuntimeFlavor};

/// What the worker says, and its exit code.
fn result(launch: Launch<Worker>) -> (String, Option<i32>) {
    let mut worker = bounded("a launch", || launch.blocking()).unwrap();
    let mut text = String::new();
    worker.socket.read_to_string(&mut text).unwrap();
    (text, worker.wait().unwrap().code())
}

fn code_of(launch: Launch<Worker>) -> i32 {
    result(launch).1.unwrap()
}

#[anyfork::worker]
async fn alone(socket: OwnedFd) -> io::Result<()> {
    assert_eq!(std::fs::read_dir("/proc/self/task")?.count(), 1);
    tell_runtime(socket)
}

#[anyfork::worker(flavor = "multi_thread", worker_threads = 3)]
async fn in_a_pool(socket: OwnedFd) -> io::Result<()> {
    tokio::spawn(async { tell_runtime(socket) }).await?
}

fn tell_runtime(socket: OwnedFd) -> io::Result<()> {
    let runtime = Handle::current();
    let flavor = runtime.runtime_flavor();
    assert_eq!(
        flavor == RuntimeFlavor::CurrentThread,
        runtime.metrics().num_workers() == 1
    );
    write!(
        std::fs::File::from(socket),
        "{}",
        runtime.metrics().num_workers()
    )
}

#[test]
fn an_async_worker_has_the_runtime_it_asks_for() {
    assert_eq!(result(alone::run(new())), ("1".into(), Some(0)));
    assert_eq!(result(in_a_pool::run(new())), ("3".into(), Some(0)));
}

#[anyfork::worker]
fn unit(_socket: UnixStream) {}

#[anyfork::worker]
fn code(_socket: UnixStream, code: u8) -> ExitCode {
    code.into()
}

#[anyfork::worker]
fn never(_socket: UnixStream, code: i32) -> ! {
    exit(code)
}

#[anyfork::worker]
fn fallible(_socket: UnixStream, fails: bool) -> Result<(), String> {
    if fails {
        Err("the disk is full".into())
    } else {
        Ok(())
    }
}

#[anyfork::worker]
async fn fallible_code(
    _socket: UnixStream,
    code: u8,
) -> Result<ExitCode, Box<dyn std::error::Error>> {
    if code > 100 {
        Err("a boxed error".into())
    } else {
        Ok(code.into())
    }
}

#[anyfork::worker]
fn panics(_socket: UnixStream) {
    panic!("a test's panic, from {}", id());
}

#[test]
fn the_result_is_the_exit_code() {
    assert_eq!(code_of(unit::run(new())), 0);
    for code in [0, 1, 77, 255] {
        assert_eq!(code_of(code::run(new(), code)), i32::from(code));
        assert_eq!(code_of(never::run(new(), code.into())), i32::from(code));
    }
    assert_eq!(code_of(fallible::run(new(), false)), 0);
    assert_eq!(code_of(fallible::run(new(), true)), 1);
    assert_eq!(code_of(fallible_code::run(new(), 7)), 7);
    assert_eq!(code_of(fallible_code::run(new(), 101)), 1);
    assert_eq!(code_of(panics::run(new())), 101);
}

/// The workers of this program again, with a standard error that can be read.
#[test]
fn an_error_and_a_panic_are_on_standard_error() {
    let mut again = Command::new(std::env::current_exe().unwrap());
    let name = "worker_returns_like_main::the_result_is_the_exit_code";
    again.args(["--exact", name, "--nocapture"]);
    let output = again.output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    for words in [
        "fallible (",
        ": the disk is full\n",
        ": a boxed error\n",
        "a test's panic, from ",
    ] {
        assert_eq!(text.matches(words).count(), 1, "{words:?} in {text}");
    }
}

#[test]
fn in_process_it_is_still_the_same_function() {
    let socket = || UnixStream::pair().unwrap().0;
    assert_eq!(code(socket(), 3), ExitCode::from(3));
    assert_eq!(fallible(socket(), true), Err("the disk is full".into()));
}
