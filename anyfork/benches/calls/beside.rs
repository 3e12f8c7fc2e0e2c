//! Several calls in one worker: sent ahead with `load`, and at once with `concurrency`.

use std::time::Instant;

use anyfork::{Pool, Process};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::pools::next;
use crate::report::{Reach, Report};
use crate::series::Series;
use crate::system::{Result, rate};

const SINGLE: &str = "async calls, concurrency(1)";
const BESIDE: &str = "async calls, concurrency(64)";
const IN_TURN: &str = "calls, load(1)";
const AHEAD: &str = "calls, load(16)";

/// Number of tasks that call.
const TASKS: u64 = 64;

/// [`next()`], as an `async fn`.
#[anyfork::call]
async fn next_async(n: u64) -> u64 {
    n + 1
}

/// Each in turn with the others, with so many calls.
pub(crate) fn measure(report: &mut Report, rounds: usize, count: u64) -> Result<()> {
    let pool = |load, concurrency| {
        let builder = Pool::builder(Process::new()?).max(1);
        builder.load(load).concurrency(concurrency).build()
    };
    let pools = [pool(1, 1)?, pool(1, 64)?, pool(16, 1)?];
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let names = [SINGLE, BESIDE, IN_TURN, AHEAD];
    let mut all = names.map(|name| Series::new(name, ""));
    for _ in 0..rounds {
        let rates = [
            asynchronous(&runtime, &pools[0], count)?,
            asynchronous(&runtime, &pools[1], count)?,
            plain(&runtime, &pools[0], count)?,
            plain(&runtime, &pools[2], count)?,
        ];
        for (series, rate) in all.iter_mut().zip(rates) {
            series.add_rate(rate);
        }
    }
    report.heading(&format!("{TASKS} tasks, one worker"));
    for series in &all {
        report.figure(series.name, series.median(), "a second");
    }
    let [single, beside, in_turn, ahead] = &all;
    for (series, unit, reach) in [(beside, single, 3.0), (ahead, in_turn, 1.0)] {
        let name = format!("{} in those of {}", series.name, unit.name);
        report.reach(&name, series.ratio(unit), Reach::AtLeast(reach));
    }
    Ok(())
}

/// Calls of an `async fn` a second.
fn asynchronous(runtime: &Runtime, pool: &Pool, count: u64) -> Result<f64> {
    calls(runtime, pool, count, |pool, n| next_async::call(pool, n))
}

/// Calls of a function that is not async, a second.
fn plain(runtime: &Runtime, pool: &Pool, count: u64) -> Result<f64> {
    calls(runtime, pool, count, |pool, n| next::call(pool, n))
}

/// Calls a second of tasks that share a thread.
fn calls(
    runtime: &Runtime,
    pool: &Pool,
    count: u64,
    call: fn(&Pool, u64) -> anyfork::Call<u64>,
) -> Result<f64> {
    let begun = Instant::now();
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for _ in 0..TASKS {
            let pool = pool.clone();
            tasks.spawn(async move {
                for n in 0..count / TASKS {
                    assert_eq!(call(&pool, n).await?, n + 1);
                }
                anyfork::Result::<()>::Ok(())
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Result::Ok(())
    })?;
    Ok(rate(count / TASKS * TASKS, begun.elapsed()))
}
