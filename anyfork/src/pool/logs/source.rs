//! [`Source`]: the pipe that is a worker's standard output or standard error.
//! RUNS IN: caller

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::pool::logs::Logs;
use crate::pool::logs::lines::Lines;
use crate::pool::logs::printed::Printed;
use crate::sys::fd;

/// Number of bytes that are read at once.
pub(crate) const BUFFER_LEN: usize = 8 * 1024;

/// Number of reads that empty a pipe: it holds 64 KiB.
const READS: usize = 8;

/// A standard stream of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

/// A pipe that a worker prints into.
pub(crate) struct Source {
    stream: Stream,
    pipe: OwnedFd,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    lines: Lines,
    /// Before it is known, nothing is read.
    pid: Option<u32>,
    /// What the worker has to do.
    call: Option<u64>,
    /// What is in the pipe may be of an earlier call.
    is_mixed: bool,
    /// The worker is gone, and its last line may have no end.
    has_exited: bool,
    /// Nothing more will come.
    is_at_end: bool,
}

/// What is to be done with a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing before its worker is known.
    Nothing,
    Reading,
    /// To [`finish`](Source::finish) it.
    Finishing,
    /// To close it.
    Closing,
}

/// How far reading came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Read {
    /// Nothing is left for now.
    All,
    Part,
    /// The worker, and whoever else had the other end, is gone.
    End,
}

impl Source {
    /// Reads from a pipe that does not block.
    pub(crate) fn new(stream: Stream, pipe: OwnedFd) -> Source {
        Source {
            stream,
            pipe,
            state: Mutex::default(),
        }
    }

    pub(crate) fn need(&self) -> Need {
        match *self.state() {
            State {
                is_at_end: true, ..
            } => Need::Closing,
            State {
                has_exited: true, ..
            } => Need::Finishing,
            State { pid: None, .. } => Need::Nothing,
            _ => Need::Reading,
        }
    }

    /// Notes the worker's pid. Whether it is news.
    pub(crate) fn set_pid(&self, pid: u32) -> bool {
        let mut state = self.state();
        state.pid.replace(pid) != Some(pid)
    }

    /// The worker is gone.
    pub(crate) fn set_exited(&self) {
        self.state().has_exited = true;
    }

    /// The worker gets a call.
    pub(crate) fn set_call(&self, call: u64) {
        self.state().call = Some(call);
    }

    /// The call is over: what the pipe has is of it.
    pub(crate) fn end_call(&self, logs: &Logs) {
        let mut state = self.state();
        let is_read = self.read_all(&mut state, logs);
        state.call = None;
        state.is_mixed = !is_read;
    }

    /// Reads once.
    pub(crate) fn read(&self, logs: &Logs) {
        let mut state = self.state();
        self.read_once(&mut state, logs);
    }

    /// Reads what is there, and takes a line that has no end for one: its worker is gone.
    /// Others may have the pipe, and go on.
    pub(crate) fn finish(&self, logs: &Logs) {
        let mut state = self.state();
        state.has_exited = false;
        // 0: it never was.
        state.pid.get_or_insert(0);
        for _ in 0..READS {
            if self.read_once(&mut state, logs) != Read::Part {
                break;
            }
        }
        self.give(&mut state, logs, |lines, give| lines.finish(give));
    }

    /// Reads what the pipe had when this began. `false`: there is no room for it.
    fn read_all(&self, state: &mut State, logs: &Logs) -> bool {
        for _ in 0..READS {
            if !logs.has_room() {
                return false;
            }
            if self.read_once(state, logs) != Read::Part {
                break;
            }
        }
        true
    }

    fn read_once(&self, state: &mut State, logs: &Logs) -> Read {
        let mut buffer = [0; BUFFER_LEN];
        let read = match fd::read(self.pipe.as_fd(), &mut buffer) {
            Ok(0) => Read::End,
            Ok(len) => {
                self.give(state, logs, |lines, give| lines.push(&buffer[..len], give));
                match len < BUFFER_LEN {
                    true => Read::All,
                    false => Read::Part,
                }
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => Read::All,
                io::ErrorKind::Interrupted => Read::Part,
                _ => Read::End,
            },
        };
        match read {
            Read::All => state.is_mixed = false,
            Read::Part => {}
            Read::End => {
                self.give(state, logs, |lines, give| lines.finish(give));
                state.is_at_end = true;
            }
        }
        read
    }

    fn give(
        &self,
        state: &mut State,
        logs: &Logs,
        split: impl FnOnce(&mut Lines, &mut dyn FnMut(Vec<u8>, bool)),
    ) {
        let call = state.call.filter(|_| !state.is_mixed);
        let pid = state.pid.unwrap_or(0);
        split(&mut state.lines, &mut |bytes, goes_on| {
            let line = Printed {
                pid,
                call,
                bytes,
                goes_on,
                left_out: 0,
            };
            logs.push(self.stream, line);
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}
