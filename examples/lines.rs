//! Reads the output of programs line by line while they run, with tokio's reader and with
//! std's, just as with std's and tokio's own `Command`s.
//!
//! `cargo run --example lines`
//!
//! It prints `fetch`, `build` and `test`, each when the program has reached that step, and
//! then `[the server] listening on port 8080`.

use std::io::BufRead;

use anyfork::{Command, Stdio};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

/// Takes its next step when somebody has answered the line before.
const STEPS: &str = "for step in fetch build test; do echo $step; read answer; done";

/// Shows a progress, and lets the program go on: it would wait for ever if its lines came
/// only at its end.
async fn show_steps() -> anyfork::Result<()> {
    let mut child = Command::new("sh")
        .args(["-c", STEPS])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true) // also if this future is dropped
        .spawn()
        .await?;
    let mut input = child.stdin.take().expect("it is piped");
    let output = child.stdout.take().expect("it is piped");
    let mut lines = BufReader::new(output).lines();
    while let Some(line) = lines.next_line().await? {
        println!("{line}");
        input.write_all(b"go on\n").await?;
    }
    child.wait().await?.check().map(drop)
}

/// Two lines, and then it serves.
const SERVER: &str = "echo starting; echo listening on port 8080; exec sleep 1000";

/// Waits for the line that says that a server can be used, uses it, and ends it.
fn use_server() -> anyfork::Result<()> {
    let mut child = Command::new("sh")
        .args(["-c", SERVER])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .blocking()?;
    // Open as long as the server runs: to print into a closed pipe would end it.
    let output = child.stdout.take().expect("it is piped");
    for line in std::io::BufReader::new(output).lines() {
        let line = line?;
        if line.starts_with("listening") {
            println!("[the server] {line}");
            child.kill()?;
        }
    }
    // Its output has ended, and it with it.
    assert_eq!(child.wait()?.signal(), Some(9));
    Ok(())
}

#[anyfork::early]
fn main() -> anyfork::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(show_steps())?;
    use_server()
}
