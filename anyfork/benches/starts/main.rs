//! What it costs to start a process: with anyfork, and with what one would take
//! else. One run, under two minutes, or four with the picture.
//!
//! ```sh
//! cargo bench -p anyfork --bench starts
//! cargo bench -p anyfork --bench starts -- --picture # also replaces starts.svg
//! ```
//!
//! The yardstick is a bare `fork` in a freshly exec'ed, empty process. Beside each of
//! anyfork's ways is its limit, by raw calls (`limits.rs`). All take turns in one run, with nothing, 1 GiB and 4 GiB in the memory of the process
//! that starts them, and for the picture with 0.25, 0.5 and 2 GiB, too. AnyEvent::Fork (Debian: libanyevent-fork-perl, libev-perl)
//! and CPython are measured where they are installed.
//!
//! It prints a table, then a line a figure (`name value unit`), and draws
//! `target/starts.svg`. Nothing is asserted: times depend on the machine.

mod bare;
mod caller;
#[path = "../shared/chart.rs"]
mod chart;
mod functions;
mod limits;
#[path = "../shared/machine.rs"]
mod machine;
mod memory;
#[path = "../shared/server.rs"]
mod orders;
mod picture;
mod programs;
mod rates;
mod raw;
mod report;
mod room;
mod series;
mod server;
mod system;
mod workers;

use std::env;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use report::Report;
use series::MIB;
use system::{Result, System};

/// The MiB that the caller has in memory.
const HEAPS: [usize; 3] = [0, 1 << 10, 4 << 10];

/// The same for a picture, which shows how the time grows.
const HEAPS_OF_PICTURE: [usize; 6] = [0, 256, 512, 1 << 10, 2 << 10, 4 << 10];

/// Times that all heaps are gone through: the machine's noise comes and goes in
/// minutes, and shall hit them alike, too.
const PASSES: u32 = 3;

/// Blocks of each system at each heap in a pass.
const ROUNDS: usize = 4;

/// No further pass begins that would probably take longer than to here, with a picture
/// twice as long.
const LIMIT: Duration = Duration::from_secs(100);

fn main() -> Result<()> {
    if bare::is_server() {
        return bare::serve();
    }
    // Where the process is one of procspawn's, it goes no further.
    procspawn::init();
    // Before there is a template, which gets the same limit.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;

    let given = |option: &str| env::args().any(|arg| arg == option);
    // `cargo test --benches` only wants to know that it works.
    let (mut heaps, passes, rounds) = match (given("--bench"), given("--picture")) {
        (true, true) => (HEAPS_OF_PICTURE.to_vec(), PASSES, ROUNDS),
        (true, false) => (HEAPS.to_vec(), PASSES, ROUNDS),
        (false, _) => (vec![0], 1, 1),
    };
    let limit = LIMIT * if heaps.len() > HEAPS.len() { 2 } else { 1 };
    heaps.retain(|&heap| {
        let room = room::has_room_for(heap * MIB);
        if !room {
            println!("{}: skipped, memory is short", series::size(heap));
        }
        room
    });
    let machine = machine::description();
    println!("{machine}");
    println!(
        "load {}, transparent huge pages: {}",
        machine::load(),
        room::huge_pages()
    );

    let (cold, warm) = (workers::cold()?, workers::warm()?);
    let mut systems: Vec<Box<dyn System>> =
        vec![Box::new(bare::server()?), Box::new(bare::spaced()?)];
    systems.extend(workers::systems(&cold, &warm));
    systems.extend(programs::systems()?);
    systems.extend(caller::systems()?);
    systems.extend(limits::systems()?);
    systems.push(Box::new(functions::Functions::default()));
    for server in server::foreign() {
        systems.push(Box::new(server));
    }

    let mut report = Report::default();
    let mut all = Vec::new();
    let begun = Instant::now();
    for pass in 1..=passes {
        for &heap in &heaps {
            let ballast = black_box(vec![1u8; heap * MIB]);
            series::measure(&mut systems, heap, rounds, &mut all)?;
            drop(black_box(ballast));
        }
        if pass < passes && begun.elapsed() * (pass + 1) / pass > limit {
            println!("{} passes: skipped, the machine is slow", passes - pass);
            break;
        }
    }
    for system in &mut systems {
        system.heap(0)?;
    }
    report.times(&all, &heaps);
    report.ratios(&all);
    memory::measure(&mut report, &mut systems, &cold)?;
    let mut server = bare::server()?;
    let rounds = 2 * rounds;
    rates::under_way(&mut report, &mut server, &cold, &warm, rounds)?;
    rates::alive(&mut report, &mut server, &cold, rounds)?;
    report.print_lines();

    let picture = picture::draw(&all, &machine);
    // The folder for temporary files is in the target directory.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("starts.svg");
    fs::write(&target, &picture)?;
    println!("\n{}", target.display());
    if given("--picture") {
        let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/starts.svg");
        fs::write(kept, &picture)?;
        println!("{kept}");
    }
    Ok(())
}
