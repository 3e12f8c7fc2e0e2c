//! A server's log that also shows what the server's workers do: their `tracing` events,
//! each in the span of its call, and what they print, line by line.
//!
//! `cargo run --example logging`
//!
//! It prints lines like
//! `INFO request{path="/cat.png"}:call{function="logging::thumbnail" id=1 pid=4711}: resized width=400`.
//! For the third request, whose worker panics, it also prints the message of the panic.

use std::time::Duration;

use anyfork::{Pool, Process};
use tracing::{debug, error, info, info_span};

/// Reports as code does that knows nothing of processes.
#[anyfork::call]
fn thumbnail(path: String, width: u32) -> u32 {
    println!("decoding {path}"); // as a library might, also one in C
    assert!(width > 0, "an image without pixels");
    debug!("nobody has asked for this, so it is not sent");
    info!(width, "resized");
    width / 2
}

#[anyfork::early]
fn main() -> anyfork::Result<()> {
    // This program's subscriber. A worker has none, but the pool's, which sends home.
    tracing_subscriber::fmt()
        .without_time()
        .with_target(false)
        .init();
    let pool = Pool::builder(Process::new()?)
        .max(2)
        .tracing()
        .stdout(|line| info!(pid = line.pid(), call = line.call(), "printed: {line}"))
        .stderr(|line| error!(pid = line.pid(), call = line.call(), "printed: {line}"))
        .build()?;
    for (path, width) in [("/cat.png", 400), ("/dog.png", 300), ("/empty.png", 0)] {
        let request = info_span!("request", path).entered();
        match thumbnail::call(&pool, path.to_owned(), width).blocking() {
            Ok(width) => info!(width, "answered"),
            Err(_) => info!("refused"), // the call's span has the error
        }
        drop(request);
    }
    // Waits for the last lines, too.
    pool.shutdown(Duration::from_secs(10)).blocking()
}
