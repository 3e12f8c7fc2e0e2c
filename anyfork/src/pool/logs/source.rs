//! [`Source`]: a pipe that a worker prints into, or the socket of its spans and events.
//! RUNS IN: caller
//!
//! No lock is held where a [`Home`] is dropped, which may run an observer's code.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

#[cfg(feature = "tracing")]
use crate::pool::logs::frames::Frames;
use crate::pool::logs::lines::Lines;
use crate::pool::logs::printed::{Printed, Stream};
use crate::pool::logs::queue::Queue;
#[cfg(feature = "tracing")]
use crate::pool::logs::told::Frame;
use crate::pool::logs::told::{Current, Told};
use crate::pool::trace::Home;
use crate::sys::fd;

/// Number of bytes that are read at once.
const BUFFER_LEN: usize = 8 * 1024;

/// Maximum number of reads of what a worker that is gone has left: a pipe holds 64 KiB, a
/// socket some 200.
const READS: usize = 64;

/// What comes from a worker.
pub(crate) struct Source {
    pipe: OwnedFd,
    state: Mutex<State>,
}

struct State {
    content: Content,
    /// Before it is known, nothing is read.
    pid: Option<u32>,
    /// What the worker has to do, in the order in which it got it.
    calls: Vec<Current>,
    /// Of what the pipe holds, how many bytes are of which call before the present one.
    earlier: VecDeque<(usize, Option<Current>)>,
    /// Number of bytes of those.
    earlier_len: usize,
    /// The worker is gone, and its last line may have no end.
    has_exited: bool,
    /// Nothing more will come.
    is_at_end: bool,
}

/// How the bytes are divided.
pub(crate) enum Content {
    Lines {
        stream: Stream,
        lines: Lines,
        /// The call of the latest bytes.
        latest: Option<u64>,
    },
    #[cfg(feature = "tracing")]
    Frames {
        frames: Frames,
        /// The worker's number among those of the pool.
        worker: u64,
    },
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

/// Where things are told, and what is to be dropped without the lock.
struct Sink<'a> {
    queue: &'a Queue,
    over: Vec<Home>,
}

impl Source {
    /// Reads from a descriptor that does not block.
    pub(crate) fn new(content: Content, pipe: OwnedFd) -> Source {
        Source {
            pipe,
            state: Mutex::new(State {
                content,
                pid: None,
                calls: Vec::new(),
                earlier: VecDeque::new(),
                earlier_len: 0,
                has_exited: false,
                is_at_end: false,
            }),
        }
    }

    pub(crate) fn need(&self) -> Need {
        let state = self.state();
        match state.pid {
            _ if state.is_at_end => Need::Closing,
            _ if state.has_exited => Need::Finishing,
            None => Need::Nothing,
            Some(_) => Need::Reading,
        }
    }

    /// Notes the worker's pid. Whether it is news.
    pub(crate) fn set_pid(&self, pid: u32) -> bool {
        self.state().pid.replace(pid) != Some(pid)
    }

    /// The worker is gone.
    pub(crate) fn set_exited(&self) {
        self.state().has_exited = true;
    }

    /// The worker gets a call.
    pub(crate) fn begin_call(&self, call: Current) {
        let mut state = self.state();
        state.mark(self.pipe.as_fd());
        state.calls.push(call);
    }

    /// The worker has answered that call, or is gone with all: what the pipe holds was sent
    /// before. Gives what is to be dropped without a lock.
    pub(crate) fn end_call(&self, id: Option<u64>) -> Vec<Current> {
        let mut state = self.state();
        state.mark(self.pipe.as_fd());
        let ends = |call: &mut Current| id.is_none_or(|id| call.id == id);
        state.calls.extract_if(.., ends).collect()
    }

    /// Reads once.
    pub(crate) fn read(&self, queue: &Queue) {
        let mut sink = Sink::new(queue);
        self.state().read_once(self.pipe.as_fd(), &mut sink);
    }

