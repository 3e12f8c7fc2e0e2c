//! `finish` reads all that a worker still sends and gives its exit, whoever waits
//! for whom; and `check` makes an error of a failure.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyfork::{ErrorKind, Stdio};
use anyfork_tests::{bounded, new};

/// More than a socket or a pipe holds.
const MUCH: usize = 1 << 20;

/// Reads to the end first, prints, and then sends more than the socket holds.
#[anyfork::worker]
fn answer_late(mut socket: UnixStream, print: bool) -> std::io::Result<()> {
    let mut all = Vec::new();
    socket.read_to_end(&mut all)?;
    if print {
        // Nobody reads it: an error, and no wait.
        let _ = std::io::stdout().write_all(&vec![b'p'; MUCH]);
    }
    socket.write_all(&all)?;
    socket.write_all(&vec![b'x'; MUCH])
}

fn assert_answered(sent: &[u8]) {
    assert!(sent.starts_with(b"hello"));
    assert_eq!(sent.len(), 5 + MUCH);
}

#[test]
fn a_worker_that_waits_for_the_end_is_finished() {
    for print in [false, true] {
        let process = new().stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut worker = answer_late::run(process, print).blocking().unwrap();
        worker.socket.write_all(b"hello").unwrap();
        // Reading must not end early by what the program has set.
        worker.socket.set_nonblocking(true).unwrap();
        let timeout = Some(Duration::from_millis(1));
        worker.socket.set_read_timeout(timeout).unwrap();
        let (sent, exit) = bounded("finish", || worker.finish()).unwrap();
        assert_answered(&sent);
        assert!(exit.check().unwrap().success());
    }
}

#[tokio::test]
async fn a_worker_is_finished_in_async_code() {
    use tokio::io::AsyncWriteExt;
    let process = new().stdout(Stdio::piped());
    let mut worker = answer_late::run(process, true).await.unwrap();
    worker.socket.write_all(b"hello").await.unwrap();
    let (sent, exit) = worker.finish().await.unwrap();
    assert_answered(&sent);
    assert!(exit.success());
}

#[anyfork::worker]
fn send_and_fail(mut socket: UnixStream) -> Result<(), String> {
    socket
        .write_all(b"some")
        .map_err(|error| error.to_string())?;
    Err("the disk is full".to_owned())
}

/// Also what has left unread bytes behind, which resets the connection.
#[test]
fn a_failure_is_in_the_exit_and_check_makes_an_error_of_it() {
    let mut worker = send_and_fail::run(new()).blocking().unwrap();
    let _ = worker.socket.write_all(b"never read");
    let (sent, exit) = bounded("finish", || worker.finish()).unwrap();
    assert_eq!(sent, b"some");
    let error = exit.clone().check().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Died);
    assert_eq!(error.exit(), Some(&exit));
    assert_eq!(error.failure(), exit.failure());
    let text = "the process failed: exit status: 1 (the disk is full)";
    assert_eq!(error.to_string(), text);
}

#[anyfork::worker]
fn die(_socket: OwnedFd) {
    anyfork_tests::send_signal(std::process::id(), libc::SIGKILL);
}

#[test]
fn a_worker_that_is_gone_is_finished() {
    let worker = die::run(new()).blocking().unwrap();
    bounded("the end", || {
        let _ = worker.child.handle().wait().unwrap();
    });
    let (sent, exit) = bounded("finish", || worker.finish()).unwrap();
    assert!(sent.is_empty());
    let error = exit.check().unwrap_err();
    assert_eq!(error.to_string(), "the process failed: signal: 9 (SIGKILL)");
}
