//! A program with threads and without tokio. Each thread starts a process, which checks one
//! untrusted file. A file that crashes its process costs only its own answer.
//!
//! `cargo run --example threaded_no_tokio -- Cargo.toml README.md`
//!
//! It prints a line for each file, in any order, like `README.md: 212 lines`. For a file
//! that is not text, the line is like
//! `core.4711: the process failed: exit status: 1 (stream did not …)`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;

use anyfork::Process;

/// Runs in a process of its own, whose end is all that a crash in here can cause.
#[anyfork::worker]
fn count(mut socket: UnixStream, file: File) -> io::Result<()> {
    let text = io::read_to_string(file)?;
    assert!(!text.contains('\0'), "a NUL byte in a text"); // as a parser in C would crash
    write!(socket, "{} lines", text.lines().count())
}

/// What a worker says of `path`, or how it ended.
fn ask(path: &str) -> anyfork::Result<String> {
    let file = File::open(path)?;
    let mut worker = count::run(Process::new()?, file).blocking()?;
    let mut answer = String::new();
    worker.socket.read_to_string(&mut answer)?;
    worker.wait()?.check().map(|_exit| answer)
}

#[anyfork::early] // forked before any thread is there, so threads do no harm
fn main() {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    thread::scope(|threads| {
        for path in &paths {
            threads.spawn(move || match ask(path) {
                Ok(answer) => println!("{path}: {answer}"),
                Err(error) => println!("{path}: {error}"),
            });
        }
    });
}
