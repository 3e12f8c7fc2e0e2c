//! What does nothing unless it is used says how to use it.

#![deny(unused_must_use)]

use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyfork::{Command, Pool, Process};

#[anyfork::worker]
fn greet(_socket: UnixStream, _name: String) {}

#[anyfork::call]
fn double(number: u32) -> u32 {
    2 * number
}

fn main() -> anyfork::Result<()> {
    let pool = Pool::new()?;
    double::call(&pool, 1);
    double::map(&pool, [1, 2]);
    pool.shutdown(Duration::ZERO);
    greet::run(Process::new()?, "world".into());
    Command::new("true").status();
    Command::new("true").spawn().blocking()?.wait()?;
    Process::new()?.env("LANG", "C");
    Ok(())
}
