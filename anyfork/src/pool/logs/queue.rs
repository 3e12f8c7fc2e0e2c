//! [`Queue`]: lines between the thread that reads them and the one that tells them.
//! RUNS IN: caller
//!
//! It is bounded. When it is full, nobody reads, and workers that print wait, as for any
//! reader who is behind. Only where one line takes the callback longer than
//! [`TIMEOUT_CALLBACK`], what comes is left out and counted: the callback may never return,
//! and calls go on.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::pool::logs::told::Told;
use crate::sys::eventfd::EventFd;

/// Maximum number of bytes of lines that wait to be told.
const MAXIMUM_WAITING: usize = 1 << 20;

/// Number of bytes that a line counts beside its own.
const OVERHEAD: usize = 64;

/// Timeout for the callback's work on one line, while more lines come than there is room
/// for, or while the pool ends.
const TIMEOUT_CALLBACK: Duration = Duration::from_secs(1);

/// Lines that wait to be told.
pub(crate) struct Queue {
    state: Mutex<State>,
    /// There is a line, or will be none.
    changed: Condvar,
    /// Wakes the thread that reads.
    bell: EventFd,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Told>,
    /// Number of bytes of those.
    len: usize,
    /// Number of lines for which there was no room, since the last that was told.
    lines_left_out: u64,
    /// Number of frames for which there was no room, since the last that was told.
    #[cfg(feature = "tracing")]
    frames_left_out: u64,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It reads what is readable.
    Read,
    /// It waits for room, or until this time: then it looks again whether the callback is
    /// stuck.
    Wait(Instant),
    /// It reads what is there, and ends.
    End,
}

impl Queue {
    pub(crate) fn new() -> io::Result<Queue> {
        Ok(Queue {
            state: Mutex::default(),
            changed: Condvar::new(),
            bell: EventFd::new()?,
        })
    }

    /// What wakes the reader.
    pub(crate) fn bell(&self) -> &EventFd {
        &self.bell
    }

    /// What the reader does next.
    pub(crate) fn next(&self) -> Next {
        let mut state = self.state();
        if state.ending.is_some() {
            return Next::End;
        }
        if state.has_room() {
            return Next::Read;
        }
        state.awaits_room = true;
        // Between two lines, the callback may be about to get one that it does not return from.
        let since = state.busy_since.unwrap_or_else(Instant::now);
        Next::Wait(since + TIMEOUT_CALLBACK)
    }

    /// Takes something in, or gives back what is left out.
    pub(crate) fn push(&self, told: Told) -> Option<Told> {
        let left_out = self.state().push(told);
        self.changed.notify_one();
        left_out
    }

