//! A request as it arrives on the control socket, at the template or at one of
//! its spares.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use crate::child::fd_limit::Limits;
use crate::error::{Error, ErrorKind};
use crate::protocol::control::ControlMessage;
use crate::protocol::request::{BodyAt, Head, Role};
use crate::sys::socket;
use crate::sys::socket::Wait;
use crate::template::server::answer_failure;

/// A request. The child takes it apart.
pub(crate) struct Request<'a> {
    pub(crate) head: Head,
    /// The body, if it came with the message.
    pub(crate) body: &'a [u8],
    pub(crate) socket: UnixStream,
    pub(crate) status: OwnedFd,
    pub(crate) control: Option<OwnedFd>,
    pub(crate) memory: Option<OwnedFd>,
    pub(crate) inline_fds: Vec<OwnedFd>,
}

/// What a look at the control socket has found.
pub(crate) enum Arrival<'a> {
    Nothing,
    /// Nothing that can be served: it was answered. The buffer has bytes of it.
    Refused,
    /// The last owner is gone.
    Closed,
    Request(Request<'a>),
    /// The number of spares is to change. The descriptor is an owner's end.
    Keep(ControlMessage, Option<OwnedFd>),
}

impl<'a> Request<'a> {
    /// Takes what is there, or waits for it.
    pub(crate) fn receive(
        control: BorrowedFd<'_>,
        wait: Wait,
        buffer: &'a mut [u8],
        limits: &Limits,
    ) -> Arrival<'a> {
        let mut fds = Vec::new();
        let received = match socket::receive_or_wait(control, wait, buffer, &mut fds) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Arrival::Nothing,
            // ECONNRESET: the owner went without having read all.
            Err(_) => return Arrival::Closed,
        };
        if received.len == 0 && fds.is_empty() {
            return Arrival::Closed;
        }
        let message = match received.cut {
            true => &[],
            false => &buffer[..received.len],
        };
        if let Some(keep) = ControlMessage::parse(message) {
            return Arrival::Keep(keep, fds.pop());
        }
        let (head, body) = match Head::parse(message) {
            Ok(parsed) => parsed,
            Err(malformed) => return refuse(fds, &malformed.into()),
        };
        if received.fds_cut {
            return refuse(fds, &limits.full());
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
            inline_fds: fds.collect(),
        })
    }
}

/// Answers a request that cannot be served, if its socket has arrived.
fn refuse<'a>(fds: Vec<OwnedFd>, error: &Error) -> Arrival<'a> {
    if let Some(socket) = fds.into_iter().next() {
        answer_failure(&socket.into(), error);
    }
    Arrival::Refused
}