    /// Reads what is there, and takes a line that has no end for one: its worker is gone.
    /// Others may have the pipe, and go on.
    pub(crate) fn finish(&self, queue: &Queue) {
        let mut sink = Sink::new(queue);
        let mut state = self.state();
        state.has_exited = false;
        // 0: it never was.
        state.pid.get_or_insert(0);
        for _ in 0..READS {
            if state.read_once(self.pipe.as_fd(), &mut sink) != Read::Part {
                break;
            }
        }
        state.end(&mut sink);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Notes whose the bytes are that the pipe holds. Of several calls that a worker has, the
    /// first is the one that runs, unless all run at once.
    fn mark(&mut self, pipe: BorrowedFd<'_>) {
        let held = fd::waiting_in(pipe).unwrap_or(0);
        if let Some(new @ 1..) = held.checked_sub(self.earlier_len) {
            self.earlier.push_back((new, self.calls.first().cloned()));
            self.earlier_len = held;
        }
    }

    fn read_once(&mut self, pipe: BorrowedFd<'_>, sink: &mut Sink<'_>) -> Read {
        let mut buffer = [0; BUFFER_LEN];
        let read = match fd::read(pipe, &mut buffer) {
            Ok(0) => Read::End,
            Ok(len) => {
                self.take(&buffer[..len], sink);
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
            self.end(sink);
            self.is_at_end = true;
        }
        read
    }

    /// Takes in what was read.
    fn take(&mut self, mut bytes: &[u8], sink: &mut Sink<'_>) {
        while let Some((len, call)) = self.earlier.front_mut() {
            let (part, rest) = bytes.split_at(bytes.len().min(*len));
            *len -= part.len();
            self.earlier_len -= part.len();
            bytes = rest;
            let is_over = *len == 0;
            self.content.push(part, self.pid, call.as_ref(), sink);
            if !is_over {
                return;
            }
            let over = self.earlier.pop_front().and_then(|(_, call)| call);
            sink.over.extend(over.map(|call| call.home));
        }
        self.content.push(bytes, self.pid, self.calls.first(), sink);
    }

    /// No more comes from the worker itself.
    fn end(&mut self, sink: &mut Sink<'_>) {
        match &mut self.content {
            Content::Lines {
                stream,
                lines,
                latest,
            } => {
                let (stream, pid, call) = (*stream, self.pid, *latest);
                lines.finish(|bytes, goes_on| sink.line(stream, pid, call, bytes, goes_on));
            }
            #[cfg(feature = "tracing")]
            Content::Frames { worker, .. } => sink.push(Told::Gone(*worker)),
        }
    }
}

impl Content {
    fn push(
        &mut self,
        bytes: &[u8],
        pid: Option<u32>,
        call: Option<&Current>,
        sink: &mut Sink<'_>,
    ) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Content::Lines {
                stream,
                lines,
                latest,
            } => {
                *latest = call.map(|call| call.id);
                let (stream, call) = (*stream, *latest);
                lines.push(bytes, |bytes, goes_on| {
                    sink.line(stream, pid, call, bytes, goes_on);
                });
            }
            #[cfg(feature = "tracing")]
            Content::Frames { frames, worker } => frames.push(bytes, |bytes| {
                sink.push(Told::Frame(Frame {
                    worker: *worker,
                    pid: pid.unwrap_or(0),
                    home: call.map(|call| call.home.clone()),
                    bytes,
                    left_out: 0,
                }));
            }),
        }
    }
}

impl Sink<'_> {
    fn new(queue: &Queue) -> Sink<'_> {
        let over = Vec::new();
        Sink { queue, over }
    }

    fn push(&mut self, told: Told) {
        match self.queue.push(told) {
            #[cfg(feature = "tracing")]
            Some(Told::Frame(frame)) => self.over.extend(frame.home),
            _ => {}
        }
    }

    fn line(
        &mut self,
        stream: Stream,
        pid: Option<u32>,
        call: Option<u64>,
        bytes: Vec<u8>,
        goes_on: bool,
    ) {
        let line = Printed {
            pid: pid.unwrap_or(0),
            call,
            bytes,
            goes_on,
            left_out: 0,
        };
        self.push(Told::Line(stream, line));
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}
