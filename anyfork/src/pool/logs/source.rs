//! [`Source`]: the pipe that is a worker's standard output or standard error.
//! RUNS IN: caller

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::pool::logs::lines::Lines;
use crate::pool::logs::printed::{Printed, Stream};
use crate::pool::logs::queue::Queue;
use crate::sys::fd;

/// Number of bytes that are read at once.
const BUFFER_LEN: usize = 8 * 1024;

/// Maximum number of reads of a pipe whose worker is gone: it holds 64 KiB.
const READS: usize = 8;

/// A pipe that a worker prints into.
pub(crate) struct Source {
    stream: Stream,
    pipe: OwnedFd,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    lines: Lines,
    /// The call of the latest bytes.
    latest: Option<u64>,
    /// Before it is known, nothing is read.
    pid: Option<u32>,
    /// What the worker has to do.
    call: Option<u64>,
    /// Of what the pipe holds, how many bytes were printed for which call before the present
    /// one.
    earlier: VecDeque<(usize, Option<u64>)>,
    /// Number of bytes of those.
    earlier_len: usize,
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

    /// The worker gets a call, or has answered it: what the pipe holds is of the one before.
    pub(crate) fn set_call(&self, call: Option<u64>) {
        let mut state = self.state();
        let held = fd::waiting_in(self.pipe.as_fd()).unwrap_or(0);
        if let Some(new @ 1..) = held.checked_sub(state.earlier_len) {
            let before = state.call;
            state.earlier.push_back((new, before));
            state.earlier_len = held;
        }
        state.call = call;
    }

    /// Reads once.
    pub(crate) fn read(&self, queue: &Queue) {
        let mut state = self.state();
        self.read_once(&mut state, queue);
    }

    /// Reads what is there, and takes a line that has no end for one: its worker is gone.
    /// Others may have the pipe, and go on.
    pub(crate) fn finish(&self, queue: &Queue) {
        let mut state = self.state();
        state.has_exited = false;
        // 0: it never was.
        state.pid.get_or_insert(0);
        for _ in 0..READS {
            if self.read_once(&mut state, queue) != Read::Part {
                break;
            }
        }
        self.give(&mut state, queue, |lines, give| lines.finish(give));
    }

    fn read_once(&self, state: &mut State, queue: &Queue) -> Read {
        let mut buffer = [0; BUFFER_LEN];
        let read = match fd::read(self.pipe.as_fd(), &mut buffer) {
            Ok(0) => Read::End,
            Ok(len) => {
                self.take(state, &buffer[..len], queue);
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
        if read == Read::End {
            self.give(state, queue, |lines, give| lines.finish(give));
            state.is_at_end = true;
        }
        read
    }

    /// Takes in what was read.
    fn take(&self, state: &mut State, mut bytes: &[u8], queue: &Queue) {
        while !bytes.is_empty() {
            let (len, call) = match state.earlier.front_mut() {
                None => (bytes.len(), state.call),
                Some((left, call)) => {
                    let (len, call) = (bytes.len().min(*left), *call);
                    *left -= len;
                    state.earlier_len -= len;
                    if *left == 0 {
                        state.earlier.pop_front();
                    }
                    (len, call)
                }
            };
            let (part, rest) = bytes.split_at(len);
            state.latest = call;
            self.give(state, queue, |lines, give| lines.push(part, give));
            bytes = rest;
        }
    }

    fn give(
        &self,
        state: &mut State,
        queue: &Queue,
        split: impl FnOnce(&mut Lines, &mut dyn FnMut(Vec<u8>, bool)),
    ) {
        let (pid, call) = (state.pid.unwrap_or(0), state.latest);
        split(&mut state.lines, &mut |bytes, goes_on| {
            let line = Printed {
                pid,
                call,
                bytes,
                goes_on,
                left_out: 0,
            };
            queue.push(self.stream, line);
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
