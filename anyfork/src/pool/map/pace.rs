//! [`Pace`]: how many items of a map are under way, and how many go with a message.
//! RUNS IN: caller

use std::time::{Duration, Instant};

use crate::protocol::call::items;

/// Time that the items of a message take together, where their number is chosen here: some
/// ten times what the message costs itself.
const TIME_OF_MESSAGE: Duration = Duration::from_micros(300);

/// Part of each new measurement in the average.
const WEIGHT: f64 = 0.25;

/// How many times the average a measurement counts at most: a worker or this process may
/// have had no processor for a while, which says nothing of the items.
const MAXIMUM_OUTLIER: f64 = 4.0;

/// How many items are under way, and how many go with a message.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Maximum number of items under way, as asked for.
    in_flight: Option<usize>,
    /// Number of items with a message, as asked for.
    chunk: Option<usize>,
    /// Each item has a limit of its own.
    is_single: bool,
    last: Option<Instant>,
    /// How long one item keeps all workers busy, on average, in seconds.
    time_of_item: Option<f64>,
    /// The chunk that was chosen last.
    chosen: usize,
}

/// What holds for the next messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Maximum number of items under way.
    pub(crate) window: usize,
    /// Number of items with a message.
    pub(crate) chunk: usize,
}

impl Pace {
    pub(crate) fn set_in_flight(&mut self, items: usize) {
        self.in_flight = Some(items.max(1));
    }

    pub(crate) fn set_chunk(&mut self, items: usize) {
        self.chunk = Some(items.clamp(1, items::MAX_ITEMS));
    }

    pub(crate) fn set_single(&mut self) {
        self.is_single = true;
    }

    /// A message with so many items was answered.
    pub(crate) fn answered(&mut self, items: usize, now: Instant) {
        let before = self.last.replace(now);
        let Some(before) = before.filter(|_| items > 0) else {
            return;
        };
        let time = now.saturating_duration_since(before).as_secs_f64() / items as f64;
        let average = self.time_of_item.unwrap_or(time);
        let time = time.min(MAXIMUM_OUTLIER * average);
        self.time_of_item = Some(average + WEIGHT * (time - average));
    }

    /// What holds now, with so many workers at most.
    pub(crate) fn plan(&mut self, workers: usize) -> Plan {
        let asked = match self.is_single {
            true => Some(1),
            false => self.chunk,
        };
        let default = || workers.saturating_mul(asked.unwrap_or(1)).saturating_mul(2);
        let window = self.in_flight.unwrap_or_else(default);
        let chunk = asked.unwrap_or_else(|| self.choose(workers, window));
        Plan {
            window,
            chunk: chunk.min(window),
        }
    }

    /// The number of items that are worth a message. Each worker has one, and finds another
    /// when it has answered.
    fn choose(&mut self, workers: usize, window: usize) -> usize {
        let most = (window / workers.saturating_mul(2).max(1)).clamp(1, items::MAX_ITEMS);
        let worth = self.time_of_item.map_or(1.0, |time| {
            TIME_OF_MESSAGE.as_secs_f64() / (time * workers as f64)
        });
        // No faster than twice as many, as the first items may not be like the others.
        self.chosen = (worth as usize).min(2 * self.chosen).clamp(1, most);
        self.chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The chunk after so many messages, each of which takes `message` and `item` for each
    /// item, with two workers.
    fn chunk_after(messages: u32, in_flight: usize, message: u64, item: u64) -> usize {
        let mut pace = Pace::default();
        pace.set_in_flight(in_flight);
        let mut now = Instant::now();
        let mut chunk = pace.plan(2).chunk;
        assert_eq!(chunk, 1);
        for _ in 0..messages {
            // The two workers answer in turn.
            now += Duration::from_nanos((message + item * chunk as u64) / 2);
            pace.answered(chunk, now);
            chunk = pace.plan(2).chunk;
        }
        chunk
    }

    #[test]
    fn tiny_items_share_a_message() {
        assert!(chunk_after(100, 10_000, 20_000, 1_000) > 200);
        assert!(chunk_after(3, 10_000, 20_000, 1_000) <= 4);
        let some = chunk_after(100, 10_000, 20_000, 50_000);
        assert!((3..=6).contains(&some), "{some}");
        assert_eq!(chunk_after(100, 10_000, 20_000, 400_000), 1);
    }

    #[test]
    fn all_workers_have_two_messages() {
        assert_eq!(chunk_after(100, 64, 20_000, 100), 16);
        assert_eq!(chunk_after(100, 4, 20_000, 100), 1);
        assert_eq!(chunk_after(100, 1, 20_000, 100), 1);
    }

    #[test]
    fn slower_items_go_alone_again() {
        let mut pace = Pace::default();
        pace.set_in_flight(1000);
        let mut now = Instant::now();
        for time in [Duration::from_micros(1), Duration::from_millis(1)] {
            for _ in 0..100 {
                let chunk = pace.plan(2).chunk;
                now += time * chunk as u32;
                pace.answered(chunk, now);
            }
            let chunk = pace.plan(2).chunk;
            assert_eq!(chunk > 1, time < Duration::from_millis(1), "{chunk}");
        }
    }

    #[test]
    fn what_is_asked_for_holds() {
        let mut pace = Pace::default();
        let plan = |window, chunk| Plan { window, chunk };
        assert_eq!(pace.plan(3), plan(6, 1));
        pace.set_chunk(10);
        assert_eq!(pace.plan(3), plan(60, 10));
        pace.set_in_flight(7);
        assert_eq!(pace.plan(3), plan(7, 7));
        pace.set_single();
        assert_eq!(pace.plan(3), plan(7, 1));
        pace.set_chunk(usize::MAX);
        pace.set_in_flight(0);
        assert_eq!(pace.plan(usize::MAX), plan(1, 1));
    }
}
