//! What is done once at a time and in turn: large values, processes for one call, and
//! calls that are killed.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use anyfork::{Pool, Process};

use crate::ping_pong::{self, PingPong};
use crate::pools::{self, next};
use crate::report::{Reach, Report};
use crate::series::{Series, find};
use crate::system::{Result, at_once, slug};

/// Bytes of a large value.
const LARGE: usize = 1 << 20;

const RAW: &str = "1 MiB, ping-pong";
const VALUE: &str = "1 MiB, anyfork";
const READY: &str = "start, ready";
const EXITED: &str = "start, to its exit";
const FRESH: &str = "call in a fresh process";
const REPLACED: &str = "kill, to the next answer";
const STARTS: &str = "starts to their exit";
const RETIRING: &str = "calls, retire_after(1)";

/// Time in which a call that stays is killed.
const TIMEOUT_STUCK: Duration = Duration::from_secs(60);

#[anyfork::worker]
fn nothing() {}

#[anyfork::call]
fn same(bytes: Vec<u8>) -> Vec<u8> {
    bytes
}

/// Says that it was entered, and stays.
#[anyfork::call]
fn stuck(mut entered: UnixStream) -> io::Result<()> {
    entered.write_all(b".")?;
    thread::sleep(TIMEOUT_STUCK);
    Ok(())
}

type Way<'a> = (&'static str, Box<dyn FnMut() -> Result<Duration> + 'a>);

/// Each in turn with the others.
pub(crate) fn measure(report: &mut Report, template: &Process, rounds: usize) -> Result<()> {
    let mut unit = PingPong::new(ping_pong::SIZE, 1)?;
    let mut raw = PingPong::new(LARGE, 1)?;
    let pool = pools::pool(1)?;
    let replacing = Pool::builder(template.fork()).max(1).build()?;
    let mut value = vec![1; LARGE];
    let mut ways: [Way; 7] = [
        (ping_pong::NAME, Box::new(|| time(|| unit.ping()))),
        (RAW, Box::new(|| time(|| raw.ping()))),
        (
            VALUE,
            Box::new(|| {
                time(|| {
                    value = same::call(&pool, std::mem::take(&mut value)).blocking()?;
                    Ok(())
                })
            }),
        ),
        (READY, Box::new(|| ready(template))),
        (EXITED, Box::new(|| time(|| start(template)))),
        (
            FRESH,
            Box::new(|| time(|| Ok(next::call(template.fork(), 7).blocking().map(drop)?))),
        ),
        (REPLACED, Box::new(|| replaced(&replacing))),
    ];
    let mut all: Vec<_> = ways.iter().map(|way| Series::new(way.0, "")).collect();
    for _ in 0..rounds {
        for ((_, way), series) in ways.iter_mut().zip(&mut all) {
            series.add_times(&[way()?]);
        }
    }
    report.singles(&all);
    let of = |name| find(&all, name, "").expect("all are there");
    let value = of(RAW).ratio(of(VALUE));
    report.reach("1 MiB in ping-pongs of it", value, Reach::AtLeast(0.7));
    let fresh = of(FRESH).ratio(&of(EXITED).plus(1.3, of(ping_pong::NAME)));
    report.reach("fresh in a start and 1.3", fresh, Reach::AtMost(1.0));
    let replaced = of(REPLACED).ratio(of(READY));
    report.reach("kill and replace in starts", replaced, Reach::AtMost(1.5));
    Ok(())
}

/// Calls a second of workers that take one call each, beside starts a second, both by so
/// many threads.
pub(crate) fn retiring(
    report: &mut Report,
    template: &Process,
    callers: usize,
    rounds: usize,
    span: Duration,
) -> Result<()> {
    let builder = Pool::builder(template.fork()).max(callers);
    let pool = builder.retire_after(1).build()?;
    pools::call(&pool)?;
    let mut threads = vec![(); callers];
    let (mut starts, mut calls) = (Series::new(STARTS, callers), Series::new(RETIRING, callers));
    for _ in 0..rounds {
        starts.add_rate(at_once(&mut threads, span, |()| start(template))?);
        calls.add_rate(at_once(&mut threads, span, |()| pools::call(&pool))?);
    }
    report.heading(&format!("processes for one call, {callers} threads"));
    for series in [&starts, &calls] {
        let name = format!("{}_{callers}_threads", slug(series.name));
        report.figure(&name, series.median(), "a second");
    }
    let ratio = calls.ratio(&starts);
    let name = format!("retire after 1 in starts, {callers} threads");
    report.reach(&name, ratio, Reach::AtLeast(0.9));
    Ok(())
}

fn time(what: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let begun = Instant::now();
    what()?;
    Ok(begun.elapsed())
}

/// Starts a worker; its exit is not timed.
fn ready(template: &Process) -> Result<Duration> {
    let begun = Instant::now();
    let mut worker = template.fork().run(nothing::NAME).blocking()?;
    let taken = begun.elapsed();
    worker.wait()?.check().map(drop)?;
    Ok(taken)
}

/// Starts a worker, and waits for its exit.
fn start(template: &Process) -> Result<()> {
    let mut worker = template.fork().run(nothing::NAME).blocking()?;
    Ok(worker.wait()?.check().map(drop)?)
}

/// Kills the call that is in the only worker: from there to the answer of the next.
fn replaced(pool: &Pool) -> Result<Duration> {
    let (mut mine, theirs) = UnixStream::pair()?;
    let killed = stuck::call(pool, theirs);
    mine.read_exact(&mut [0])?;
    time(|| {
        drop(killed);
        pools::call(pool)
    })
}
