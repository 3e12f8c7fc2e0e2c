//! Promises about pools: what a call gives, what it costs, and what is left.

mod calls_are_served;
mod deaths_cost_one_call;
mod extreme_settings_work;
mod failures_are_of_their_kind;
mod limits_hold;
mod pools_end;
mod programs_change;
mod storms;
mod users_code_harms_no_pool;
mod waits_come_to_an_end;
mod workers_are_replaced;

use std::io::{PipeReader, PipeWriter, Read, Write};
use std::time::Duration;

use anyfork::{Call, Pool, Process, pool};

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

/// Stays until the other end of the gate is closed.
#[anyfork::call]
fn stay(mut gate: PipeReader) -> u32 {
    gate.read_to_end(&mut Vec::new()).expect("a pipe");
    std::process::id()
}

/// As [`stay()`], and tells when it is entered.
#[anyfork::call]
fn tell_and_stay(mut told: PipeWriter, mut gate: PipeReader) -> u32 {
    told.write_all(b"!").expect("a pipe");
    gate.read_to_end(&mut Vec::new()).expect("a pipe");
    std::process::id()
}

/// A call that a worker has entered, and what it waits for.
fn entered(pool: &Pool) -> (Call<u32>, PipeWriter) {
    let [(mut told, tell), (reader, writer)] = [gate(), gate()];
    let call = tell_and_stay::call(pool, tell, reader);
    let read = || told.read_exact(&mut [0]);
    anyfork_tests::bounded("a call's begin", read).expect("it is entered");
    (call, writer)
}

/// Ends its process by a signal.
#[anyfork::call]
fn die(signal: i32) {
    // SAFETY: takes a number.
    unsafe { libc::raise(signal) };
}

#[anyfork::call]
fn fail(message: String) {
    panic!("{message}");
}

fn process() -> Process {
    Process::new().expect("a template")
}

fn builder() -> pool::Builder {
    Pool::builder(process())
}

/// A pool of so many workers.
fn pool_of(max: usize) -> Pool {
    builder().max(max).build().expect("a pool")
}

/// What a call of [`stay()`] waits for.
fn gate() -> (PipeReader, PipeWriter) {
    std::io::pipe().expect("a pipe")
}

fn kill(pid: u32) {
    // SAFETY: takes two numbers.
    assert_eq!(unsafe { libc::kill(pid as i32, libc::SIGKILL) }, 0);
}

/// Ends the pool and everything of it.
fn end(pool: Pool) {
    let ended = pool.shutdown(Duration::ZERO);
    drop(pool);
    anyfork_tests::bounded("a shutdown", || ended.blocking()).expect("it ends");
}

/// At any moment each call is counted once.
fn assert_stats_add_up(pool: &Pool) {
    let it = pool.stats();
    let outcomes =
        it.returned + it.panicked + it.died + it.timed_out + it.cancelled + it.refused + it.other;
    assert_eq!(it.calls, outcomes + it.queued + it.busy, "{it:?}");
}
