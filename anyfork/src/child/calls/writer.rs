//! [`Writer`]: the answers and events of calls that run beside each other, on one socket.
//! RUNS IN: child
//!
//! Frames do not mix: one of which a part is sent is finished before anything else. It never
//! waits, so that no call waits for another one's result to be read.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::child::calls::answer::is_gone;
use crate::child::calls::outlet::{closed, not_begun, of_a_copy, payload_of, wait_for_room};
use crate::entry::sender::{Begun, Outlet};
use crate::error::{Error, Result};
use crate::protocol::call::Kind;
use crate::protocol::call::outgoing::Outgoing;
use crate::sys::fork_mark::ForkMark;
use crate::sys::socket;
use crate::value::Encoder;

/// Number of bytes of short frames that are sent in one piece.
const MAX_JOINED: usize = 64 * 1024;

/// What goes out on a worker's socket.
pub(super) struct Writer {
    socket: OwnedFd,
    mark: ForkMark,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Number of events that were begun.
    begun: u64,
    /// What is being sent.
    partial: Option<Partial>,
    /// What is to be sent after that.
    answers: VecDeque<Outgoing>,
    /// Descriptors wait for others to be received.
    is_crowded: bool,
    /// Nobody reads.
    is_gone: bool,
}

enum Partial {
    Frame(Outgoing),
    /// Short frames, of which so many bytes are sent.
    Joined(Vec<u8>, usize),
}

/// How far sending is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    All,
    /// There is no room.
    Full,
    /// To be tried again after [`INTERVAL_IN_FLIGHT`](super::outlet::INTERVAL_IN_FLIGHT).
    Crowded,
    /// Nobody reads.
    Gone,
}

impl Writer {
    pub(super) fn new(socket: BorrowedFd<'_>, mark: ForkMark) -> Result<Writer> {
        let socket = socket.try_clone_to_owned();
        let socket = socket.map_err(|error| Error::io("duplicate a worker's socket", error))?;
        Ok(Writer {
            socket,
            mark,
            state: Mutex::default(),
        })
    }

    /// Puts an answer behind all that is to be sent.
    pub(super) fn push(&self, answer: Outgoing) {
        self.lock().answers.push_back(answer);
    }

    /// Sends as much as there is room for.
    pub(super) fn flush(&self) -> Result<Sent> {
        self.flush_locked(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flush_locked(&self, state: &mut State) -> Result<Sent> {
        if state.is_gone {
            return Ok(Sent::Gone);
        }
        state.is_crowded = false;
        while let Some((bytes, fds)) = state.next() {
            let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
            let sent = socket::send(self.socket.as_fd(), bytes, &fds);
            match sent {
                Ok(len) => state.sent(len),
                Err(error) if error.raw_os_error() == Some(libc::ETOOMANYREFS) => {
                    state.is_crowded = true;
                    return Ok(Sent::Crowded);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Sent::Full),
                Err(error) if is_gone(&error) => {
                    state.is_gone = true;
                    return Ok(Sent::Gone);
                }
                Err(error) => return Err(Error::io("send the result of a call", error)),
            }
        }
        Ok(Sent::All)
    }
}

impl State {
    /// The bytes to send next, and the descriptors that go with them.
    fn next(&mut self) -> Option<(&[u8], &[OwnedFd])> {
        if self.partial.is_none() {
            self.partial = self.begin();
        }
        match self.partial.as_ref()? {
            Partial::Frame(frame) => frame.next(),
            Partial::Joined(bytes, sent) => Some((&bytes[*sent..], &[])),
        }
    }

    /// The next answer, or several that are short.
    fn begin(&mut self) -> Option<Partial> {
        let mut joined = Vec::new();
        while joined.len() < MAX_JOINED
            && let Some(answer) = self.answers.front_mut()
        {
            match answer.take_short() {
                Some(bytes) if joined.is_empty() => joined = bytes,
                Some(bytes) => joined.extend(bytes),
                None if joined.is_empty() => {
                    return self.answers.pop_front().map(Partial::Frame);
                }
                None => break,
            }
            self.answers.pop_front();
        }
        (!joined.is_empty()).then_some(Partial::Joined(joined, 0))
    }

    fn sent(&mut self, len: usize) {
        let is_over = match &mut self.partial {
            None => false,
            Some(Partial::Frame(frame)) => {
                frame.sent(len);
                frame.next().is_none()
            }
            Some(Partial::Joined(bytes, sent)) => {
                *sent += len;
                *sent == bytes.len()
            }
        };
        if is_over {
            self.partial = None;
        }
    }
}

/// The events of one of the calls.
pub(super) struct BesideOutlet {
    writer: std::sync::Arc<Writer>,
    call: u64,
    /// Maximum number of bytes of an event.
    limit: u64,
    is_closed: Mutex<bool>,
}

impl BesideOutlet {
    pub(super) fn new(writer: std::sync::Arc<Writer>, call: u64, limit: u64) -> BesideOutlet {
        let is_closed = Mutex::new(false);
        BesideOutlet {
            writer,
            call,
            limit,
            is_closed,
        }
    }

    fn lock(&self) -> Result<MutexGuard<'_, State>> {
        if self.writer.mark.is_copy() {
            return Err(of_a_copy());
        }
        Ok(self.writer.lock())
    }
}

impl Outlet for BesideOutlet {
    fn begin(&self, event: Encoder) -> Result<Begun> {
        let payload = payload_of(event, self.limit)?;
        let mut state = self.lock()?;
        // Asked for with the lock: after the end of a call nothing of it is begun.
        if *self
            .is_closed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
        {
            return Err(closed());
        }
        match self.writer.flush_locked(&mut state)? {
            Sent::All => {}
            Sent::Gone => return Err(closed()),
            Sent::Full | Sent::Crowded => return Ok(not_begun(payload)),
        }
        let frame = Outgoing::new(Kind::Event, self.call, false, "", payload);
        state.partial = Some(Partial::Frame(frame));
        let sent = self.writer.flush_locked(&mut state)?;
        if sent == Sent::Gone {
            return Err(closed());
        }
        let is_begun = |partial: &Partial| matches!(partial, Partial::Frame(it) if it.has_begun());
        if state.partial.as_ref().is_some_and(|it| !is_begun(it))
            && let Some(Partial::Frame(frame)) = mem::take(&mut state.partial)
        {
            return Ok(not_begun(frame.into_payload()));
        }
        state.begun += 1;
        Ok(match state.partial {
            None => Begun::Sent,
            Some(_) => Begun::Part(state.begun),
        })
    }

    fn go_on(&self, number: u64) -> Result<bool> {
        let mut state = self.lock()?;
        match self.writer.flush_locked(&mut state)? {
            Sent::Gone => Err(closed()),
            _ => Ok(state.partial.is_none() || state.begun > number),
        }
    }

    fn wait(&self) -> Result<()> {
        let is_crowded = self.lock()?.is_crowded;
        wait_for_room(self.writer.socket.as_fd(), is_crowded)
    }

    fn is_crowded(&self) -> bool {
        self.lock().is_ok_and(|state| state.is_crowded)
    }

    fn socket(&self) -> BorrowedFd<'_> {
        self.writer.socket.as_fd()
    }

    /// The rest of an event that was begun is sent before anything else, whoever sends it.
    fn close(&self) {
        let _before_the_end = self.lock();
        *self
            .is_closed
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = true;
    }
}
