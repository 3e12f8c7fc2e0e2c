//! The calls of a worker share its socket. What is half sent is finished before anything else,
//! and what comes together is read whole, in both directions.

use std::io::{PipeReader, PipeWriter, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyfork::{Call, ErrorKind, Pool, Sender};
use anyfork_tests::{bounded, stat, until};

use crate::{
    builder, concurrency, echo_async, end, failed, gate, held, hold, rest, served, whoami_async,
};

/// Lets nobody else run in its worker until the gate is opened.
#[anyfork::call]
async fn stall(mut told: PipeWriter, mut gate: PipeReader, panics: bool) {
    told.write_all(b"!").expect("a pipe");
    gate.read_to_end(&mut Vec::new()).expect("a pipe");
    assert!(!panics, "no luck");
}

/// A call of [`stall()`] that was entered, and what it waits for.
fn stalled(pool: &Pool, panics: bool) -> (Call<()>, PipeWriter) {
    let [(mut told, tell), (reader, writer)] = [gate(), gate()];
    let call = stall::call(pool, tell, reader, panics);
    bounded("a call's begin", || told.read_exact(&mut [0])).expect("it is entered");
    (call, writer)
}

/// More than a socket takes.
fn large() -> Vec<u8> {
    (0..3 << 20).map(|n| (n % 251) as u8).collect()
}

#[test]
fn a_request_that_is_half_sent_goes_elsewhere_and_is_finished() {
    let pool = builder().max(1).concurrency(2).load(3).build().unwrap();
    let (holding, told) = held(&pool);
    let (failing, gate) = stalled(&pool, true);
    let behind = echo_async::call(&pool, large());
    assert_eq!(behind.pid(), holding.pid());
    drop(gate);
    let error = failed(failing);
    assert_eq!(error.kind(), ErrorKind::Panicked, "{error}");
    assert!(served(behind) == large());
    // Its worker still reads what it is asked.
    drop(holding);
    assert_eq!(rest(told), "dropped");
    end(pool);
}

#[test]
fn what_comes_behind_descriptors_is_read() {
    let pool = concurrency(3);
    let (stalling, open) = stalled(&pool, false);
    let (told, tell) = gate();
    let holding = hold::call(&pool, tell);
    let behind = whoami_async::call(&pool);
    drop(open);
    served(stalling);
    assert_eq!(Some(served(behind)), holding.pid());
    drop(holding);
    assert_eq!(rest(told), "!dropped");
    end(pool);
}

/// Several kilobytes.
#[anyfork::call]
async fn numbers(from: u64) -> Vec<u64> {
    (from..from + 500).map(|n| n << 32).collect()
}

#[test]
fn many_short_answers_are_told_apart() {
    let pool = concurrency(202);
    let (stalling, open) = stalled(&pool, false);
    let calls: Vec<_> = (0..200).map(|n| numbers::call(&pool, n)).collect();
    let (mut told, tell) = gate();
    let holding = hold::call(&pool, tell);
    let pid = holding.pid().unwrap();
    drop(open);
    bounded("a call's begin", || told.read_exact(&mut [0])).unwrap();
    until("the socket is full", || {
        stat(pid).is_some_and(|(state, _)| state == 'S')
    });
    for (n, call) in (0..).zip(calls) {
        assert!(served(call).into_iter().eq((n..n + 500).map(|n| n << 32)));
    }
    served(stalling);
    drop(holding);
    assert_eq!(rest(told), "dropped");
    end(pool);
}

static HAS_RETURNED: AtomicBool = AtomicBool::new(false);

#[anyfork::call]
async fn give_much() -> Vec<u8> {
    HAS_RETURNED.store(true, Ordering::Relaxed);
    large()
}

/// Tries to send when that is on its way, tells so by the end of `told`, and sends.
#[anyfork::call]
async fn send_meanwhile(to: u32, sender: Sender<u32>, told: PipeWriter) -> u32 {
    let mut rounds = 0;
    while rounds < 20 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        rounds += u32::from(HAS_RETURNED.load(Ordering::Relaxed));
    }
    let mut sent = 0;
    while sent < to && sender.try_send(sent).expect("the caller is there") {
        sent += 1;
    }
    drop(told);
    for n in sent..to {
        sender.send(n).await.expect("the caller is there");
    }
    sent
}

#[test]
fn an_event_does_not_cut_an_answer_off() {
    let pool = concurrency(2);
    let (told, tell) = gate();
    let mut sending = send_meanwhile::call(&pool, 100, tell);
    let giving = give_much::call(&pool);
    assert_eq!(rest(told), "");
    assert!(served(giving) == large());
    for n in 0..100 {
        let event = bounded("an event", || sending.recv().blocking());
        assert_eq!(event, Some(n));
    }
    assert_eq!(served(sending), 0, "there was room");
    end(pool);
}
