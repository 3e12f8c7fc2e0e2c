//! [`Outbox`]: the requests that go to one worker, and those that it has not answered.
//! RUNS IN: caller
//!
//! Requests are put in with the pool's lock, so that their numbers rise on the socket, and sent
//! without it, by whoever comes first.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::pool::connection::WaitFor;
use crate::pool::request::Request;
use crate::protocol::call::outgoing::Outgoing;
use crate::protocol::call::{Kind, Payload, Terms};
use crate::sys::socket;

/// Number of bytes of short requests that are sent in one piece.
const MAX_JOINED: usize = 64 * 1024;

/// The requests that go to one worker.
pub(crate) struct Outbox {
    socket: Arc<UnixStream>,
    /// What was not begun.
    queue: Mutex<VecDeque<ToSend>>,
    sending: Mutex<Sending>,
}

/// What goes to a worker.
pub(crate) enum ToSend {
    Request(Request),
    /// The call of this number is to be dropped, or not to be begun.
    Cancel(u64),
}

#[derive(Default)]
struct Sending {
    /// What is being sent.
    frames: Vec<Sent>,
    /// Their bytes, if they are several.
    joined: Vec<u8>,
    /// Number of those that are sent.
    offset: usize,
    /// Requests that are sent whole, and not answered.
    sent: VecDeque<Sent>,
    /// Nobody reads.
    is_gone: bool,
}

/// A frame that is being sent, or is sent.
#[derive(Debug)]
pub(crate) struct Sent {
    frame: Outgoing,
    number: u64,
    /// `None`: it is no request.
    request: Option<Known>,
    /// Its descriptors are closed here.
    has_closed_fds: bool,
}

/// What a request's frame does not give back.
#[derive(Clone, Copy, Debug)]
struct Known {
    name: &'static str,
    terms: Terms,
    items: Option<u32>,
}

impl Outbox {
    pub(crate) fn new(socket: Arc<UnixStream>) -> Outbox {
        Outbox {
            socket,
            queue: Mutex::default(),
            sending: Mutex::default(),
        }
    }

    /// Puts something behind all that is to be sent.
    pub(crate) fn push(&self, it: ToSend) {
        lock(&self.queue).push_back(it);
    }

    /// Sends as much as there is room for. What sending the rest waits for.
    pub(crate) fn flush(&self) -> Result<Option<WaitFor>> {
        let mut sending = lock(&self.sending);
        let wait = |writable: bool| WaitFor {
            readable: true,
            writable,
            later: !writable,
        };
        while !sending.is_gone && sending.begin(&self.queue) {
            let (bytes, fds) = sending.next();
            let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
            match socket::send(self.socket.as_fd(), bytes, &fds) {
                Ok(len) => sending.advance(len),
                Err(error) if error.raw_os_error() == Some(libc::ETOOMANYREFS) => {
                    return Ok(Some(wait(false)));
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(Some(wait(true))),
                    // The worker is gone. What it has sent before can still be received.
                    io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                        sending.is_gone = true;
                    }
                    _ => return Err(Error::io("send a call to its worker", error)),
                },
            }
        }
        Ok(None)
    }

    /// Takes out the request of a call that was answered. `None`: it was not sent whole.
    pub(crate) fn answered(&self, number: u64) -> Option<Sent> {
        let sent = &mut lock(&self.sending).sent;
        let at = sent.iter().position(|it| it.number == number)?;
        sent.remove(at)
    }

    /// Takes back the request of a call that its worker will not enter. `None`: its descriptors
    /// were delivered, and are closed here.
    pub(crate) fn take_back(&self, number: u64) -> Option<Request> {
        {
            let mut queue = lock(&self.queue);
            let is_it = |it: &ToSend| matches!(it, ToSend::Request(it) if it.number == number);
            if let Some(at) = queue.iter().position(is_it)
                && let Some(ToSend::Request(request)) = queue.remove(at)
            {
                return Some(request);
            }
        }
        let mut sending = lock(&self.sending);
        let is_it = |it: &Sent| it.number == number && it.request.is_some();
        if let Some(at) = sending.sent.iter().position(is_it) {
            return sending.sent.remove(at)?.into_request();
        }
        let at = sending.frames.iter().position(is_it)?;
        match sending.is_gone {
            true => sending.frames.remove(at).into_request(),
            // The rest of it has to follow.
            false => sending.frames[at].copy_request(),
        }
    }

    /// Nothing is sent any more.
    pub(crate) fn close(&self) {
        lock(&self.sending).is_gone = true;
    }
}

