//! What it costs to start a worker, beside the cheapest thing there is: a bare
//! `fork` in a freshly exec'ed process with nothing in it.
//!
//! `cargo bench -p anyfork --bench spawn`
//!
//! All systems take turns in one run, a block of starts each, so that what else
//! the machine does hits them alike. Read the ratios, not the times.

use std::env;
use std::hint::black_box;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyfork::{Process, Result};

/// Starts in a block, and blocks of each system at each heap size.
const BLOCK: usize = 100;
const ROUNDS: usize = 20;

const GIB: usize = 1 << 30;

#[anyfork::worker]
fn nothing() {}

/// Sleeps until its caller closes the socket.
#[anyfork::worker]
fn idle(mut socket: UnixStream) -> io::Result<()> {
    socket.read(&mut [0]).map(drop)
}

#[anyfork::early]
fn main() -> Result<()> {
    if env::var_os("ANYFORK_BENCH_BARE").is_some() {
        return Ok(serve_bare_forks()?);
    }
    let mut bare = BareFork::exec()?;
    let template = Process::new()?;
    // The first starts pay for what is lazily set up, here and there.
    for _ in 0..BLOCK {
        start(&template)?;
    }
    bare.block()?;

    let mut rows = Vec::new();
    for heap in [0, 2 * GIB] {
        let ballast = vec![1u8; heap];
        black_box(&ballast);
        let mut samples: [Vec<Duration>; 3] = Default::default();
        for _ in 0..ROUNDS {
            samples[0].extend(bare.block()?);
            for _ in 0..BLOCK {
                let (ready, status) = start(&template)?;
                samples[1].push(ready);
                samples[2].push(status);
            }
        }
        let names = ["bare fork", "anyfork, ready", "anyfork, status"];
        let heap = heap / GIB;
        rows.extend(
            names
                .iter()
                .zip(samples)
                .map(|(name, times)| Row::new(name, heap, times)),
        );
        black_box(ballast);
    }
    print_table(&rows);
    print_memory(&template)?;
    Ok(())
}

/// One start: the time until the worker is ready, and until its status is here.
fn start(template: &Process) -> Result<(Duration, Duration)> {
    let begun = Instant::now();
    let mut worker = template.fork().run(nothing::NAME).blocking()?;
    let ready = begun.elapsed();
    let exit = worker.wait()?;
    let status = begun.elapsed();
    assert!(exit.success());
    Ok((ready, status))
}

/// The bare forks' process, and a pipe pair to it.
struct BareFork(Child, BufReader<std::process::ChildStdout>);

impl BareFork {
    fn exec() -> io::Result<BareFork> {
        let mut child = Command::new("/proc/self/exe")
            .env("ANYFORK_BENCH_BARE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        Ok(BareFork(child, answers))
    }

    /// The times of a block of forks, which the other process takes.
    fn block(&mut self) -> io::Result<Vec<Duration>> {
        let orders = self.0.stdin.as_mut().expect("piped");
        orders.write_all(b"\n")?;
        let mut line = String::new();
        self.1.read_line(&mut line)?;
        let nanos = line
            .split_whitespace()
            .map(|n| n.parse().map_err(io::Error::other));
        nanos.map(|n| n.map(Duration::from_nanos)).collect()
    }
}

impl Drop for BareFork {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// The other process: takes a block's times for each line that comes.
fn serve_bare_forks() -> io::Result<()> {
    let mut orders = io::stdin().lines();
    while orders.next().transpose()?.is_some() {
        let mut answer = String::new();
        for _ in 0..BLOCK {
            let begun = Instant::now();
            bare_fork()?;
            answer += &format!("{} ", begun.elapsed().as_nanos());
        }
        println!("{answer}");
    }
    Ok(())
}

/// socketpair, fork, `_exit`, end-of-file, waitpid.
fn bare_fork() -> io::Result<()> {
    let (mut mine, theirs) = UnixStream::pair()?;
    // SAFETY: this process has one thread, and the child only leaves.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: _exit has no preconditions.
        0 => unsafe { libc::_exit(0) },
        pid => {
            drop(theirs);
            assert_eq!(mine.read(&mut [0])?, 0);
            // SAFETY: a null status is allowed.
            let reaped = unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
            assert_eq!(reaped, pid);
            Ok(())
        }
    }
}

/// The figures of one system at one heap size.
struct Row {
    name: &'static str,
    heap: usize,
    median: f64,
    p99: f64,
}

impl Row {
    fn new(name: &'static str, heap: usize, mut times: Vec<Duration>) -> Row {
        times.sort();
        let micros = |at: usize| times[at].as_secs_f64() * 1e6;
        Row {
            name,
            heap,
            median: micros(times.len() / 2),
            p99: micros(times.len() * 99 / 100),
        }
    }
}

fn print_table(rows: &[Row]) {
    println!(
        "{:<18} {:>5} {:>12} {:>9} {:>12}",
        "", "heap", "median", "p99", "× bare fork"
    );
    for row in rows {
        let bare = rows
            .iter()
            .find(|it| it.heap == row.heap)
            .expect("the first of each heap");
        let ratio = row.median / bare.median;
        let Row {
            name,
            heap,
            median,
            p99,
        } = row;
        println!("{name:<18} {heap:>1} GiB {median:>9.1} µs {p99:>6.0} µs {ratio:>12.2}");
    }
    for row in &rows[1..rows.len() / 2] {
        let big = rows
            .iter()
            .rfind(|it| it.name == row.name)
            .expect("one of each heap");
        println!("{}: 2 GiB / 0 = {:.2}", row.name, big.median / row.median);
    }
}

/// The memory of idle workers: what is theirs alone, and their share of what
/// they have in common (PSS, `/proc/PID/smaps_rollup`).
fn print_memory(template: &Process) -> Result<()> {
    const WORKERS: usize = 50;
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| template.fork().run(idle::NAME).blocking())
        .collect::<Result<_>>()?;
    let mut sum = 0.0;
    for worker in &workers {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", worker.pid()))?;
        let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kib = pss.and_then(|pss| pss.trim().trim_end_matches(" kB").parse::<f64>().ok());
        sum += kib.expect("the kernel tells");
    }
    println!(
        "an idle worker, one of {WORKERS}: {:.1} KiB PSS",
        sum / WORKERS as f64
    );
    Ok(())
}
