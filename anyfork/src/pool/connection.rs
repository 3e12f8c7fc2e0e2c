//! [`Connection`]: the conversation with one worker, as steps that never block.
//! RUNS IN: caller
//!
//! It knows frames and the socket, and nothing of processes, pools, or what the payloads
//! mean. Each step sends and receives as much as possible, both: so neither side waits for
//! the other with full buffers, however large request and answer are. Whoever owns it waits
//! for the socket between two steps, in whatever way, and watches the worker's pidfd: a
//! process that the worker has left behind may hold the socket open.

pub(crate) mod arriving;
pub(crate) mod several;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::failure::Failure;
use crate::pool::request::Request;
use crate::protocol::call::incoming::Incoming;
use crate::protocol::call::outgoing::Outgoing;
use crate::protocol::call::{Kind, Payload, Terms};
use crate::sys::poll::{self, Interest};
use crate::sys::socket::{self, Wait};

/// Interval between two looks whether fewer descriptors are in flight.
const INTERVAL_IN_FLIGHT: Duration = Duration::from_millis(1);

/// Maximum number of bytes of a failure's text, whatever a result may have.
const LONGEST_FAILURE: u64 = 1 << 20;

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) outcome: Outcome,
    /// The worker takes no more calls, and exits.
    pub(crate) retires: bool,
}

/// How a call has ended, as its worker says.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The function has returned this.
    Returned(Payload),
    /// The function has panicked, and the panic has unwound.
    Panicked(Failure),
    /// The arguments do not fit the function, which was not entered.
    BadArgument(String),
    /// The result has so many bytes, which is above the maximum.
    TooLarge(u64),
    /// The result does not encode.
    BadResult(String),
}

/// The result of a step.
#[derive(Debug)]
pub(crate) enum Progress {
    /// There is nothing to do before this. Without a call under way: before the worker
    /// exits, which makes the socket readable.
    WaitFor(WaitFor),
    /// Events, or answers to the first of several items, have arrived, and the call goes on:
    /// see [`take_arrived`](Connection::take_arrived). More may be there.
    Arrived(WaitFor),
    /// The call that was under way is over. There may be bytes left to send, which nobody
    /// will miss; then the worker must not be used again: see
    /// [`is_usable`](Connection::is_usable).
    Reply(Reply),
    /// The worker has closed its end, and no whole answer was there.
    Ended,
}

/// The events that make a step worth it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WaitFor {
    /// The socket is readable. Always of interest: the worker's end shows so, too.
    pub(crate) readable: bool,
    /// There is room on the socket.
    pub(crate) writable: bool,
    /// A millisecond: no descriptor reports that fewer of this user's descriptors are in
    /// flight (`ETOOMANYREFS`, unix(7)).
    pub(crate) later: bool,
}

/// The conversation with one worker.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: Arc<UnixStream>,
    incoming: Incoming,
    call: Option<Call>,
    /// Memory of the request before, for the next one.
    room: Vec<u8>,
    /// Events and answers that have arrived before the last answer.
    arrived: Vec<Outcome>,
    /// A request of which not all items were answered.
    rest: Option<Request>,
    has_ended: bool,
    is_broken: bool,
    /// Why what comes next makes no sense.
    error: Option<Error>,
}

/// The call that is under way.
#[derive(Debug)]
struct Call {
    number: u64,
    name: &'static str,
    items: Option<u32>,
    /// Number of items that were answered.
    answered: u32,
    outgoing: Outgoing,
    /// All is sent, or nobody reads it.
    is_sent: bool,
    /// Its descriptors are closed here.
    has_closed_fds: bool,
}

impl Call {
    /// The request, unless its descriptors were delivered and are closed here.
    fn into_request(self) -> Option<Request> {
        let (Kind::Call(terms) | Kind::Items(terms)) = self.outgoing.head().kind else {
            return None;
        };
        (!self.has_closed_fds).then(|| Request {
            number: self.number,
            name: self.name,
            terms,
            items: self.items,
            arguments: self.outgoing.into_payload(),
        })
    }
}

/// How far sending is.
enum Sent {
    All,
    Full,
    TooManyInFlight,
}

impl Connection {
    /// The conversation over this socket, whose worker is ready or will be. It may be
    /// blocking or not: a step never waits.
    pub(crate) fn new(socket: Arc<UnixStream>) -> Connection {
        Connection {
            socket,
            incoming: Incoming::of_worker(),
            call: None,
            room: Vec::new(),
            arrived: Vec::new(),
            rest: None,
            has_ended: false,
            is_broken: false,
            error: None,
        }
    }

    /// The socket.
    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether nothing is left to send.
    pub(crate) fn is_sent(&self) -> bool {
        self.call.as_ref().is_none_or(|call| call.is_sent)
    }

    /// Whether the worker can take a call: none is under way, nothing is left of the one
    /// before, and the worker's end was open at the last step.
    pub(crate) fn is_usable(&self) -> bool {
        self.call.is_none() && !self.has_ended && !self.is_broken
    }

    /// Puts a call under way. Sends nothing: see [`send_step`](Connection::send_step) and
    /// [`step`](Connection::step).
    pub(crate) fn start(&mut self, request: Request) {
        debug_assert!(self.is_usable(), "one call after the other");
        let Request {
            number,
            name,
            terms,
            arguments,
            items,
        } = request;
        self.incoming
            .set_limit(terms.max_result.max(LONGEST_FAILURE));
        let kind = match items {
            None => Kind::Call(terms),
            Some(_) => Kind::Items(terms),
        };
        let room = std::mem::take(&mut self.room);
        let outgoing = Outgoing::in_room(room, kind, number, false, name, arguments);
        self.call = Some(Call {
            number,
            name,
            items,
            answered: 0,
            outgoing,
            is_sent: false,
            has_closed_fds: false,
        });
    }

