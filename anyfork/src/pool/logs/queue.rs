//! [`Queue`]: lines between the thread that reads them and the one that tells them.
//! RUNS IN: caller
//!
//! It is bounded. When it is full, nobody reads, and workers that print wait, as for any
//! reader who is behind. Only where one line takes the callback longer than
//! [`TIMEOUT_CALLBACK`], what comes is left out and counted: the callback may never return,
//! and calls go on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::pool::logs::printed::Printed;
use crate::pool::logs::source::{Source, Stream};

/// Maximum number of bytes of lines that wait to be told.
const MAXIMUM_WAITING: usize = 1 << 20;

/// Number of bytes that a line counts beside its own.
const OVERHEAD: usize = 64;

/// Timeout for the callback's work on one line, while more lines come than there is room
/// for, or while the pool ends.
const TIMEOUT_CALLBACK: Duration = Duration::from_secs(1);

/// The pipes that are read, and the lines that wait.
#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) sources: Vec<Arc<Source>>,
    lines: VecDeque<(Stream, Printed)>,
    /// Number of bytes of those.
    len: usize,
    /// Number of lines for which there was no room, since the last that was told.
    left_out: u64,
    /// The callback has had its present line since then.
    busy_since: Option<Instant>,
    last_told: Option<Instant>,
    /// The reader waits for room.
    awaits_room: bool,
    /// The pool has ended then: the rest is told.
    ending: Option<Instant>,
    /// Nothing more will come.
    is_read: bool,
    /// All is told, or nobody waits for that any more.
    is_over: bool,
}

/// What the reader does next.
pub(crate) enum Next {
    /// It reads these, once they are readable.
    Read(Vec<Arc<Source>>),
    /// It waits for room, or until this time.
    Wait(Option<Instant>),
    /// It reads the rest of these.
    End(Vec<Arc<Source>>),
}

impl Queue {
    /// What the reader does next.
    pub(crate) fn next(&mut self) -> Next {
        if self.ending.is_some() {
            return Next::End(std::mem::take(&mut self.sources));
        }
        if self.has_room() {
            return Next::Read(self.sources.clone());
        }
        self.awaits_room = true;
        Next::Wait(self.busy_since.map(|since| since + TIMEOUT_CALLBACK))
    }

    /// Whether there is room for what may be read, or it is left out.
    pub(crate) fn has_room(&self) -> bool {
        self.len < MAXIMUM_WAITING || self.is_stuck()
    }

    fn is_stuck(&self) -> bool {
        let is_long = |since: Instant| since.elapsed() >= TIMEOUT_CALLBACK;
        self.busy_since.is_some_and(is_long)
    }

    pub(crate) fn push(&mut self, stream: Stream, line: Printed) {
        let is_full = self.len >= MAXIMUM_WAITING && self.ending.is_none();
        // Who was told of room may bring a bit more.
        let is_too_full = is_full && (self.len >= 2 * MAXIMUM_WAITING || self.is_stuck());
        if is_too_full || self.is_over {
            self.left_out += 1;
            return;
        }
        self.len += line.bytes.len() + OVERHEAD;
        self.lines.push_back((stream, line));
    }

    /// Takes the line that is told next.
    pub(crate) fn pop(&mut self) -> Option<(Stream, Printed)> {
        let (stream, mut line) = self.lines.pop_front()?;
        self.len -= line.bytes.len() + OVERHEAD;
        line.left_out = std::mem::take(&mut self.left_out);
        self.busy_since = Some(Instant::now());
        Some((stream, line))
    }

    /// The line is told. Whether the reader is to be woken.
    pub(crate) fn told(&mut self) -> bool {
        self.busy_since = None;
        self.last_told = Some(Instant::now());
        let has_room = self.len <= MAXIMUM_WAITING / 2;
        has_room && std::mem::take(&mut self.awaits_room)
    }

    /// Nothing more will come.
    pub(crate) fn set_read(&mut self) {
        self.is_read = true;
    }

    /// Whether nothing is left to tell, now and later.
    pub(crate) fn is_empty_for_good(&self) -> bool {
        self.lines.is_empty() && (self.is_read || self.is_over)
    }

    /// The thread that tells lines ends.
    pub(crate) fn set_over(&mut self) {
        self.is_over = true;
    }

    /// Begins the end. `None`: it is over, or the callback does not return. Otherwise the
    /// time to look again at the latest.
    pub(crate) fn end(&mut self) -> Option<Instant> {
        if self.is_over {
            return None;
        }
        let now = Instant::now();
        let since = *self.ending.get_or_insert(now);
        let until = self.last_told.map_or(since, |told| told.max(since)) + TIMEOUT_CALLBACK;
        if now < until {
            return Some(until);
        }
        self.is_over = true;
        self.lines.clear();
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(len: usize) -> Printed {
        Printed {
            pid: 1,
            call: None,
            bytes: vec![b'x'; len],
            goes_on: false,
            left_out: 0,
        }
    }

    #[test]
    fn a_full_queue_has_its_reader_wait() {
        let mut queue = Queue::default();
        while queue.has_room() {
            queue.push(Stream::Out, line(1000));
        }
        assert!(matches!(queue.next(), Next::Wait(None)));
        let mut told = 0;
        while !queue.has_room() || !matches!(queue.next(), Next::Read(_)) {
            assert_eq!(queue.pop().unwrap().1.left_out, 0);
            queue.told();
            told += 1;
        }
        assert!((1..10).contains(&told), "{told}");
    }

    #[test]
    fn what_comes_beyond_is_left_out_and_counted() {
        let mut queue = Queue::default();
        for _ in 0..10_000 {
            queue.push(Stream::Err, line(1000));
        }
        assert!(queue.len < 2 * MAXIMUM_WAITING + 2000);
        let (mut told, mut left_out) = (0, 0);
        while let Some((_, line)) = queue.pop() {
            told += 1;
            left_out += line.left_out;
        }
        assert_eq!(told + left_out, 10_000);
        assert_eq!(queue.len, 0);
    }
}
