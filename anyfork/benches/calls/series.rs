//! Rounds, in which systems take turns, and what comes of them.

use std::time::Duration;

use crate::cpus::{Cpus, Placement};
use crate::system::{Result, System};

/// The figures of one system under one condition.
pub(crate) struct Series {
    pub(crate) name: &'static str,
    /// The condition: a placement, or a number of callers.
    pub(crate) at: String,
    /// One value a round: the median time in µs, or calls a second.
    rounds: Vec<f64>,
    /// All times, in µs.
    times: Vec<f64>,
}

impl Series {
    /// Without figures yet.
    pub(crate) fn new(name: &'static str, at: impl ToString) -> Series {
        Series {
            name,
            at: at.to_string(),
            rounds: Vec::new(),
            times: Vec::new(),
        }
    }

    /// Adds the times of a round.
    pub(crate) fn add_times(&mut self, times: &[Duration]) {
        let micros: Vec<_> = times.iter().map(|time| time.as_secs_f64() * 1e6).collect();
        self.times.extend(&micros);
        self.rounds.push(median(micros));
    }

    /// Adds the calls a second of a round.
    pub(crate) fn add_rate(&mut self, rate: f64) {
        self.rounds.push(rate);
    }

    /// The value of the middle round.
    pub(crate) fn median(&self) -> f64 {
        median(self.rounds.clone())
    }

    /// Of all times.
    pub(crate) fn p99(&self) -> f64 {
        let mut times = self.times.clone();
        times.sort_by(f64::total_cmp);
        times[times.len() * 99 / 100]
    }

    /// Calls a second, one after another.
    pub(crate) fn rate(&self) -> f64 {
        self.times.len() as f64 / self.times.iter().sum::<f64>() * 1e6
    }

    /// How many times the other: in the middle round, as the machine's noise hits both
    /// values of a round alike.
    pub(crate) fn ratio(&self, other: &Series) -> f64 {
        let rounds = self.rounds.iter().zip(&other.rounds);
        median(rounds.map(|(one, other)| one / other).collect())
    }

    /// The sum of this and so many times the other, round by round.
    pub(crate) fn plus(&self, times: f64, other: &Series) -> Series {
        let rounds = self.rounds.iter().zip(&other.rounds);
        let mut sum = Series::new(self.name, &self.at);
        sum.rounds = rounds.map(|(one, other)| one + times * other).collect();
        sum
    }
}

pub(crate) fn find<'a>(all: &'a [Series], name: &str, at: impl ToString) -> Option<&'a Series> {
    let at = at.to_string();
    all.iter().find(|it| it.name == name && it.at == at)
}

/// One call after another by each system, at each placement.
pub(crate) fn one_by_one(
    systems: &mut [Box<dyn System>],
    cpus: &Cpus,
    rounds: usize,
    span: Duration,
) -> Result<Vec<Series>> {
    let mut all = Vec::new();
    for placement in cpus.placements() {
        let mut of_placement: Vec<_> = systems
            .iter()
            .map(|system| Series::new(system.name(), placement.name()))
            .collect();
        for _ in 0..rounds {
            for (system, series) in systems.iter_mut().zip(&mut of_placement) {
                cpus.place(&mut **system, placement)?;
                // What the move costs is not the call's.
                system.one_by_one(span / 10)?;
                series.add_times(&system.one_by_one(span)?);
            }
        }
        all.extend(of_placement);
    }
    for system in systems {
        cpus.place(&mut **system, Placement::Anywhere)?;
    }
    Ok(all)
}

/// So many callers of each system at once.
pub(crate) fn at_once(
    systems: &mut [Box<dyn System>],
    callers: &[usize],
    rounds: usize,
    span: Duration,
) -> Result<Vec<Series>> {
    let mut all = Vec::new();
    for count in callers {
        all.extend(systems.iter().map(|it| Series::new(it.name(), count)));
    }
    for _ in 0..rounds {
        for (&count, series) in callers.iter().zip(all.chunks_mut(systems.len())) {
            for (system, series) in systems.iter_mut().zip(series) {
                series.add_rate(system.at_once(count, span)?);
            }
        }
    }
    Ok(all)
}

/// The one in the middle, of at least one.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
