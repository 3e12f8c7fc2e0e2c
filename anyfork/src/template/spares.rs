//! [`Young`]: the spares that have just been forked. Where they die before they are of
//! use, the next are put off, longer each time, so that a template does not do
//! nothing but fork.

use std::time::{Duration, Instant};

use crate::template::backoff::Backoff;

/// What dies as a spare before that has died at its start.
const YOUTH: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(crate) struct Young {
    /// The pids of those that live, and when each was forked.
    spares: Vec<(u64, Instant)>,
    pause: Backoff,
}

impl Young {
    /// One was forked.
    pub(crate) fn add(&mut self, pid: u64, now: Instant) {
        self.let_grow_up(now);
        self.spares.push((pid, now));
    }

    /// One has died that nobody had any use for.
    pub(crate) fn end(&mut self, pid: u64, now: Instant) {
        self.let_grow_up(now);
        let Some(at) = self.spares.iter().position(|(young, _)| *young == pid) else {
            return;
        };
        self.spares.swap_remove(at);
        self.pause.fail(now);
    }

    /// They are of use, or are not to be any more: nothing is put off.
    pub(crate) fn forget(&mut self) {
        *self = Young::default();
    }

    /// For how long the next one is put off.
    pub(crate) fn delay(&self, now: Instant) -> Duration {
        self.pause.remaining(now)
    }

    /// One that lives for so long shows that they can.
    fn let_grow_up(&mut self, now: Instant) {
        let before = self.spares.len();
        let age = |born| now.saturating_duration_since(born);
        self.spares.retain(|(_, born)| age(*born) < YOUTH);
        if self.spares.len() < before {
            self.pause.reset();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_is_put_off_longer_each_time() {
        let (mut young, mut now) = (Young::default(), Instant::now());
        let mut delays = Vec::new();
        for pid in 1..=9 {
            young.add(pid, now);
            assert_eq!(young.delay(now), Duration::ZERO);
            now += Duration::from_millis(1);
            young.end(pid, now);
            delays.push(young.delay(now).as_millis());
            now += young.delay(now);
        }
        assert_eq!(delays, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        // One that lives longer begins anew, wherever it ends.
        young.add(10, now);
        now += YOUTH;
        young.end(10, now);
        assert_eq!(young.delay(now), Duration::ZERO);
        young.add(11, now);
        young.end(11, now);
        assert_eq!(young.delay(now), Duration::from_millis(10));
        young.forget();
        assert_eq!(young.delay(now), Duration::ZERO);
    }

    #[test]
    fn one_that_is_not_young_puts_nothing_off() {
        let (mut young, now) = (Young::default(), Instant::now());
        young.end(1, now);
        assert_eq!(young.delay(now), Duration::ZERO);
    }
}
