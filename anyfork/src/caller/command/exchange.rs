//! [`Exchange`]: what passes between a program and who waits for it, within bounds.
//! RUNS IN: caller
//!
//! It keeps what was read, and decides when to end the program and when all is done. It
//! never waits: [`blocking`] and `asynchronous` read, write and wait for it.

#[cfg(feature = "tokio")]
pub(crate) mod asynchronous;
pub(crate) mod blocking;

use std::io;
use std::mem;
use std::os::fd::BorrowedFd;
use std::process::Output;
use std::time::{Duration, Instant};

use crate::caller::child::exit_watch::{ExitState, ExitWatch};
use crate::caller::child::kill;
use crate::caller::command::bounds::BoundsOfLaunch;
use crate::error::{Error, ErrorKind, Result};
use crate::exit::Exit;
use crate::sys::fd;

/// Number of bytes that are read at once: what a pipe holds.
const CHUNK: usize = 64 * 1024;

/// Maximum number of reads of a stream at its cut: the largest pipe holds a mebibyte.
const MAX_LAST_READS: usize = 64;

/// Timeout for the exit of a program that was killed.
const TIMEOUT_AFTER_KILL: Duration = Duration::from_secs(5);

/// Intervals between two looks whether a group is empty.
const FIRST_INTERVAL: Duration = Duration::from_millis(1);
const LONGEST_INTERVAL: Duration = Duration::from_millis(32);

const STREAMS: [&str; 2] = ["stdout", "stderr"];

/// A program that was executed. Dropped before it is finished, it kills the program.
pub(crate) struct Exchange {
    watch: ExitWatch,
    terms: BoundsOfLaunch,
    streams: [Stream; 2],
    exit: Option<Exit>,
    /// The time until which streams are read after the exit.
    drained: Option<Instant>,
    phase: Phase,
    reason: Option<Reason>,
    is_finished: bool,
}

#[derive(Default)]
struct Stream {
    bytes: Vec<u8>,
    is_open: bool,
}

/// What the program was told.
#[derive(Clone, Copy)]
enum Phase {
    Nothing,
    /// SIGTERM was sent. `kill`: when SIGKILL follows.
    Asked {
        kill: Option<Instant>,
        interval: Duration,
    },
    /// SIGKILL was sent. `until`: when nobody waits for the exit any more.
    Killed {
        until: Instant,
    },
}

/// Why the program is ended.
#[derive(Clone, Copy)]
enum Reason {
    Time,
    /// The stream had more bytes than are allowed.
    Output(usize),
}

impl Exchange {
    /// `open`: which of the streams are read.
    pub(crate) fn new(watch: ExitWatch, terms: BoundsOfLaunch, open: [bool; 2]) -> Exchange {
        let stream = |is_open| Stream {
            bytes: Vec::new(),
            is_open,
        };
        Exchange {
            watch,
            terms,
            streams: open.map(stream),
            exit: None,
            drained: None,
            phase: Phase::Nothing,
            reason: None,
            is_finished: false,
        }
    }

