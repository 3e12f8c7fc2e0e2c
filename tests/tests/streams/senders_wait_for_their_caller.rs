//! A caller that is behind is not flooded: its function waits, or leaves events out.

use std::fs;
use std::io::{PipeReader, Read};
use std::sync::Mutex;

use anyfork::{Call, ErrorKind, Pool, Sender};
use anyfork_tests::bounded;

use crate::{end, gate, pool_of, process};

/// Sends until the caller is behind, tells so by the end of `started`, and goes on.
#[anyfork::call]
fn flood(bytes: usize, events: u32, sender: Sender<Vec<u8>>, started: std::io::PipeWriter) -> u32 {
    let mut before_full = 0;
    while sender
        .try_send(vec![0; bytes])
        .expect("the caller is there")
    {
        before_full += 1;
    }
    drop(started);
    for _ in 0..events {
        sender
            .send(vec![1; bytes])
            .blocking()
            .expect("the caller is there");
    }
    before_full
}

#[anyfork::call]
async fn flood_async(bytes: usize, events: u32, sender: Sender<Vec<u8>>) {
    for _ in 0..events {
        sender
            .send(vec![1; bytes])
            .await
            .expect("the caller is there");
    }
}

#[anyfork::call]
fn echo(n: u32) -> u32 {
    n
}

/// Gives its sender to the next call.
#[anyfork::call]
fn keep(sender: Sender<u32>) -> Option<String> {
    static KEPT: Mutex<Option<Sender<u32>>> = Mutex::new(None);
    let before = KEPT.lock().unwrap().replace(sender)?;
    let error = before.send(1).blocking().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    Some(error.to_string())
}

#[anyfork::call]
fn send_large(bytes: usize, sender: Sender<Vec<u8>>) -> Option<String> {
    let sent = sender.send(vec![0; bytes]).blocking();
    sent.err().map(|error| {
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        error.to_string()
    })
}

/// A fork of the function's own tries to send, too.
#[anyfork::call]
fn fork_and_send(sender: Sender<u32>, mut done: PipeReader) {
    // SAFETY: the copy sends, and exits.
    if unsafe { libc::fork() } == 0 {
        let refused = sender.send(99).blocking().is_err();
        // SAFETY: takes a number.
        unsafe { libc::_exit(i32::from(!refused)) };
    }
    let mut status = 0;
    // SAFETY: writes a number to a local.
    assert!(unsafe { libc::wait(&raw mut status) } > 0);
    assert_eq!(status, 0);
    sender.send(1).blocking().expect("the caller is there");
    done.read_to_end(&mut Vec::new()).expect("a pipe");
}

/// Number of bytes of this process's memory.
fn memory() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    let resident = pages.split(' ').nth(1).unwrap();
    resident.parse::<u64>().unwrap() * 4096
}

/// Calls a function that sends without end, and reads nothing. By how many bytes has this
/// process grown?
#[anyfork::call]
fn grow(on_pool: bool) -> u64 {
    let pool = pool_of(1);
    let (mut is_full, started) = gate();
    let bytes = 10_000;
    let mut call = match on_pool {
        true => flood::call(&pool, bytes, 1000, started),
        false => flood::call(process(), bytes, 1000, started),
    };
    is_full.read_to_end(&mut Vec::new()).unwrap();
    let before = memory();
    // Others wait: so the watcher reads, and stops at the limit.
    let waiting = echo::call(&pool, 1);
    for _ in 0..100 {
        assert!(!call.is_finished());
    }
    let grown = memory().saturating_sub(before);
    let events: Vec<_> = std::iter::from_fn(|| call.recv().blocking()).collect();
    let before_full = call.blocking().unwrap();
    assert!(before_full > 0);
    assert_eq!(events.len(), before_full as usize + 1000);
    assert!(events.iter().all(|event| event.len() == bytes));
    assert_eq!(waiting.blocking().unwrap(), 1);
    end(pool);
    grown
}

#[test]
fn a_function_waits_for_a_caller_that_does_not_read() {
    for on_pool in [true, false] {
        let call = grow::call(process(), on_pool);
        let grown = bounded("a process", || call.blocking()).unwrap();
        assert!(grown < 1 << 20, "{grown} bytes");
    }
}

#[test]
fn events_larger_than_the_socket_arrive_whole() {
    let pool = pool_of(1);
    let check = |mut call: Call<(), Vec<u8>>| {
        for _ in 0..5 {
            let event = bounded("an event", || call.recv().blocking());
            assert!(event.unwrap() == vec![1; 3 << 20]);
        }
        bounded("a call", || call.blocking()).unwrap();
    };
    check(flood_async::call(&pool, 3 << 20, 5));
    check(flood_async::call(process(), 3 << 20, 5));
    end(pool);
}

#[test]
fn a_sender_ends_with_its_call() {
    let pool = pool_of(1);
    assert_eq!(
        bounded("a call", || keep::call(&pool).blocking()).unwrap(),
        None
    );
    let text = bounded("a call", || keep::call(&pool).blocking())
        .unwrap()
        .unwrap();
    assert!(text.contains("the call is over"), "{text}");
    end(pool);
}

#[test]
fn an_event_over_the_limit_is_refused() {
    let builder = Pool::builder(process()).max(1).max_result(1000);
    let pool = builder.build().unwrap();
    let mut call = send_large::call(&pool, 2000);
    assert_eq!(bounded("an event", || call.recv().blocking()), None);
    let text = bounded("a call", || call.blocking()).unwrap().unwrap();
    assert!(text.contains("2009 bytes"), "{text}");
    let mut call = send_large::call(&pool, 500);
    let event = bounded("an event", || call.recv().blocking());
    assert_eq!(event.map(|it| it.len()), Some(500));
    assert_eq!(bounded("a call", || call.blocking()).unwrap(), None);
    end(pool);
}

#[test]
fn a_copy_of_the_function_sends_nothing() {
    let pool = pool_of(1);
    let (reader, writer) = gate();
    let mut call = fork_and_send::call(&pool, reader);
    assert_eq!(bounded("an event", || call.recv().blocking()), Some(1));
    drop(writer);
    assert_eq!(bounded("the end", || call.recv().blocking()), None);
    bounded("a call", || call.blocking()).unwrap();
    end(pool);
}
