//! What newcomers write leads to a sentence that says what to write instead.

#![deny(deprecated)]

use std::net::TcpListener;
use std::os::unix::net::UnixStream;

use anyfork::{Command, Process};

#[anyfork::worker]
fn greet(_socket: UnixStream, _name: String) {}

#[anyfork::init]
fn load() {}

fn main() -> anyfork::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let process = Process::new()?.send_fd(&listener);
    let _ = process.run(greet);
    let _ = Process::new()?.init(load, anyfork::args![]);
    let _ = greet::run(Process::new()?, "world");
    let _ = Command::new("true").spawn().wait()?;
    let _ = Command::new("true").output()?;
    Ok(())
}
