//! [`Patience`]: whether the spares take the requests, or the template has to.
//! RUNS IN: template
//!
//! While there are spares, the template does not wait for requests: to wake it for each
//! would slow every start down. But spares may be stopped, frozen or traced, or be busy
//! in a way that nobody foresaw. So the template looks from time to time whether
//! something lies unread on the control socket. If that is so at two looks in a row, and
//! no spare has taken anything in between, the template takes over until there is
//! nothing more to take.
//!
//! A request is delayed by at most [`MAX`] and [`INTERVAL`] that way. The template's
//! loop asks; this file makes no system call.

use std::time::{Duration, Instant};

/// Interval from an event to the next look, and from a look that has found something to
/// the second one. Longer than a spare that is about to take a request waits for a
/// processor.
const INTERVAL: Duration = Duration::from_millis(100);

/// Maximum interval between two looks, reached when nothing happens.
const MAX: Duration = Duration::from_secs(1);

pub(crate) struct Patience {
    /// The interval before the next look.
    interval: Duration,
    /// The time of the next look.
    next: Instant,
    /// Whether the last look has found something unread.
    was_unread: bool,
    /// Whether the template receives although there are spares.
    takes_over: bool,
    /// Whether it has received something since the last look.
    has_received: bool,
}

impl Patience {
    pub(crate) fn new(now: Instant) -> Patience {
        Patience {
            interval: INTERVAL,
            next: now + INTERVAL,
            was_unread: false,
            takes_over: false,
            has_received: false,
        }
    }

    /// How long to wait for events before the next look; zero if it is due.
    pub(crate) fn remaining(&self, now: Instant) -> Duration {
        self.next.saturating_duration_since(now)
    }

    /// Something has happened: requests are likely from now on.
    pub(crate) fn on_event(&mut self, now: Instant) {
        self.interval = INTERVAL;
        self.next = self.next.min(now + INTERVAL);
    }

    /// The template has received a message.
    pub(crate) fn on_received(&mut self) {
        self.has_received = true;
    }

    /// The template has found that spares have taken requests since the last look.
    pub(crate) fn on_taken(&mut self, now: Instant) {
        self.has_received = false;
        self.on_look(false, now);
    }

    /// The template has looked whether something is unread that no spare takes.
    pub(crate) fn on_look(&mut self, is_unread: bool, now: Instant) {
        let is_needed = is_unread && self.was_unread;
        let goes_on = self.takes_over && (is_unread || self.has_received);
        self.takes_over = is_needed || goes_on;
        self.was_unread = is_unread;
        self.has_received = false;
        if is_unread || self.takes_over {
            self.interval = INTERVAL;
        }
        self.next = now + self.interval;
        self.interval = (2 * self.interval).min(MAX);
    }

    /// Whether the template receives although there are spares.
    pub(crate) fn takes_over(&self) -> bool {
        self.takes_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The intervals between so many looks that find nothing.
    fn intervals(patience: &mut Patience, now: &mut Instant, count: usize) -> Vec<u128> {
        let intervals = (0..count).map(|_| {
            let interval = patience.remaining(*now);
            *now += interval;
            patience.on_look(false, *now);
            interval.as_millis()
        });
        intervals.collect()
    }

    #[test]
    fn looks_become_rare_while_nothing_happens() {
        let mut now = Instant::now();
        let mut patience = Patience::new(now);
        patience.on_event(now);
        let rare = [100, 100, 200, 400, 800, 1000, 1000];
        assert_eq!(intervals(&mut patience, &mut now, 7), rare);
        patience.on_event(now);
        assert_eq!(intervals(&mut patience, &mut now, 2), [100, 100]);
    }

    #[test]
    fn events_put_no_look_off() {
        let begin = Instant::now();
        let mut patience = Patience::new(begin);
        for millis in 0..100 {
            patience.on_event(begin + Duration::from_millis(millis));
        }
        assert!(patience.remaining(begin + INTERVAL).is_zero());
    }

    #[test]
    fn what_is_unread_twice_is_taken_over() {
        let now = Instant::now();
        let mut patience = Patience::new(now);
        for (is_unread, takes_over) in [
            (true, false),
            (false, false),
            (true, false),
            (true, true),
            (false, false),
        ] {
            patience.on_look(is_unread, now);
            assert_eq!(patience.takes_over(), takes_over);
        }
    }

    #[test]
    fn it_goes_on_while_there_is_something_to_receive() {
        let now = Instant::now();
        let mut patience = Patience::new(now);
        patience.on_look(true, now);
        patience.on_look(true, now);
        for _ in 0..3 {
            patience.on_received();
            patience.on_look(false, now);
            assert!(patience.takes_over());
            assert_eq!(patience.remaining(now), INTERVAL);
        }
        patience.on_received();
        patience.on_taken(now);
        assert!(!patience.takes_over());
    }
}
