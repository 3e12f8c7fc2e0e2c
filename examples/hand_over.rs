//! Prepares a template once and hands it over to another process, which starts workers from
//! it without loading anything. AnyEvent::Fork has `to_fh` and `new_from_fh` for this.
//!
//! `cargo run --example hand_over`
//!
//! It prints `process 4713 has a dictionary of 3 words, by way of 4712`.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;

use anyfork::Process;

static WORDS: OnceLock<Vec<&str>> = OnceLock::new();

/// Runs once, in the template.
#[anyfork::init]
fn load() {
    // Yours would take seconds.
    WORDS
        .set(vec!["fork", "exec", "wait"])
        .expect("it is loaded once");
}

/// A worker that starts workers of its own, from what it has been given. Everything
/// that the template has is theirs.
#[anyfork::worker]
fn broker(mut socket: UnixStream, template: OwnedFd) -> anyfork::Result<()> {
    let template = Process::from_fd(template)?;
    let launch = report::run(template.fork(), std::process::id());
    let mut worker = launch.blocking()?;
    io::copy(&mut worker.socket, &mut socket)?;
    worker.wait()?.check().map(drop)
}

#[anyfork::worker]
fn report(mut socket: UnixStream, broker: u32) -> io::Result<()> {
    let words = WORDS.get().expect("the template has loaded them").len();
    let pid = std::process::id();
    io::Write::write_fmt(
        &mut socket,
        format_args!("process {pid} has a dictionary of {words} words, by way of {broker}\n"),
    )
}

#[anyfork::early]
fn main() -> anyfork::Result<()> {
    let template = Process::new()?.init("load", anyfork::args![]).into_fd()?;
    let mut worker = Process::new()?.send_fd(template).run("broker").blocking()?;
    let mut text = String::new();
    worker.socket.read_to_string(&mut text)?;
    print!("{text}");
    worker.wait()?.check().map(drop)
}