impl ToSend {
    /// Whether its frame is one short piece.
    fn is_short(&self) -> bool {
        match self {
            ToSend::Cancel(_) => true,
            ToSend::Request(request) => Outgoing::is_short(&request.arguments),
        }
    }

    fn into_frame(self) -> Sent {
        match self {
            ToSend::Cancel(number) => Sent {
                frame: Outgoing::new(Kind::Cancel, number, false, "", Payload::default()),
                number,
                request: None,
                has_closed_fds: false,
            },
            ToSend::Request(request) => {
                let Request {
                    number,
                    name,
                    terms,
                    arguments,
                    items,
                } = request;
                let kind = match items {
                    None => Kind::Call(terms),
                    Some(_) => Kind::Items(terms),
                };
                Sent {
                    frame: Outgoing::new(kind, number, false, name, arguments),
                    number,
                    request: Some(Known { name, terms, items }),
                    has_closed_fds: false,
                }
            }
        }
    }
}

impl Sending {
    /// Takes the next frame out of the queue, or several that are short. `false`: there is
    /// none.
    fn begin(&mut self, queue: &Mutex<VecDeque<ToSend>>) -> bool {
        if !self.frames.is_empty() {
            return true;
        }
        let (mut queue, mut len) = (lock(queue), 0);
        while let Some(next) = queue.front() {
            let is_short = next.is_short();
            let goes_along = is_short && len < MAX_JOINED;
            if !goes_along && !self.frames.is_empty() {
                break;
            }
            self.frames
                .extend(queue.pop_front().map(ToSend::into_frame));
            len += self.frames.last().map_or(0, |it| it.bytes().len());
            if !goes_along {
                break;
            }
        }
        drop(queue);
        if self.frames.len() > 1 {
            let bytes = self.frames.iter().map(Sent::bytes);
            self.joined = bytes.collect::<Vec<_>>().concat();
        }
        !self.frames.is_empty()
    }

    /// The bytes to send next, and the descriptors that go with them.
    fn next(&self) -> (&[u8], &[OwnedFd]) {
        match self.joined.is_empty() {
            true => self.frames.first().and_then(|it| it.frame.next()),
            false => Some((&self.joined[self.offset..], &[][..])),
        }
        .unwrap_or_default()
    }

    fn advance(&mut self, len: usize) {
        let is_over = match self.joined.is_empty() {
            true => self.frames.first_mut().is_none_or(|it| {
                it.frame.sent(len);
                it.frame.next().is_none()
            }),
            false => {
                self.offset += len;
                self.offset == self.joined.len()
            }
        };
        if !is_over {
            return;
        }
        self.joined = Vec::new();
        self.offset = 0;
        for mut sent in self.frames.drain(..) {
            if sent.request.is_some() {
                // The worker has its own, and a reader at the other end waits for the last.
                sent.has_closed_fds = sent.frame.close_fds() > 0;
                self.sent.push_back(sent);
            }
        }
    }
}

impl Sent {
    /// What is sent first: all, if it is short.
    fn bytes(&self) -> &[u8] {
        self.frame.next().map_or(&[], |(bytes, _)| bytes)
    }

    /// The request, unless its descriptors were delivered and are closed here.
    pub(crate) fn into_request(self) -> Option<Request> {
        let Known { name, terms, items } = self.request?;
        (!self.has_closed_fds).then(|| Request {
            number: self.number,
            name,
            terms,
            items,
            arguments: self.frame.into_payload(),
        })
    }

    /// A copy of a request that is being sent, if it has no descriptors.
    fn copy_request(&self) -> Option<Request> {
        let Known { name, terms, items } = self.request?;
        let arguments = self.frame.payload();
        (self.frame.head().fds == 0).then(|| Request {
            number: self.number,
            name,
            terms,
            items,
            arguments: Payload {
                main: arguments.main.clone(),
                blobs: arguments.blobs.clone(),
                fds: Vec::new().into(),
            },
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