    /// Takes what was read of a stream. What is above the limit is discarded.
    fn take(&mut self, stream: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            self.streams[stream].is_open = false;
            return;
        }
        let taken = &mut self.streams[stream].bytes;
        let limit = self.terms.bounds.output_limit.unwrap_or(usize::MAX);
        let room = bytes.len().min(limit - taken.len());
        taken.extend_from_slice(&bytes[..room]);
        if room < bytes.len() {
            self.reason.get_or_insert(Reason::Output(stream));
        }
    }

    /// Looks whether the program has exited. `None`: it has.
    fn look(&mut self) -> Result<Option<ExitState>> {
        if self.exit.is_some() {
            return Ok(None);
        }
        match self.watch.try_wait()? {
            ExitState::Exited(exit) => {
                self.exited(exit);
                Ok(None)
            }
            state => Ok(Some(state)),
        }
    }

    fn exited(&mut self, exit: Exit) {
        let limit = self.terms.bounds.drain_limit;
        self.drained = limit.and_then(|limit| Instant::now().checked_add(limit));
        self.exit = Some(exit);
    }

    /// Whether nothing is waited for any more.
    fn is_done(&mut self, now: Instant) -> bool {
        let has_exited = self.exit.is_some();
        let is_at_end = self.streams.iter().all(|stream| !stream.is_open);
        match &mut self.phase {
            Phase::Nothing => {
                let is_cut = self.drained.is_some_and(|it| now >= it);
                has_exited && self.reason.is_none() && (is_at_end || is_cut)
            }
            Phase::Asked { interval, .. } => {
                if !has_exited {
                    return false;
                }
                *interval = (*interval * 2).min(LONGEST_INTERVAL);
                kill::is_group_gone(self.watch.pidfd(), self.watch.pid())
            }
            Phase::Killed { until } => has_exited || now >= *until,
        }
    }

    /// Ends the program, if it is time for that. Returns whether something has changed.
    fn act(&mut self, now: Instant) -> bool {
        match self.phase {
            Phase::Nothing => {
                if self.terms.deadline.is_some_and(|it| now >= it) {
                    self.reason.get_or_insert(Reason::Time);
                }
                let ends = self.reason.is_some();
                if ends {
                    self.end(now);
                }
                ends
            }
            Phase::Asked { kill, .. } => {
                let kills = kill.is_some_and(|it| now >= it);
                if kills {
                    self.kill(now);
                }
                kills
            }
            Phase::Killed { .. } => false,
        }
    }

    fn end(&mut self, now: Instant) {
        let grace = self.terms.bounds.grace;
        if grace.is_zero() {
            return self.kill(now);
        }
        self.phase = Phase::Asked {
            kill: now.checked_add(grace),
            interval: FIRST_INTERVAL / 2,
        };
        // Where the kernel refuses this, it refuses SIGKILL, too.
        let _ = kill::terminate(self.watch.pidfd(), self.watch.pid());
    }

    fn kill(&mut self, now: Instant) {
        let until = match self.watch.kill() {
            Ok(()) => now + TIMEOUT_AFTER_KILL,
            // Another user's: nobody can tell how long it goes on.
            Err(_) => now,
        };
        self.phase = Phase::Killed { until };
    }

    /// When to look again, even if nothing happens.
    fn next_look(&self, now: Instant) -> Option<Instant> {
        match self.phase {
            Phase::Nothing => self.terms.deadline.into_iter().chain(self.drained).min(),
            Phase::Asked { kill, interval } => {
                let group = self.exit.as_ref().map(|_| now + interval);
                kill.into_iter().chain(group).min()
            }
            Phase::Killed { until } => Some(until),
        }
    }

    /// What was exchanged. `rest`: the streams that are not at their end, of which what is
    /// there is read before.
    fn finish(mut self, rest: [Option<BorrowedFd<'_>>; 2]) -> Result<(Exit, [Vec<u8>; 2])> {
        self.is_finished = true;
        for (stream, fd) in rest.into_iter().enumerate() {
            let Some(fd) = fd else { continue };
            self.read_what_is_there(stream, fd)?;
        }
        if self.reason.is_some() && matches!(self.phase, Phase::Nothing) {
            let _ = self.watch.kill();
        }
        let bytes = self
            .streams
            .each_mut()
            .map(|stream| mem::take(&mut stream.bytes));
        match (self.reason, self.exit.take()) {
            (None, Some(exit)) => Ok((exit, bytes)),
            (reason, exit) => Err(self.error(reason, exit, bytes)),
        }
    }

    fn read_what_is_there(&mut self, stream: usize, fd: BorrowedFd<'_>) -> Result<()> {
        let mut buffer = vec![0; CHUNK];
        for _ in 0..MAX_LAST_READS {
            match fd::read(fd, &mut buffer) {
                Ok(n) => self.take(stream, &buffer[..n]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(unread(error)),
            }
            if !self.streams[stream].is_open {
                return Ok(());
            }
        }
        Ok(())
    }

    fn error(&self, reason: Option<Reason>, exit: Option<Exit>, bytes: [Vec<u8>; 2]) -> Error {
        let terms = &self.terms;
        let (kind, message) = match reason {
            None | Some(Reason::Time) => (ErrorKind::TimedOut, terms.too_late()),
            Some(Reason::Output(stream)) => {
                let (what, stream) = (&terms.what, STREAMS[stream]);
                let limit = terms.bounds.output_limit.unwrap_or_default();
                let message = format!(
                    "`{what}` printed more than its `output_limit` of {limit} bytes on \
                     {stream}, and was killed"
                );
                (ErrorKind::TooLarge, message)
            }
        };
        let known = exit.clone().unwrap_or_else(|| Exit::unknown(None));
        let [stdout, stderr] = bytes;
        let output = Output {
            status: known.status(),
            stdout,
            stderr,
        };
        Error::limited(kind, message, exit, output)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.is_finished {
            let _ = self.watch.kill();
        }
    }
}

fn unread(error: io::Error) -> Error {
    Error::io("read what a process prints", error)
}

fn unwritten(error: io::Error) -> Error {
    Error::io("write what a process reads", error)
}
