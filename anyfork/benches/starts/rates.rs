//! Starts in a second: with some under way at the same time, and while many
//! workers are alive.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyfork::Process;

use crate::report::Report;
use crate::series::median;
use crate::server::Server;
use crate::system::Result;
use crate::workers::{self, end, nothing};

/// So many starts are timed at once.
const STARTS: usize = 128;

/// Keeps `width` starts under way, the oldest of which is finished before the
/// next begins: the time that `total` of them take.
pub(crate) fn window<T>(
    width: usize,
    total: usize,
    mut start: impl FnMut() -> Result<T>,
    mut finish: impl FnMut(T) -> Result<()>,
) -> Result<Duration> {
    let mut under_way = VecDeque::with_capacity(width);
    let begun = Instant::now();
    for _ in 0..total {
        if under_way.len() == width
            && let Some(oldest) = under_way.pop_front()
        {
            finish(oldest)?;
        }
        under_way.push_back(start()?);
    }
    under_way.into_iter().try_for_each(finish)?;
    Ok(begun.elapsed())
}

/// A worker a start, until its status is known.
fn anyfork(template: &Process, width: usize) -> Result<Duration> {
    let start = || Ok(template.fork().run(nothing::NAME));
    window(width, STARTS, start, |launch| end(launch.blocking()?))
}

fn bare(server: &mut Server, width: usize) -> Result<Duration> {
    let answer = server.order(&format!("window-{width}"), STARTS)?;
    let nanos = answer.first().ok_or("a window takes time")?;
    Ok(Duration::from_nanos(*nanos))
}

/// With 1, 8 and 64 starts under way, beside bare forks of which as many are.
pub(crate) fn under_way(
    report: &mut Report,
    server: &mut Server,
    cold: &Process,
    warm: &Process,
    rounds: usize,
) -> Result<()> {
    report.heading("starts with some under way, to their exit");
    for width in [1, 8, 64] {
        let mut rates = [const { Vec::new() }; 3];
        for _ in 0..rounds {
            let taken = [
                bare(server, width)?,
                anyfork(cold, width)?,
                anyfork(warm, width)?,
            ];
            for (rates, taken) in rates.iter_mut().zip(taken) {
                rates.push(STARTS as f64 / taken.as_secs_f64());
            }
        }
        let [bare, cold, warm] = rates.map(median);
        let mut rate = |name, rate| {
            report.figure(&format!("{name}_{width}_under_way"), rate, "starts/s");
        };
        rate("bare_fork", bare);
        rate("anyfork_cold", cold);
        rate("anyfork_warm", warm);
        let mut ratio = |name, rate| {
            let name = format!("{name}_{width}_under_way_x_bare_fork");
            report.figure(&name, rate / bare, "ratio");
        };
        ratio("anyfork_cold", cold);
        ratio("anyfork_warm", warm);
    }
    Ok(())
}

/// Cold starts while ever more workers are alive, of the same template and with
/// all their descriptors here.
pub(crate) fn alive(
    report: &mut Report,
    server: &mut Server,
    cold: &Process,
    rounds: usize,
) -> Result<()> {
    report.heading("starts while workers are alive, to their exit");
    let (mut held, mut few) = (Vec::new(), None);
    for count in [100, 1_000, 5_000] {
        match workers::hold(cold, count - held.len()) {
            Ok(more) => held.extend(more),
            Err(error) => {
                println!("{count} workers: skipped, {error}");
                break;
            }
        }
        let (mut rates, mut ratios) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let bare = bare(server, 1)?.as_secs_f64();
            let taken = anyfork(cold, 1)?.as_secs_f64();
            rates.push(STARTS as f64 / taken);
            ratios.push(bare / taken);
        }
        let (rate, ratio) = (median(rates), median(ratios));
        let name = format!("anyfork_cold_{count}_alive");
        report.figure(&name, rate, "starts/s");
        report.figure(&format!("{name}_x_bare_fork"), ratio, "ratio");
        // In bare forks of the same moment: the counts cannot take turns.
        let few = *few.get_or_insert(ratio);
        if count > 100 {
            report.figure(&format!("{name}_x_100_alive"), ratio / few, "ratio");
        }
    }
    workers::release(held)
}
