//! The first program: a worker in a process of its own, and a socket to it.
//!
//! `cargo run --example hello`
//!
//! It prints two lines like `hello world from process 4711`.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use anyfork::Process;

/// Runs in a fresh process. The socket is connected to the caller's end.
#[anyfork::worker]
fn greet(mut socket: UnixStream, name: String, times: u32) -> std::io::Result<()> {
    for _ in 0..times {
        writeln!(socket, "hello {name} from process {}", std::process::id())?;
    }
    Ok(())
}

#[anyfork::early] // the template is forked before main, before any thread exists
fn main() -> anyfork::Result<()> {
    // by name, as in AnyEvent::Fork
    let mut worker = Process::new()?
        .send_arg("world")
        .send_arg(2)
        .run("greet")
        .blocking()?;
    // the same, checked by the compiler
    // let mut worker = greet::run(Process::new()?, "world".into(), 2).blocking()?;
    let mut text = String::new();
    worker.socket.read_to_string(&mut text)?;
    print!("{text}");
    assert!(worker.wait()?.success());
    Ok(())
}
