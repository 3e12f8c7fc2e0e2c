//! What each way to a process costs: the time until a worker of it is ready,
//! and the memory that it has for itself. The README's table "which process do
//! I want?" comes from here.
//!
//! `cargo bench -p anyfork --bench births`

use std::fs;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyfork::{Process, Result};

/// So many of each, in turn with the others.
const ROUNDS: usize = 40;

/// What the template of one's own loads.
const LOAD: usize = 64 << 20;

static LOADED: OnceLock<Vec<u8>> = OnceLock::new();

#[anyfork::init]
fn load(size: usize) {
    LOADED.get_or_init(|| vec![1; size]);
}

/// Sleeps until its caller closes the socket.
#[anyfork::worker]
fn idle(mut socket: UnixStream) -> io::Result<()> {
    socket.read(&mut [0]).map(drop)
}

/// A way to a process.
struct Way {
    name: &'static str,
    make: Box<dyn Fn() -> Result<Process>>,
    times: Vec<Duration>,
    memory: Vec<f64>,
}

#[anyfork::early]
fn main() -> Result<()> {
    let template = load::init(Process::new()?, LOAD).prepare().blocking()?;
    let prepared = template.fork();
    let mut ways = [
        way("early, new", Process::new),
        way("a template that loaded 64 MiB", move || Ok(prepared.fork())),
        way("snapshot", Process::snapshot),
        way("new_exec", Process::new_exec),
        way("new, init that loads 64 MiB", || {
            Ok(load::init(Process::new()?, LOAD))
        }),
    ];
    for _ in 0..ROUNDS {
        for way in &mut ways {
            way.measure()?;
        }
    }
    println!(
        "{:<32} {:>10} {:>10} {:>12}",
        "", "median", "p90", "own memory"
    );
    for way in &mut ways {
        way.times.sort();
        way.memory.sort_by(f64::total_cmp);
        let micros = |at: usize| way.times[at].as_secs_f64() * 1e6;
        let (median, p90) = (micros(ROUNDS / 2), micros(ROUNDS * 9 / 10));
        let memory = way.memory[ROUNDS / 2];
        println!(
            "{:<32} {median:>7.0} µs {p90:>7.0} µs {memory:>8.0} KiB",
            way.name
        );
    }
    drop(template);
    Ok(())
}

fn way(name: &'static str, make: impl Fn() -> Result<Process> + 'static) -> Way {
    Way {
        name,
        make: Box::new(make),
        times: Vec::new(),
        memory: Vec::new(),
    }
}

impl Way {
    /// Makes a process, starts a worker of it, and looks at its memory.
    fn measure(&mut self) -> Result<()> {
        let begun = Instant::now();
        let mut worker = (self.make)()?.run(idle::NAME).blocking()?;
        self.times.push(begun.elapsed());
        self.memory.push(private_memory(worker.pid())?);
        worker.socket.shutdown(std::net::Shutdown::Both)?;
        assert!(worker.wait()?.success());
        Ok(())
    }
}

/// What a process shares with no other, in KiB (`/proc/PID/smaps_rollup`).
fn private_memory(pid: u32) -> Result<f64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let dirty = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Private_Dirty:"));
    let kib = dirty.and_then(|kib| kib.trim().trim_end_matches(" kB").parse().ok());
    Ok(kib.expect("the kernel tells"))
}
