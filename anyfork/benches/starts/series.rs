//! All systems take turns, a block of starts each, so that what else the machine
//! does hits them alike: read the ratios, not the times.

use std::time::{Duration, Instant};

use crate::system::{Result, System, slug};

pub(crate) const MIB: usize = 1 << 20;

/// About so long a block is, but no more starts than these.
const BLOCK: Duration = Duration::from_millis(20);
const MOST: usize = 100;

/// The first starts pay for what is set up lazily, here and there.
const WARM_UP: usize = 3;

/// What a system took with a heap of so many MiB.
pub(crate) struct Series {
    pub(crate) name: &'static str,
    pub(crate) heap: usize,
    /// In microseconds.
    times: Vec<f64>,
    /// Starts a second of each block, if they say anything.
    rates: Vec<f64>,
}

impl Series {
    pub(crate) fn median(&self) -> f64 {
        median(self.times.clone())
    }

    /// The longest, where there are fewer than a hundred.
    pub(crate) fn p99(&self) -> f64 {
        let mut times = self.times.clone();
        times.sort_by(f64::total_cmp);
        times[times.len() * 99 / 100]
    }

    pub(crate) fn rate(&self) -> Option<f64> {
        (!self.rates.is_empty()).then(|| median(self.rates.clone()))
    }

    /// `anyfork_cold_ready_4gib`, `anyfork_cold_ready_256mib`.
    pub(crate) fn slug(&self) -> String {
        format!(
            "{}_{}",
            slug(self.name),
            slug(&size(self.heap)).replace('_', "")
        )
    }
}

/// `4 GiB`, `256 MiB`.
pub(crate) fn size(heap: usize) -> String {
    match heap % 1024 {
        0 => format!("{} GiB", heap / 1024),
        _ => format!("{heap} MiB"),
    }
}

/// Times all systems in turn with a heap of so many MiB, and adds to what there
/// is.
pub(crate) fn measure(
    systems: &mut [Box<dyn System>],
    heap: usize,
    rounds: usize,
    all: &mut Vec<Series>,
) -> Result<()> {
    let mut turns = Vec::new();
    for system in systems {
        if !system.heap(heap * MIB)? {
            println!(
                "{}, {}: skipped, memory is short",
                system.name(),
                size(heap)
            );
            continue;
        }
        let begun = Instant::now();
        system.block(WARM_UP)?;
        let start = begun.elapsed().div_f64(WARM_UP as f64);
        let series = of(all, system.name(), heap);
        turns.push(Turn {
            series,
            system,
            start,
        });
    }
    for _ in 0..rounds {
        for turn in &mut turns {
            let series = &mut all[turn.series];
            turn.block(series)?;
        }
    }
    Ok(())
}

/// Which of them it is; a new one at first.
fn of(all: &mut Vec<Series>, name: &'static str, heap: usize) -> usize {
    let known = all.iter().position(|it| it.name == name && it.heap == heap);
    known.unwrap_or_else(|| {
        all.push(Series {
            name,
            heap,
            times: Vec::new(),
            rates: Vec::new(),
        });
        all.len() - 1
    })
}

/// A system, between its blocks.
struct Turn<'a> {
    series: usize,
    system: &'a mut Box<dyn System>,
    /// What one start took the last time.
    start: Duration,
}

impl Turn<'_> {
    fn block(&mut self, series: &mut Series) -> Result<()> {
        let fitting = (BLOCK.as_secs_f64() / self.start.as_secs_f64()) as usize;
        let starts = fitting.clamp(1, MOST);
        let begun = Instant::now();
        let times = self.system.block(starts)?;
        let taken = begun.elapsed();
        self.start = taken.div_f64(starts as f64);
        series
            .times
            .extend(times.iter().map(|time| time.as_secs_f64() * 1e6));
        if self.system.back_to_back() {
            series.rates.push(starts as f64 / taken.as_secs_f64());
        }
        Ok(())
    }
}

/// The one in the middle, of at least one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
