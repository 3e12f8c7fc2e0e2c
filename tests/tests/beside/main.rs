//! Promises about workers that have several calls: sent ahead with `load`, and at once with
//! `concurrency`.

mod async_calls_run_at_once;
mod calls_are_sent_ahead;
mod frames_of_many_calls_do_not_mix;
mod nonsense_of_one_is_not_the_others;
mod several_in_a_storm;

use std::io::{PipeReader, PipeWriter, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyfork::{Call, Pool, Process, pool};
use anyfork_tests::bounded;

#[anyfork::early]
fn preload() {}

/// Which process serves.
#[anyfork::call]
fn whoami() -> u32 {
    std::process::id()
}

#[anyfork::call]
fn square(n: u64) -> u64 {
    n * n
}

#[anyfork::call]
fn echo(bytes: Vec<u8>) -> Vec<u8> {
    bytes
}

#[anyfork::call]
fn fail(message: String) {
    panic!("{message}");
}

/// Tells when it is entered, and stays until the other end of the gate is closed.
#[anyfork::call]
fn tell_and_stay(mut told: PipeWriter, mut gate: PipeReader) -> u32 {
    told.write_all(b"!").expect("a pipe");
    gate.read_to_end(&mut Vec::new()).expect("a pipe");
    std::process::id()
}

#[anyfork::call]
async fn whoami_async() -> u32 {
    std::process::id()
}

#[anyfork::call]
async fn echo_async(bytes: Vec<u8>) -> Vec<u8> {
    tokio::task::yield_now().await;
    bytes
}

/// How many have come to the meeting, in a worker.
static HERE: AtomicUsize = AtomicUsize::new(0);

/// Waits until so many calls of it have been entered in this process.
#[anyfork::call]
async fn meet(expected: usize) -> u32 {
    HERE.fetch_add(1, Ordering::Relaxed);
    while HERE.load(Ordering::Relaxed) < expected {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    std::process::id()
}

/// Tells when it is entered and when it is dropped, and never ends.
#[anyfork::call]
async fn hold(mut told: PipeWriter) -> u32 {
    told.write_all(b"!").expect("a pipe");
    let _guard = Guard(told);
    std::future::pending().await
}

struct Guard(PipeWriter);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.write_all(b"dropped");
    }
}

/// A call of [`hold()`] that was entered, and what it tells from then on.
fn held(pool: &Pool) -> (Call<u32>, PipeReader) {
    let (mut told, tell) = gate();
    let call = hold::call(pool, tell);
    bounded("a call's begin", || told.read_exact(&mut [0])).expect("it is entered");
    (call, told)
}

/// All that is told until the end.
fn rest(mut told: PipeReader) -> String {
    let mut text = String::new();
    bounded("the end of a pipe", || told.read_to_string(&mut text)).expect("a pipe");
    text
}

/// A call of [`tell_and_stay()`] that was entered, and what it waits for.
fn entered(pool: &Pool) -> (Call<u32>, PipeWriter) {
    let [(mut told, tell), (reader, writer)] = [gate(), gate()];
    let call = tell_and_stay::call(pool, tell, reader);
    bounded("a call's begin", || told.read_exact(&mut [0])).expect("it is entered");
    (call, writer)
}

fn builder() -> pool::Builder {
    Pool::builder(Process::new().expect("a template"))
}

/// A pool of one worker, which may have so many calls.
fn load(calls: usize) -> Pool {
    builder().max(1).load(calls).build().expect("a pool")
}

/// A pool of one worker, which runs so many `async fn`s at once.
fn concurrency(calls: usize) -> Pool {
    builder().max(1).concurrency(calls).build().expect("a pool")
}

fn gate() -> (PipeReader, PipeWriter) {
    std::io::pipe().expect("a pipe")
}

fn kill(pid: u32) {
    anyfork_tests::send_signal(pid, libc::SIGKILL);
}

fn served<R, E>(call: Call<R, E>) -> R {
    bounded("a call", || call.blocking()).expect("it is served")
}

fn failed<R, E>(call: Call<R, E>) -> anyfork::Error {
    match bounded("a call", || call.blocking()) {
        Ok(_) => panic!("it is served"),
        Err(error) => error,
    }
}

/// Ends the pool and everything of it.
fn end(pool: Pool) {
    assert_stats_add_up(&pool);
    let ended = pool.shutdown(Duration::ZERO);
    drop(pool);
    bounded("a shutdown", || ended.blocking()).expect("it ends");
}

/// At any moment each call is counted once.
fn assert_stats_add_up(pool: &Pool) {
    let it = pool.stats();
    let outcomes =
        it.returned + it.panicked + it.died + it.timed_out + it.cancelled + it.refused + it.other;
    assert_eq!(it.calls, outcomes + it.queued + it.busy, "{it:?}");
}
