//! A large table is loaded once, in a template, and fifty workers look numbers up in it.
//! The workers share the table's memory: each has little memory of its own.
//!
//! `cargo run --release --example preload -- 200` (the table's size in MiB)
//!
//! It prints a line like `50 workers: each sees 203 MiB, and has 0.2 MiB of its own`.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;

use anyfork::Process;

const WORKERS: usize = 50;

static TABLE: OnceLock<Vec<u64>> = OnceLock::new();

/// Runs once, in the template, with the argument that `init` has sent.
#[anyfork::init]
fn load(mebibytes: u64) {
    // Yours would read a model, an index, a dictionary.
    let table = (0..mebibytes << 17).map(|number| number.wrapping_mul(number));
    TABLE.set(table.collect()).expect("it is loaded once");
}

/// Answers with a number of the table, and stays until the socket's end.
#[anyfork::worker]
fn look_up(mut socket: UnixStream, index: usize) -> io::Result<()> {
    let table = TABLE.get().expect("the template has loaded it");
    socket.write_all(&table[index % table.len()].to_le_bytes())?;
    socket.read_to_end(&mut Vec::new()).map(drop)
}

/// The sizes of a process in KiB: all that is resident, and what it shares with nobody.
fn memory(pid: u32) -> io::Result<(usize, usize)> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let sum = |name: &str| {
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines
            .filter_map(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok())
            .sum()
    };
    Ok((sum("Rss:"), sum("Private_")))
}

#[anyfork::early]
fn main() -> anyfork::Result<()> {
    let mebibytes = std::env::args().nth(1).unwrap_or_else(|| "200".into());
    let template = Process::new()?
        .init("load", anyfork::args![mebibytes])
        .prepare()
        .blocking()?;

    let mut workers = Vec::new();
    for index in 0..WORKERS {
        let mut worker = look_up::run(template.fork(), index).blocking()?;
        let mut number = [0; 8];
        worker.socket.read_exact(&mut number)?;
        assert_eq!(u64::from_le_bytes(number), (index * index) as u64);
        workers.push(worker);
    }
    let (mut seen, mut own) = (0, 0);
    for worker in &workers {
        let (resident, private) = memory(worker.pid())?;
        (seen, own) = (seen + resident, own + private);
    }
    let mebibytes = |sum: usize| sum as f64 / (WORKERS << 10) as f64;
    println!(
        "{WORKERS} workers: each sees {:.0} MiB, and has {:.1} MiB of its own",
        mebibytes(seen),
        mebibytes(own),
    );
    Ok(())
}