    /// Waits for what is told next. `None`: there will be nothing.
    pub(crate) fn pop(&self) -> Option<Told> {
        let mut state = self.state();
        loop {
            if state.is_over {
                return None;
            }
            if let Some(told) = state.pop() {
                return Some(told);
            }
            if state.is_read {
                state.is_over = true;
                return None;
            }
            let woken = self.changed.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// It is told.
    pub(crate) fn told(&self) {
        if self.state().told() {
            self.bell.signal();
        }
    }

    /// Nothing more will come.
    pub(crate) fn set_read(&self) {
        self.state().is_read = true;
        self.changed.notify_one();
    }

    /// Begins the end. `None`: it is over, or the callback does not return. Otherwise the
    /// time to look again at the latest.
    pub(crate) fn end(&self) -> Option<Instant> {
        let until = self.state().end();
        self.bell.signal();
        self.changed.notify_one();
        until
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether there is room for what may be read, or it is left out.
    fn has_room(&self) -> bool {
        self.len < MAXIMUM_WAITING || self.is_stuck()
    }

    fn is_stuck(&self) -> bool {
        let is_long = |since: Instant| since.elapsed() >= TIMEOUT_CALLBACK;
        self.busy_since.is_some_and(is_long)
    }

    fn push(&mut self, told: Told) -> Option<Told> {
        let is_full = self.len >= MAXIMUM_WAITING && self.ending.is_none();
        // Who was told of room may bring a bit more.
        let is_too_full = is_full && (self.len >= 2 * MAXIMUM_WAITING || self.is_stuck());
        if is_too_full || self.is_over {
            match told {
                Told::Line(..) => self.lines_left_out += 1,
                #[cfg(feature = "tracing")]
                Told::Frame(_) => self.frames_left_out += 1,
                // It is as small as its worker was large.
                #[cfg(feature = "tracing")]
                Told::Gone(_) => {
                    self.len += OVERHEAD;
                    self.waiting.push_back(told);
                    return None;
                }
            }
            return Some(told);
        }
        self.len += told.len() + OVERHEAD;
        self.waiting.push_back(told);
        None
    }

    fn pop(&mut self) -> Option<Told> {
        let mut told = self.waiting.pop_front()?;
        self.len -= told.len() + OVERHEAD;
        match &mut told {
            Told::Line(_, line) => line.left_out = mem::take(&mut self.lines_left_out),
            #[cfg(feature = "tracing")]
            Told::Frame(frame) => frame.left_out = mem::take(&mut self.frames_left_out),
            #[cfg(feature = "tracing")]
            Told::Gone(_) => {}
        }
        self.busy_since = Some(Instant::now());
        Some(told)
    }

    /// Whether the reader is to be woken.
    fn told(&mut self) -> bool {
        self.busy_since = None;
        self.last_told = Some(Instant::now());
        let has_room = self.len <= MAXIMUM_WAITING / 2;
        has_room && mem::take(&mut self.awaits_room)
    }

    fn end(&mut self) -> Option<Instant> {
        if self.is_over {
            return None;
        }
        let now = Instant::now();
        let since = *self.ending.get_or_insert(now);
        let until = self.last_told.map_or(since, |told| told.max(since)) + TIMEOUT_CALLBACK;
        if now < until {
            return Some(until);
        }
        // What waits is dropped with the queue: that may run others' code.
        self.is_over = true;
        None
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::pool::logs::printed::{Printed, Stream};
    use crate::sys::poll;

    fn line(len: usize) -> Told {
        let line = Printed {
            pid: 1,
            call: None,
            bytes: vec![b'x'; len],
            goes_on: false,
            left_out: 0,
        };
        Told::Line(Stream::Out, line)
    }

    fn left_out(told: Told) -> u64 {
        match told {
            Told::Line(_, line) => line.left_out,
            #[cfg(feature = "tracing")]
            _ => unreachable!("lines alone"),
        }
    }

    #[test]
    fn a_full_queue_has_its_reader_wait() {
        let queue = Queue::new().unwrap();
        let mut pushed = 0;
        while queue.next() == Next::Read {
            queue.push(line(1000));
            pushed += 1;
        }
        let is_woken = || poll::is_readable(queue.bell.as_fd());
        let mut told = 0;
        while !is_woken() {
            assert!(told < pushed, "it is woken before all is told");
            assert_eq!(left_out(queue.pop().unwrap()), 0);
            queue.told();
            told += 1;
        }
        assert!(told > 400, "half of the queue is told: {told}");
        assert_eq!(queue.next(), Next::Read);
    }

    /// The callback gets the line that it does not return from after the reader has looked.
    #[test]
    fn a_callback_that_gets_stuck_later_is_seen() {
        let queue = Queue::new().unwrap();
        while queue.next() == Next::Read {
            queue.push(line(1000));
        }
        // What was read at once: there is no room either when one is told.
        queue.push(line(1000));
        queue.push(line(1000));
        let Next::Wait(until) = queue.next() else {
            panic!("there is room");
        };
        assert!(until <= Instant::now() + TIMEOUT_CALLBACK);
        queue.pop().expect("a line");
        while let Next::Wait(until) = queue.next() {
            std::thread::sleep(until.saturating_duration_since(Instant::now()));
        }
        assert!(queue.push(line(1000)).is_some(), "it is left out");
    }

    #[test]
    fn what_comes_beyond_is_left_out_and_counted() {
        let mut queue = State::default();
        for _ in 0..10_000 {
            queue.push(line(1000));
        }
        assert!(queue.len < 2 * MAXIMUM_WAITING + 2000);
        let (mut told, mut others) = (0, 0);
        while let Some(line) = queue.pop() {
            told += 1;
            others += left_out(line);
        }
        assert_eq!(told + others, 10_000);
        assert_eq!(queue.len, 0);
    }
}
