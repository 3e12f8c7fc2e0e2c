//! The first program again, with tokio: a worker that is an `async fn`, and a caller that
//! awaits it.
//!
//! `cargo run --example hello_async`
//!
//! It prints `4711 says: hello world`, with the pid of the worker.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Runs in a process of its own, in a tokio runtime of its own. In a worker that is
/// an `async fn` the socket is tokio's; a `std::os::unix::net::UnixStream` is what
/// a worker without `async` has.
#[anyfork::worker]
async fn greet(mut socket: tokio::net::UnixStream, name: String) -> std::io::Result<()> {
    let greeting = format!("{} says: hello {name}\n", std::process::id());
    socket.write_all(greeting.as_bytes()).await
}

#[anyfork::early] // above tokio's: the template is forked before the runtime has threads
#[tokio::main]
async fn main() -> anyfork::Result<()> {
    let mut worker = greet::run(anyfork::Process::new()?, "world".into()).await?;
    let mut text = String::new();
    worker.socket.read_to_string(&mut text).await?; // the caller's end is tokio's, too
    print!("{text}");
    worker.wait().await?.check().map(drop) // an error says how the worker has ended
}
