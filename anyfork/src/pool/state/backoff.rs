//! How the last starts of a pool went, and when the next may be made.
//! RUNS IN: caller

use std::time::{Duration, Instant};

use crate::error::Error;

/// Number of failures in a row without a back-off.
const NUMBER_AT_ONCE: u32 = 5;

/// Interval after the first failure with a back-off.
const INTERVAL_FIRST: Duration = Duration::from_millis(100);

/// Maximum of the interval, which doubles with each failure.
const MAXIMUM_INTERVAL: Duration = Duration::from_secs(10);

/// How the last starts went.
pub(super) struct Starts {
    /// Starts that failed in a row.
    failed: u32,
    /// Why the last one did.
    error: Option<Error>,
    /// No start before.
    pub(super) retry: Option<Instant>,
    /// Idle workers that exited early in a row.
    deaths: u32,
    /// No start for the floor before.
    pub(super) refill: Option<Instant>,
    /// The last start for a call that waits.
    pub(super) last: Option<Instant>,
    random: u64,
}

impl Starts {
    pub(super) fn new(seed: u64) -> Starts {
        Starts {
            failed: 0,
            error: None,
            retry: None,
            deaths: 0,
            refill: None,
            last: None,
            random: seed | 1,
        }
    }

    pub(super) fn error(&self) -> Option<Error> {
        self.error.clone()
    }

    /// A fresh worker is ready.
    pub(super) fn succeeded(&mut self) {
        self.failed = 0;
        self.error = None;
        self.retry = None;
    }

    /// A worker has served a call, or lived long enough.
    pub(super) fn served(&mut self) {
        self.deaths = 0;
        self.refill = None;
    }

    pub(super) fn failed(&mut self, now: Instant, error: Error) {
        self.failed += 1;
        self.error = Some(error);
        self.retry = self.back_off(self.failed).map(|it| now + it);
    }

    /// A worker exited within a second of being ready, without a call.
    pub(super) fn died_early(&mut self, now: Instant) {
        self.deaths += 1;
        self.refill = self.back_off(self.deaths).map(|it| now + it);
    }

    fn back_off(&mut self, failures: u32) -> Option<Duration> {
        let doublings = failures.checked_sub(NUMBER_AT_ONCE)?.min(16);
        let interval = (INTERVAL_FIRST * 2u32.pow(doublings)).min(MAXIMUM_INTERVAL);
        // Up to a fifth more, so that many pools do not try in step.
        Some(
            interval
                .mul_f64(1.0 + 0.2 * self.random())
                .min(MAXIMUM_INTERVAL),
        )
    }

    /// A number from 0 to 1 (xorshift64).
    fn random(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A duration, 10 % more or less. `None`: longer than can be told.
    pub(super) fn about_as_long_as(&mut self, duration: Duration) -> Option<Duration> {
        Duration::try_from_secs_f64(duration.as_secs_f64() * self.about()).ok()
    }

    /// A factor from 0.9 to 1.1.
    pub(super) fn about(&mut self) -> f64 {
        0.9 + 0.2 * self.random()
    }
}
