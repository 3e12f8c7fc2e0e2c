//! [`Backoff`]: how long to wait before another try, longer after each failure.
//! RUNS IN: template
//!
//! Without it, a template whose spares or monitors fail would do nothing but fork.

use std::time::{Duration, Instant};

/// Interval after the first failure.
const INITIAL: Duration = Duration::from_millis(10);

/// Maximum interval between two tries.
const MAX: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(crate) struct Backoff {
    /// The interval after the last failure; zero after a success.
    interval: Duration,
    /// When the interval ends.
    until: Option<Instant>,
}

impl Backoff {
    /// A try has failed: doubles the interval, which begins now.
    pub(crate) fn fail(&mut self, now: Instant) {
        self.interval = (2 * self.interval).clamp(INITIAL, MAX);
        self.until = Some(now + self.interval);
    }

    /// A try has succeeded: the next one need not wait.
    pub(crate) fn reset(&mut self) {
        *self = Backoff::default();
    }

    /// How long the next try has to wait; zero if it need not.
    pub(crate) fn remaining(&self, now: Instant) -> Duration {
        let remaining = |until: Instant| until.saturating_duration_since(now);
        self.until.map(remaining).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_doubles_the_interval() {
        let (mut backoff, mut now) = (Backoff::default(), Instant::now());
        assert_eq!(backoff.remaining(now), Duration::ZERO);
        let mut intervals = Vec::new();
        for _ in 0..9 {
            backoff.fail(now);
            intervals.push(backoff.remaining(now).as_millis());
            now += backoff.remaining(now);
            assert_eq!(backoff.remaining(now), Duration::ZERO);
        }
        assert_eq!(intervals, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    }

    #[test]
    fn a_success_ends_the_interval() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        backoff.fail(now);
        backoff.fail(now);
        backoff.reset();
        assert_eq!(backoff.remaining(now), Duration::ZERO);
        backoff.fail(now);
        assert_eq!(backoff.remaining(now), INITIAL);
    }
}
