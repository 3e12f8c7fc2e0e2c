//! Many results and many events: `map` with and without chunks, and events beside raw
//! writes of the same size.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use anyfork::pool::Map;
use anyfork::{Pool, Process, Sender};

use crate::ping_pong::SIZE;
use crate::pools::{self, next};
use crate::report::{Reach, Report};
use crate::series::Series;
use crate::system::{Result, rate};

const SINGLE: &str = "map, chunk(1)";
const CHUNKS: &str = "map, chunk(64)";
const CHOSEN: &str = "map, in_flight(256)";
const EVENTS: &str = "events";
const WRITES: &str = "raw writes";

/// The items of a map of any kind.
type Items = std::ops::Range<u64>;

/// Sends so many events of the unit's size.
#[anyfork::call(text_errors)]
fn send(count: u64, events: Sender<(u64, u64, u64)>) -> anyfork::Result<()> {
    // Numbers of full length take more bytes: these take about as many as the unit.
    (0..count).try_for_each(|_| events.send((1 << 50, 1 << 50, 1 << 50)).blocking())
}

/// Writes as often as [`send()`], without anything of the library's.
#[anyfork::worker]
fn write(mut socket: UnixStream, count: u64) -> std::io::Result<()> {
    (0..count).try_for_each(|_| socket.write_all(&[0; SIZE]))
}

/// Each in turn with the others, with as many items and events as given.
pub(crate) fn measure(
    report: &mut Report,
    template: &Process,
    workers: usize,
    rounds: usize,
    count: u64,
) -> Result<()> {
    let pool = pools::pool(workers)?;
    let names = [SINGLE, CHUNKS, CHOSEN, EVENTS, WRITES];
    let mut all = names.map(|name| Series::new(name, ""));
    for _ in 0..rounds {
        let rates = [
            map(&pool, count, |map| map.chunk(1))?,
            map(&pool, count, |map| map.chunk(64))?,
            map(&pool, count, |map| map.in_flight(256))?,
            events(&pool, count)?,
            writes(template, count)?,
        ];
        for (series, rate) in all.iter_mut().zip(rates) {
            series.add_rate(rate);
        }
    }
    report.heading(&format!("many at once, {workers} workers"));
    for series in &all {
        report.figure(series.name, series.median(), "a second");
    }
    let [single, chunks, chosen, events, writes] = &all;
    for (series, unit, reach) in [
        (chunks, single, 5.0),
        (chosen, single, 5.0),
        (events, writes, 0.5),
    ] {
        let name = format!("{} in those of {}", series.name, unit.name);
        report.reach(&name, series.ratio(unit), Reach::AtLeast(reach));
    }
    Ok(())
}

/// Results a second.
fn map(
    pool: &Pool,
    count: u64,
    set: impl FnOnce(Map<Items, u64>) -> Map<Items, u64>,
) -> Result<f64> {
    let begun = Instant::now();
    let results = set(next::map(pool, 0..count)).blocking();
    for (expected, result) in (1..).zip(results) {
        assert_eq!(result?, expected);
    }
    Ok(rate(count, begun.elapsed()))
}

/// Events a second.
fn events(pool: &Pool, count: u64) -> Result<f64> {
    let begun = Instant::now();
    let mut call = send::call(pool, count);
    let mut received = 0;
    while call.recv().blocking().is_some() {
        received += 1;
    }
    call.blocking()??;
    assert_eq!(received, count);
    Ok(rate(count, begun.elapsed()))
}

/// Writes a second, with a reader that takes what there is.
fn writes(template: &Process, count: u64) -> Result<f64> {
    let mut worker = write::run(template.fork(), count).blocking()?;
    let begun = Instant::now();
    let mut received = 0;
    let mut buffer = vec![0; 1 << 16];
    while received < count as usize * SIZE {
        received += worker.socket.read(&mut buffer)?;
    }
    let rate = rate(count, begun.elapsed());
    worker.wait()?.check().map(drop)?;
    Ok(rate)
}
