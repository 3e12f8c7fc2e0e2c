//! The way of a function's events to the caller: frames on the worker's socket.
//! RUNS IN: child
//!
//! Frames do not mix: an event of which a part is sent is finished before anything else,
//! also if nobody waits for that any more.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::entry::sender::{Begun, Outlet};
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::call::outgoing::Outgoing;
use crate::protocol::call::{Kind, MAX_FDS, Payload};
use crate::sys::fork_mark::ForkMark;
use crate::sys::poll::{self, Interest};
use crate::sys::socket;
use crate::value::Encoder;

/// Interval between two looks whether fewer descriptors are in flight (`ETOOMANYREFS`,
/// unix(7)), which no descriptor reports.
pub(super) const INTERVAL_IN_FLIGHT: Duration = Duration::from_millis(1);

/// The events of one call.
pub(crate) struct SocketOutlet {
    socket: OwnedFd,
    mark: ForkMark,
    call: u64,
    /// Maximum number of bytes of an event.
    limit: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Number of events that were begun.
    begun: u64,
    /// The last of them, if it is not sent whole.
    partial: Option<Outgoing>,
    is_closed: bool,
    /// Descriptors wait for others to be received.
    is_crowded: bool,
}

impl SocketOutlet {
    pub(crate) fn new(
        socket: BorrowedFd<'_>,
        mark: ForkMark,
        call: u64,
        limit: u64,
    ) -> Result<SocketOutlet> {
        let socket = socket.try_clone_to_owned();
        let socket = socket.map_err(|error| Error::io("duplicate a worker's socket", error))?;
        Ok(SocketOutlet {
            socket,
            mark,
            call,
            limit,
            state: Mutex::default(),
        })
    }

    fn lock(&self) -> Result<MutexGuard<'_, State>> {
        if self.mark.is_copy() {
            return Err(of_a_copy());
        }
        Ok(self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends as much as there is room for. Whether nothing is left.
    fn flush(&self, state: &mut State) -> Result<bool> {
        state.is_crowded = false;
        while let Some(frame) = &mut state.partial {
            let Some((bytes, fds)) = frame.next() else {
                state.partial = None;
                break;
            };
            let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
            match socket::send(self.socket.as_fd(), bytes, &fds) {
                Ok(len) => frame.sent(len),
                Err(error) if error.raw_os_error() == Some(libc::ETOOMANYREFS) => {
                    state.is_crowded = true;
                    return Ok(false);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => {
                    state.is_closed = true;
                    state.partial = None;
                    return Err(gone(&error));
                }
            }
        }
        Ok(true)
    }
}

impl Outlet for SocketOutlet {
    fn begin(&self, event: Encoder) -> Result<Begun> {
        let payload = payload_of(event, self.limit)?;
        let mut state = self.lock()?;
        if state.is_closed {
            return Err(closed());
        }
        if !self.flush(&mut state)? {
            return Ok(not_begun(payload));
        }
        state.partial = Some(Outgoing::new(Kind::Event, self.call, false, "", payload));
        let is_sent = self.flush(&mut state)?;
        let unsent = state.partial.take_if(|it| !it.has_begun());
        Ok(match unsent {
            Some(frame) => not_begun(frame.into_payload()),
            None => {
                state.begun += 1;
                match is_sent {
                    true => Begun::Sent,
                    false => Begun::Part(state.begun),
                }
            }
        })
    }

    fn go_on(&self, number: u64) -> Result<bool> {
        let mut state = self.lock()?;
        let is_flushed = self.flush(&mut state)?;
        Ok(is_flushed || state.begun > number)
    }

    fn wait(&self) -> Result<()> {
        let is_crowded = self.lock()?.is_crowded;
        wait_for_room(self.socket.as_fd(), is_crowded)
    }

    #[cfg(feature = "tokio")]
    fn is_crowded(&self) -> bool {
        self.lock().is_ok_and(|state| state.is_crowded)
    }

    #[cfg(feature = "tokio")]
    fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn close(&self) {
        loop {
            let Ok(mut state) = self.lock() else { return };
            state.is_closed = true;
            if self.flush(&mut state).unwrap_or(true) {
                return;
            }
            drop(state);
            if self.wait().is_err() {
                return;
            }
        }
    }
}

/// The event, if it is within the limits.
pub(super) fn payload_of(event: Encoder, limit: u64) -> Result<Payload> {
    let Encoder { main, blobs, fds } = event;
    let payload = Payload {
        main,
        blobs,
        fds: fds.into(),
    };
    if payload.len() > limit || payload.fds.len() > MAX_FDS {
        let message = format!(
            "an event has {} bytes and {} descriptors, more than its limits allow",
            payload.len(),
            payload.fds.len()
        );
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    Ok(payload)
}

/// Gives the event back, of which nothing is sent.
pub(super) fn not_begun(payload: Payload) -> Begun {
    let Payload { main, blobs, fds } = payload;
    Begun::Full(Encoder {
        main,
        blobs,
        fds: fds.into_vec(),
    })
}

/// Waits for room on the socket, or a moment while the kernel takes no descriptor.
pub(super) fn wait_for_room(socket: BorrowedFd<'_>, is_crowded: bool) -> Result<()> {
    if is_crowded {
        thread::sleep(INTERVAL_IN_FLIGHT);
        return Ok(());
    }
    let waited = poll::wait(socket, Interest::Writable, None);
    waited.map_err(|error| Error::io("wait for room for an event", error))?;
    Ok(())
}

pub(super) fn of_a_copy() -> Error {
    let message = "send an event: this process is a copy of the call's, which it forked";
    Error::new(ErrorKind::Closed, message)
}

pub(super) fn closed() -> Error {
    let message = "send an event: the call is over, or its caller is gone";
    Error::new(ErrorKind::Closed, message)
}

/// The error for a caller that reads no more.
fn gone(error: &io::Error) -> Error {
    let message = format!("send an event: its caller is gone: {error}");
    Error::new(ErrorKind::Closed, message)
}
