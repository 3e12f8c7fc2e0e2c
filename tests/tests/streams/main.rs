//! Promises about calls that stream: events of a call that runs, and calls for many items.

mod calls_are_a_service;
mod events_come_before_the_result;
mod every_worker_runs_it_once;
mod leases_stick_to_their_worker;
mod maps_take_items_in_turn;
mod senders_wait_for_their_caller;

use std::io::{PipeReader, PipeWriter, Read};
use std::time::Duration;

use anyfork::{Pool, Process};

#[anyfork::early]
fn preload() {}

fn process() -> Process {
    // Workers that panic on purpose would look for the names of their functions.
    let process = Process::new().expect("a template");
    process.env("RUST_BACKTRACE", "0")
}

/// A pool of so many workers.
fn pool_of(max: usize) -> Pool {
    let pool = Pool::builder(process()).max(max).build();
    pool.expect("a pool")
}

/// Which process serves.
#[anyfork::call]
fn whoami() -> u32 {
    std::process::id()
}

/// Stays until the other end of the gate is closed.
#[anyfork::call]
fn stay(mut gate: PipeReader) -> u32 {
    gate.read_to_end(&mut Vec::new()).expect("a pipe");
    std::process::id()
}

/// What a function waits for.
fn gate() -> (PipeReader, PipeWriter) {
    std::io::pipe().expect("a pipe")
}

/// Ends the pool and everything of it.
fn end(pool: Pool) {
    let ended = pool.shutdown(Duration::ZERO);
    drop(pool);
    anyfork_tests::bounded("a shutdown", || ended.blocking()).expect("it ends");
}