    /// Puts a call under way whose request is sent by other means.
    pub(crate) fn expect(&mut self, number: u64, name: &'static str, terms: Terms) {
        self.start(Request {
            number,
            name,
            terms,
            arguments: Payload::default(),
            items: None,
        });
        if let Some(call) = &mut self.call {
            call.is_sent = true;
        }
    }

    /// Sends as much as there is room for, and receives nothing: right after
    /// [`start`](Connection::start) there is no answer, and before the worker is ready the
    /// socket carries its reply to the launch. `None`: all is sent.
    pub(crate) fn send_step(&mut self) -> Result<Option<WaitFor>> {
        let writable = match self.send()? {
            Sent::All => return Ok(None),
            Sent::Full => true,
            Sent::TooManyInFlight => false,
        };
        Ok(Some(WaitFor {
            readable: true,
            writable,
            later: !writable,
        }))
    }

    /// Sends and receives as much as possible.
    ///
    /// # Errors
    ///
    /// What the worker has sent is no answer ([`ErrorKind::Protocol`](crate::error::ErrorKind::Protocol)), or the system
    /// fails. The worker is of no use any more.
    pub(crate) fn step(&mut self) -> Result<Progress> {
        let progress = self.advance(Wait::No);
        self.is_broken |= progress.is_err();
        progress
    }

    /// Sends the rest, and waits for the answer or the end of the socket.
    ///
    /// # Errors
    ///
    /// As [`step`](Connection::step).
    pub(crate) fn wait(&mut self) -> Result<Progress> {
        let progress = self.advance(Wait::Yes);
        self.is_broken |= progress.is_err();
        progress
    }

    /// The request of the call that is under way, for another worker: this one is gone, and
    /// has not entered the call. `None` if its descriptors were delivered and are closed
    /// here.
    pub(crate) fn take_back(&mut self) -> Option<Request> {
        self.is_broken = true;
        self.call.take()?.into_request()
    }

    /// The request that was answered last, if not all of its items were.
    pub(crate) fn take_rest(&mut self) -> Option<Request> {
        self.rest.take()
    }

    fn advance(&mut self, wait: Wait) -> Result<Progress> {
        loop {
            let sent = match self.has_ended {
                false => self.send()?,
                true => Sent::All,
            };
            if let Some(progress) = self.take_frames(&sent)? {
                return Ok(progress);
            }
            // Both directions are looked at as long as there is something to send.
            let received = match sent {
                Sent::All => self.receive(wait)?,
                _ => self.receive(Wait::No)?,
            };
            match received {
                Received::Bytes => {}
                Received::End => {
                    self.has_ended = true;
                    return Ok(Progress::Ended);
                }
                Received::Nothing if wait == Wait::Yes => self.wait_for_room(&sent)?,
                Received::Nothing => return Ok(Progress::WaitFor(sent.wait_for())),
            }
        }
    }

    /// Sends as much as there is room for.
    fn send(&mut self) -> Result<Sent> {
        let Some(call) = self.call.as_mut().filter(|call| !call.is_sent) else {
            return Ok(Sent::All);
        };
        while let Some((bytes, fds)) = call.outgoing.next() {
            let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
            match socket::send(self.socket.as_fd(), bytes, &fds) {
                Ok(len) => call.outgoing.sent(len),
                Err(error) if error.raw_os_error() == Some(libc::ETOOMANYREFS) => {
                    return Ok(Sent::TooManyInFlight);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(Sent::Full),
                    // The worker is gone. What it has sent before can still be received.
                    io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                        call.is_sent = true;
                        return Ok(Sent::All);
                    }
                    _ => {
                        let what = format!("send a call of `{}` to its worker", call.name);
                        return Err(Error::io(what, error));
                    }
                },
            }
        }
        call.is_sent = true;
        // The worker has its own, and a reader at the other end waits for the last.
        call.has_closed_fds = call.outgoing.close_fds() > 0;
        Ok(Sent::All)
    }

    /// Waits until there is something to do (poll(2)).
    fn wait_for_room(&self, sent: &Sent) -> Result<()> {
        let socket = self.socket.as_fd();
        let readable = (socket, Interest::Readable);
        let waited = match sent {
            Sent::TooManyInFlight => {
                poll::wait_any(&[readable], Some(Instant::now() + INTERVAL_IN_FLIGHT))
            }
            _ => poll::wait_any(&[readable, (socket, Interest::Writable)], None),
        };
        waited.map_err(|error| Error::io("wait for a worker", error))?;
        Ok(())
    }

    /// Receives once.
    fn receive(&mut self, wait: Wait) -> Result<Received> {
        let room = self.incoming.room();
        let received =
            socket::receive_append(self.socket.as_fd(), wait, room.bytes, room.limit, room.fds);
        match received {
            Ok(received) if received.len == 0 => Ok(Received::End),
            Ok(received) => {
                if received.fds_cut {
                    self.incoming.lose_fds();
                }
                Ok(Received::Bytes)
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => Ok(Received::Nothing),
                // Said once, when the worker has not read all; all that it has sent was
                // received before.
                io::ErrorKind::ConnectionReset => Ok(Received::End),
                _ => Err(Error::io("receive the answer of a worker", error)),
            },
        }
    }
}

impl Sent {
    /// What the next step needs.
    fn wait_for(&self) -> WaitFor {
        WaitFor {
            readable: true,
            writable: matches!(self, Sent::Full),
            later: matches!(self, Sent::TooManyInFlight),
        }
    }
}

enum Received {
    Bytes,
    Nothing,
    End,
}

#[cfg(test)]
mod tests;
