//! What newcomers write leads to a sentence that says what to write instead.

#![deny(deprecated)]

use std::net::TcpListener;
use std::os::unix::net::UnixStream;

use anyfork::{Command, Pool, Process};

#[anyfork::worker]
fn greet(_socket: UnixStream, _name: String) {}

#[anyfork::worker]
async fn serve(_listener: tokio::net::TcpListener) {}

#[anyfork::init]
fn load() {}

#[anyfork::call]
fn sum(numbers: Vec<u8>) -> Result<u32, String> {
    Ok(numbers.into_iter().map(u32::from).sum())
}

fn main() -> anyfork::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let process = Process::new()?.send_fd(&listener);
    let _ = process.run(greet);
    let _ = Process::new()?.run(|_socket: UnixStream| ());
    let _ = Process::new()?.init(load, anyfork::args![]);
    let _ = greet::run(Process::new()?, "world");
    let _ = serve::run(Process::new()?, listener.into());
    let _ = Process::new()?.send_arg(["one", "two"]);
    let _ = Process::new().run("greet");
    let _ = Command::new("true").spawn().wait()?;
    let pool = Pool::new()?;
    let _ = sum::call(pool, vec![1, 2]);
    let _ = sum::call(&Pool::new()?, &[1, 2]);
    let _: u32 = sum::call(&Pool::new()?, vec![1, 2]).blocking()?;
    Ok(())
}
