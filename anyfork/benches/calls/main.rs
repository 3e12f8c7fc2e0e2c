//! What it costs to have a function called in another process, and to get its result:
//! with anyfork's pool, and with other pools. One run, under two minutes.
//!
//! ```sh
//! cargo bench -p anyfork --bench calls
//! cargo bench -p anyfork --bench calls -- --picture # also replaces calls.svg
//! ```
//!
//! The unit is a ping-pong of 24 bytes over a Unix socket with another process. All take
//! turns in one run, and ratios are those of a round. Callers and workers are on one CPU,
//! on two, or where the kernel likes. CPython's `ProcessPoolExecutor` and AnyEvent::Fork
//! (Debian: libanyevent-fork-perl, libev-perl) are measured where they are installed, and
//! system calls are counted where strace(1) is. By hand:
//!
//! ```sh
//! cargo bench -p anyfork --bench calls --no-run # names the program
//! strace -f -c PROGRAM --calls 10000
//! ```
//!
//! It prints tables, the ratios with what they are to reach, then a line a figure (`name
//! value unit`), and draws `target/calls.svg`. Nothing is asserted: times depend on the
//! machine.

mod beside;
#[path = "../shared/chart.rs"]
mod chart;
mod counted;
mod cpus;
mod functions;
#[path = "../shared/machine.rs"]
mod machine;
#[path = "../shared/server.rs"]
mod orders;
mod picture;
mod ping_pong;
mod pools;
mod report;
mod series;
mod server;
mod singles;
mod streams;
mod system;

use std::env;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyfork::Process;

use cpus::Cpus;
use functions::Functions;
use ping_pong::PingPong;
use pools::{Tasks, Threads};
use report::Report;
use system::{Result, System};

/// Numbers of callers at once.
const CALLERS: [usize; 8] = [1, 2, 4, 8, 16, 32, 64, 100];

/// Times that each system has its turn.
const ROUNDS: usize = 15;

/// Length of a turn.
const SPAN: Duration = Duration::from_millis(50);

/// Number of items of a map, and of events of a call.
const ITEMS: u64 = 10_000;

/// Times that each of the single things is done.
const SINGLES: usize = 300;

fn main() -> Result<()> {
    if let Some(size) = ping_pong::server_of() {
        return ping_pong::serve(size);
    }
    // Where the process is one of procspawn's, it goes no further.
    procspawn::init();
    if let Some(calls) = counted::wanted() {
        return counted::make(calls);
    }
    let given = |option: &str| env::args().any(|arg| arg == option);
    // `cargo test --benches` only wants to know that it works.
    let (callers, rounds, span, singles) = match given("--bench") {
        true => (&CALLERS[..], ROUNDS, SPAN, SINGLES),
        false => (&CALLERS[..2], 1, SPAN / 10, 2),
    };
    let machine = machine::description();
    println!("{machine}\nload {}", machine::load());

    let cpus = Cpus::of_this_process()?;
    let workers = cpus.count();
    let mut systems: Vec<Box<dyn System>> = vec![
        Box::new(PingPong::new(ping_pong::SIZE, workers)?),
        Box::new(Threads(pools::pool(workers)?)),
        Box::new(Tasks::new(pools::pool(workers)?)?),
        Box::new(Tasks::of_threads(pools::pool(workers)?)?),
        Box::new(Functions::new(workers)?),
    ];
    for server in server::foreign(workers) {
        systems.push(Box::new(server));
    }

    let mut report = Report::default();
    report.one_by_one(&series::one_by_one(&mut systems, &cpus, rounds, span)?);
    let all = series::at_once(&mut systems, callers, rounds, span)?;
    report.at_once(&all, callers, workers);
    drop(systems);
    let template = Process::new()?.prepare().blocking()?;
    singles::measure(&mut report, &template, singles)?;
    for threads in [1, workers] {
        singles::retiring(&mut report, &template, threads, rounds, span)?;
    }
    let items = if given("--bench") { ITEMS } else { ITEMS / 100 };
    streams::measure(&mut report, &template, workers, rounds, items)?;
    beside::measure(&mut report, rounds, items)?;
    counted::allocations(&mut report)?;
    counted::system_calls(&mut report)?;
    report.print();

    let picture = picture::draw(&all, callers, workers, &machine);
    // The folder for temporary files is in the target directory.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("calls.svg");
    fs::write(&target, &picture)?;
    println!("\n{}", target.display());
    if given("--picture") {
        let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/calls.svg");
        fs::write(kept, &picture)?;
        println!("{kept}");
    }
    Ok(())
}
