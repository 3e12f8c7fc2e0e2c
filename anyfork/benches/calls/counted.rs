//! What a tiny call by `.blocking()` asks of the system: system calls, by strace(1) where
//! that is installed, and allocations. Caller and worker together for the system calls.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::pools;
use crate::report::{Reach, Report};
use crate::system::Result;

/// With a number behind: the program makes so many calls, and nothing else.
const OPTION: &str = "--calls";

/// Calls of two runs, whose difference has no start and no end in it.
const FEW: u64 = 500;
const MANY: u64 = 2_500;

/// Counts allocations, and changes of their size, when it is asked to.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static IS_COUNTING: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicU64 = AtomicU64::new(0);

// SAFETY: it is the system's, which does what it promises.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if IS_COUNTING.load(Relaxed) {
            COUNT.fetch_add(1, Relaxed);
        }
        // SAFETY: the caller's promises are handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if IS_COUNTING.load(Relaxed) {
            COUNT.fetch_add(1, Relaxed);
        }
        // SAFETY: the caller's promises are handed on.
        unsafe { System.realloc(place, layout, size) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are handed on.
        unsafe { System.dealloc(place, layout) }
    }
}

/// Counts in the worker from now on: the number so far.
#[anyfork::call]
fn count() -> u64 {
    IS_COUNTING.store(true, Relaxed);
    COUNT.load(Relaxed)
}

/// The number behind the option, if it is given.
pub(crate) fn wanted() -> Option<u64> {
    let mut args = env::args().skip_while(|arg| arg != OPTION).skip(1);
    args.next()?.parse().ok()
}

/// Makes so many calls, to be traced.
pub(crate) fn make(calls: u64) -> Result<()> {
    let pool = pools::pool(1)?;
    (0..calls).try_for_each(|_| pools::call(&pool))
}

/// Allocations of a call, on each side.
pub(crate) fn allocations(report: &mut Report) -> Result<()> {
    report.heading("a tiny call by `.blocking()`");
    let pool = pools::pool(1)?;
    let of_worker = count::call(&pool).blocking()?;
    pools::call(&pool)?;
    IS_COUNTING.store(true, Relaxed);
    let of_caller = COUNT.load(Relaxed);
    (0..FEW).try_for_each(|_| pools::call(&pool))?;
    let of_caller = COUNT.load(Relaxed) - of_caller;
    IS_COUNTING.store(false, Relaxed);
    let of_worker = count::call(&pool).blocking()? - of_worker;
    let mut figure = |name: &str, all| {
        report.figure(name, all as f64 / FEW as f64, "allocations");
    };
    figure("blocking_call_in_the_caller", of_caller);
    figure("blocking_call_in_the_worker", of_worker);
    Ok(())
}

/// System calls of a call, on both sides.
pub(crate) fn system_calls(report: &mut Report) -> Result<()> {
    let (few, many) = match (traced(FEW), traced(MANY)) {
        (Ok(few), Ok(many)) => (few, many),
        (Err(error), _) | (_, Err(error)) => {
            println!("system calls: skipped, strace: {error}");
            return Ok(());
        }
    };
    let mut all = 0.0;
    for (name, calls) in many {
        let more = calls - few.get(&name).unwrap_or(&0.0);
        let of_one = more / (MANY - FEW) as f64;
        if of_one >= 0.01 {
            report.figure(&format!("blocking_call_{name}"), of_one, "system calls");
            all += of_one;
        }
    }
    report.reach("system calls of a blocking call", all, Reach::AtMost(4.05));
    Ok(())
}

/// Runs this program under strace(1) for so many calls: its system calls by name.
fn traced(calls: u64) -> Result<BTreeMap<String, f64>> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("calls.strace");
    let status = Command::new("strace")
        .args(["-f", "-c", "-o"])
        .arg(&path)
        .arg(env::current_exe()?)
        .args([OPTION, &calls.to_string()])
        .stderr(Stdio::null())
        .status()?;
    if !status.success() {
        return Err(status.to_string().into());
    }
    let table = fs::read_to_string(path)?;
    // Share, seconds, µs a call, calls, perhaps errors, name.
    let lines = table.lines().filter_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let calls = words.get(3)?.parse().ok()?;
        Some((words.last()?.to_string(), calls))
    });
    Ok(lines.filter(|(name, _)| name != "total").collect())
}
