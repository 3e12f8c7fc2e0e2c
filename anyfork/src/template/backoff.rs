//! [`Pause`]: what is put off after it was of no use, longer each time.

use std::time::{Duration, Instant};

const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(crate) struct Pause {
    /// How long it was put off last; zero if it was of use then.
    delay: Duration,
    /// When that is over.
    over: Option<Instant>,
}

impl Pause {
    /// It was of no use: the next one is put off.
    pub(crate) fn put_off(&mut self, now: Instant) {
        self.delay = (2 * self.delay).clamp(SHORTEST, LONGEST);
        self.over = Some(now + self.delay);
    }

    /// It was of use: nothing is put off.
    pub(crate) fn forget(&mut self) {
        *self = Pause::default();
    }

    /// For how long the next one is put off still.
    pub(crate) fn left(&self, now: Instant) -> Duration {
        let left = self.over.map(|over| over.saturating_duration_since(now));
        left.unwrap_or_default()
    }
}
