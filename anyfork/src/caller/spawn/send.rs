//! [`RequestSender`]: sends a request, and the descriptors that do not fit into it.
//! RUNS IN: caller
//!
//! It knows the two sockets, and nothing of the reply.

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::caller::spawn::wait_for::WaitFor;
use crate::caller::templates::handle::TemplateHandle;
use crate::error::{Error, Result};
use crate::protocol::MAX_INLINE_FDS;
use crate::protocol::request::Surroundings;
use crate::sys::deliver::is_too_many_in_flight;
use crate::sys::poll::Interest;
use crate::sys::{fd, socket};

/// The message and the descriptors that go with it.
pub(crate) struct Request {
    pub(crate) message: Vec<u8>,
    /// All but the standard streams. The second is the write end of the status pipe.
    pub(crate) fds: Vec<OwnedFd>,
    /// The standard streams that go with it, as they are when it is sent.
    pub(crate) surroundings: Surroundings,
    /// The index in `fds` before which the standard streams go.
    pub(crate) streams_at: usize,
}

impl Request {
    /// All descriptors, in the order of the message.
    fn all_fds(&self) -> Vec<BorrowedFd<'_>> {
        let (before, after) = self.fds.split_at(self.streams_at);
        let streams = (0..).zip(self.surroundings.streams);
        let streams = streams.filter(|(_, sent)| *sent);
        before
            .iter()
            .map(AsFd::as_fd)
            .chain(streams.map(|(number, _)| fd::standard_stream(number)))
            .chain(after.iter().map(AsFd::as_fd))
            .collect()
    }

    /// Leaves out the standard streams that are closed; `false` if none is.
    fn leave_out_closed_streams(&mut self) -> bool {
        let before = self.surroundings;
        for (number, sent) in (0..).zip(&mut self.surroundings.streams) {
            *sent = *sent && fd::is_open(fd::standard_stream(number));
        }
        self.message[Surroundings::AT] = self.surroundings.encode();
        self.surroundings != before
    }
}

/// The index of the status pipe's write end among a request's descriptors.
const STATUS_WRITER: usize = 1;

/// Descriptors that travel over the reply socket, the next one last.
pub(crate) type Descriptors = Vec<OwnedFd>;

/// What is not sent yet.
pub(crate) struct RequestSender {
    unsent: Unsent,
    status_writer: Option<OwnedFd>,
}

enum Unsent {
    /// Queues on the reply socket the descriptors that do not fit into the request.
    /// The request follows them.
    Queueing(Descriptors, Request),
    /// Waits for room on the control socket.
    Request(Request, Descriptors),
    /// The queue is full until the child takes descriptors from it.
    Descriptors(Descriptors),
    Nothing,
}

impl RequestSender {
    pub(crate) fn new(request: Request, following: Descriptors) -> RequestSender {
        RequestSender {
            unsent: Unsent::Queueing(following, request),
            status_writer: None,
        }
    }

    /// Whether the template has not been sent the request.
    pub(crate) fn has_request(&self) -> bool {
        matches!(self.unsent, Unsent::Queueing(..) | Unsent::Request(..))
    }

    /// Whether the write end of the status pipe is there, once the request is sent: it
    /// reserves an entry of the descriptor table for a pidfd.
    pub(crate) fn has_status_writer(&self) -> bool {
        self.status_writer.is_some()
    }

    /// Closes the write end of the status pipe.
    pub(crate) fn close_status_writer(&mut self) {
        self.status_writer = None;
    }

    /// Gives up what is not sent to a child that has exited.
    pub(crate) fn give_up(&mut self) {
        self.unsent = Unsent::Nothing;
    }

    /// Sends as much as there is room for, and returns the event that makes more. `None`:
    /// everything is sent.
    pub(crate) fn send(
        &mut self,
        template: &TemplateHandle,
        reply_socket: BorrowedFd<'_>,
        what: &str,
    ) -> Result<Option<WaitFor>> {
        loop {
            match mem::replace(&mut self.unsent, Unsent::Nothing) {
                Unsent::Queueing(mut fds, request) => {
                    queue(reply_socket, &mut fds, what)?;
                    self.unsent = Unsent::Request(request, fds);
                }
                Unsent::Request(mut request, following) => {
                    if let Some(wait) = send_request(template, &mut request, what)? {
                        self.unsent = Unsent::Request(request, following);
                        return Ok(Some(wait));
                    }
                    self.status_writer = Some(request.fds.swap_remove(STATUS_WRITER));
                    if !following.is_empty() {
                        self.unsent = Unsent::Descriptors(following);
                    }
                }
                Unsent::Descriptors(mut fds) => {
                    if let Some(wait) = queue(reply_socket, &mut fds, what)? {
                        self.unsent = Unsent::Descriptors(fds);
                        return Ok(Some(wait));
                    }
                }
                Unsent::Nothing => return Ok(None),
            }
        }
    }
}

/// Sends the request, or returns the event that makes room for it.
fn send_request(
    template: &TemplateHandle,
    request: &mut Request,
    what: &str,
) -> Result<Option<WaitFor>> {
    let control = template.control();
    let mut sent = socket::send(control, &request.message, &request.all_fds());
    // Most programs have all three streams open, so only a refusal makes it look.
    if sent.as_ref().is_err_and(is_bad_fd) && request.leave_out_closed_streams() {
        sent = socket::send(control, &request.message, &request.all_fds());
    }
    match sent {
        Ok(_) => Ok(None),
        Err(error) if is_too_many_in_flight(&error) => Ok(Some(WaitFor::Later)),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock => Ok(Some(WaitFor::Control)),
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Err(template.why_gone()),
            _ => Err(Error::io(format!("ask the template for `{what}`"), error)),
        },
    }
}

/// Sends descriptors over the reply socket, or returns the event that makes room for
/// the rest.
fn queue(
    reply_socket: BorrowedFd<'_>,
    fds: &mut Descriptors,
    what: &str,
) -> Result<Option<WaitFor>> {
    while !fds.is_empty() {
        let first = fds.len().saturating_sub(MAX_INLINE_FDS);
        let next: Vec<_> = fds[first..].iter().rev().map(AsFd::as_fd).collect();
        match socket::send(reply_socket, &[0], &next) {
            Ok(_) => fds.truncate(first),
            Err(error) if is_too_many_in_flight(&error) => return Ok(Some(WaitFor::Later)),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => {
                    return Ok(Some(WaitFor::Reply(Interest::Writable)));
                }
                // The child has refused already: its reply says why.
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => return Ok(None),
                _ => return Err(Error::io(format!("send descriptors to `{what}`"), error)),
            },
        }
    }
    Ok(None)
}

fn is_bad_fd(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EBADF)
}
