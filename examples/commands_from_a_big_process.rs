//! Starts external programs from a process of 2 GiB. With a `pre_exec`, std's `Command` has
//! to fork all of this process; with anyfork's `Command`, a small template starts the
//! program.
//!
//! `cargo run --release --example commands_from_a_big_process -- 2048` (MiB)
//!
//! It prints how long each way to start a program takes, like
//! `anyfork, with an init function: 1.4 ms`.

use std::os::unix::process::CommandExt;
use std::time::{Duration, Instant};

const ROUNDS: u32 = 20;

/// Runs in the new process before the program. Here any code is allowed: the process
/// has one thread, so it may allocate, lock and log.
#[anyfork::init]
fn below_others(nice: i32) -> Result<(), String> {
    (nice > 0)
        .then_some(())
        .ok_or(format!("{nice} is not nice"))
}

/// The mean time of a round.
fn time(mut round: impl FnMut() -> anyfork::Result<()>) -> anyfork::Result<Duration> {
    round()?;
    let begin = Instant::now();
    (0..ROUNDS).try_for_each(|_| round())?;
    Ok(begin.elapsed() / ROUNDS)
}

fn with_std() -> anyfork::Result<()> {
    let mut command = std::process::Command::new("true");
    // SAFETY: the closure does nothing. It must not allocate, lock or panic: other
    // threads of this program may have held a lock when it was forked.
    unsafe { command.pre_exec(|| Ok(())) };
    assert!(command.status()?.success());
    Ok(())
}

fn with_anyfork() -> anyfork::Result<()> {
    let mut command = anyfork::Command::new("true");
    command.init("below_others", anyfork::args![5]);
    assert!(command.status().blocking()?.success());
    Ok(())
}

fn with_anyfork_alone() -> anyfork::Result<()> {
    let status = anyfork::Command::new("true").status().blocking()?;
    assert!(status.success());
    Ok(())
}

#[anyfork::early]
fn main() -> anyfork::Result<()> {
    let mebibytes = std::env::args().nth(1).and_then(|it| it.parse().ok());
    let mebibytes: usize = mebibytes.unwrap_or(2048);
    let heap = vec![1_u8; mebibytes << 20]; // memory that a fork has to copy the tables of

    println!("a process of {mebibytes} MiB starts `true`:");
    for (way, round) in [
        ("std, with pre_exec", with_std as fn() -> _),
        ("anyfork, with an init function", with_anyfork),
        ("anyfork", with_anyfork_alone),
    ] {
        println!("{way}: {:.1} ms", time(round)?.as_secs_f64() * 1e3);
    }
    assert_eq!(heap[heap.len() / 2], 1);
    Ok(())
}
