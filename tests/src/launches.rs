//! What the tests share to run workers: launching one, what it writes and how it
//! exits, and the runtimes that await it.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::process::ExitCode;
use std::task::{Context, Poll, Waker};

use anyfork::{Exit, Launch, Process, Worker, blocking};
use tokio::runtime::{Builder, Runtime};

use crate::{bounded, held, release};

/// A process of the default template.
pub fn new() -> Process {
    Process::new().expect("a template")
}

/// What a worker writes to its socket until it exits, with success.
pub fn text_of(launch: Launch<Worker>) -> String {
    let worker = bounded("a launch", || launch.blocking());
    rest_of(&mut worker.expect("a worker"))
}

/// The same of a worker that runs.
pub fn rest_of(worker: &mut blocking::Worker) -> String {
    let text = bounded("a worker's text", || io::read_to_string(&mut worker.socket));
    let exit = bounded("a worker's exit", || worker.wait()).expect("a status");
    assert!(exit.success(), "{exit} {:?}: {text:?}", exit.failure());
    text.expect("text")
}

/// How a worker exits.
pub fn exit_of(launch: Launch<Worker>) -> Exit {
    let worker = bounded("a launch", || launch.blocking());
    let mut worker = worker.expect("a worker");
    bounded("a worker's exit", || worker.wait()).expect("a status")
}

/// What `look` finds at a worker that holds.
pub fn look_at<T>(process: Process, look: impl FnOnce(&blocking::Worker) -> T) -> T {
    let worker = held(process);
    let found = look(&worker);
    release(worker);
    found
}

/// Exits when its caller closes the socket: by a code, or by a signal.
#[anyfork::worker]
pub fn end_by(mut socket: UnixStream, code: u8, signal: i32) -> ExitCode {
    let _ = io::copy(&mut socket, &mut io::sink());
    if signal != 0 {
        // SAFETY: ends this process, which is a worker.
        unsafe { libc::raise(signal) };
    }
    ExitCode::from(code)
}

/// The next byte.
pub fn byte_of(from: &mut impl Read) -> u8 {
    let mut byte = [0];
    bounded("a byte", || from.read_exact(&mut byte)).expect("a byte");
    byte[0]
}

/// Polls a future whose wake-up nobody waits for.
pub fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A runtime that works in this thread.
pub fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}

/// A runtime with two threads of its own.
pub fn runtime_of_two() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_all();
    builder.build().expect("a runtime")
}
