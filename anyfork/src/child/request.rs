//! Receives a request, and gathers its body and descriptors.
//! RUNS IN: template, spare, child
//!
//! The template and its spares receive, and the child gathers. Every descriptor that arrives
//! is owned before anything can fail.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use crate::child::fd_limit::Limits;
use crate::child::reply::answer_failure;
use crate::child::surroundings::Surroundings;
use crate::child::trust::Trust;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::body::Body;
use crate::protocol::control::ControlMessage;
use crate::protocol::request::{BodyAt, Head, Role};
use crate::sys::socket::{self as message, Wait};
use crate::sys::{memfd, poll};

/// A request, whose body the child parses.
pub(crate) struct Request<'a> {
    pub(crate) head: Head,
    /// The body, if it is inline.
    pub(crate) body: &'a [u8],
    /// The reply socket.
    pub(crate) socket: UnixStream,
    /// The write end of the status pipe.
    pub(crate) status: OwnedFd,
    /// The control socket of a template to come.
    pub(crate) control: Option<OwnedFd>,
    /// The memfd that has the body.
    pub(crate) memory: Option<OwnedFd>,
    pub(crate) surroundings: Surroundings,
    /// The descriptors among the arguments, as far as they have come with the message.
    pub(crate) inline_fds: Vec<OwnedFd>,
}

/// What a [`receive`](Request::receive) has found on the control socket.
pub(crate) enum Arrival<'a> {
    Nothing,
    /// A request that cannot be served, and was answered. The buffer has bytes of
    /// it.
    Refused,
    /// The same of a request whose descriptors have no room in this process.
    NoRoom,
    /// The last owner is gone.
    Closed,
    Request(Request<'a>),
    /// A message about spares. With [`ControlMessage::SetSpares`] comes an owner's end
    /// of the control socket.
    Control(ControlMessage, Option<OwnedFd>),
}

impl<'a> Request<'a> {
    /// Receives the next message, or with [`Wait::Yes`] waits for it.
    pub(crate) fn receive(
        control: BorrowedFd<'_>,
        wait: Wait,
        buffer: &'a mut [u8],
        limits: &Limits,
        trust: Trust,
    ) -> Arrival<'a> {
        let mut fds = Vec::new();
        let received = match message::receive_or_wait(control, wait, buffer, &mut fds) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Arrival::Nothing,
            // ECONNRESET: the owner closed its end with unread bytes.
            Err(_) => return Arrival::Closed,
        };
        if received.len == 0 && fds.is_empty() && received.sender.is_none() {
            // The end has no sender. An empty message has one, or is told by that the
            // socket has not hung up.
            return match poll::is_at_end(control) {
                true => Arrival::Closed,
                false => Arrival::Nothing,
            };
        }
        if let Err(error) = trust.check(received.sender.map(|sender| sender.user)) {
            return refuse(fds, &error);
        }
        let message = match received.cut {
            true => &[],
            false => &buffer[..received.len],
        };
        if let Some(message) = ControlMessage::parse(message) {
            return Arrival::Control(message, fds.pop());
        }
        let (head, body) = match Head::parse(message) {
            Ok(parsed) => parsed,
            Err(malformed) => return refuse(fds, &malformed.into()),
        };
        if received.fds_cut {
            refuse(fds, &limits.full());
            return Arrival::NoRoom;
        }
        if fds.len() != head.fd_count() {
            let message = format!(
                "the other side does not speak this protocol: {} descriptors came with a request \
                 that is to have {}",
                fds.len(),
                head.fd_count(),
            );
            return refuse(fds, &Error::new(ErrorKind::Protocol, message));
        }
        let mut fds = fds.into_iter();
        let mut next = || fds.next().expect("their number was checked");
        Arrival::Request(Request {
            head,
            body,
            socket: next().into(),
            status: next(),
            control: (head.role == Role::Template).then(&mut next),
            memory: (head.body_at == BodyAt::Memfd).then(&mut next),
            surroundings: Surroundings {
                streams: head.surroundings.streams.map(|sent| sent.then(&mut next)),
                directory: head.surroundings.directory.then(&mut next),
                sent: head.surroundings,
            },
            inline_fds: fds.collect(),
        })
    }
}

/// Answers a request that cannot be served, if its reply socket has arrived.
fn refuse<'a>(fds: Vec<OwnedFd>, error: &Error) -> Arrival<'a> {
    if let Some(socket) = fds.into_iter().next() {
        answer_failure(&socket.into(), error);
    }
    Arrival::Refused
}

/// Gathers the body of a request, from the message or the memfd, and all of its
/// descriptors, some of which may still be on the way.
pub(crate) fn gather(
    socket: &UnixStream,
    head: &Head,
    body: &[u8],
    memory: Option<OwnedFd>,
    mut fds: Vec<OwnedFd>,
) -> Result<Body> {
    receive_more(socket, head.trailing_fds as usize, &mut fds)?;
    let loaded;
    let body = match memory {
        None => body,
        Some(memory) => {
            loaded = memfd::load(memory.as_fd(), head.body_len)
                .map_err(|error| Error::io("read the arguments", error))?;
            &loaded
        }
    };
    Ok(Body::parse(body, fds)?)
}

/// Receives the descriptors that did not fit into the request, from the reply socket.
fn receive_more(socket: &UnixStream, count: usize, fds: &mut Vec<OwnedFd>) -> Result<()> {
    let wanted = fds.len() + count;
    let failed = |error| Error::io("receive the worker's descriptors", error);
    while fds.len() < wanted {
        poll::wait(socket.as_fd(), poll::Interest::Readable, None).map_err(failed)?;
        let received = message::receive(socket.as_fd(), &mut [0], fds).map_err(failed)?;
        if received.fds_cut {
            return Err(failed(io::Error::from_raw_os_error(libc::EMFILE)));
        }
        if received.len == 0 {
            return Err(failed(io::ErrorKind::UnexpectedEof.into()));
        }
    }
    Ok(())
}
