//! The way of a request to its template, and of the descriptors that follow it
//! to the child.

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::caller::spawn::{Progress, Spawn, State, WaitFor};
use crate::error::{Error, Result};
use crate::protocol::MAX_INLINE_FDS;
use crate::protocol::request::Surroundings;
use crate::sys::poll::Interest;
use crate::sys::{fd, socket};

/// The message and the descriptors that go with it.
pub(crate) struct Request {
    pub(crate) message: Vec<u8>,
    pub(crate) fds: Vec<OwnedFd>,
    /// The standard streams that go with it, as they are when it is sent.
    pub(crate) surroundings: Surroundings,
    /// Their place among the descriptors.
    pub(crate) streams_at: usize,
}

impl Request {
    /// All descriptors, in their order.
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

/// Where among a request's descriptors the status pipe's write end is.
const REPORTED: usize = 1;

/// Descriptors that travel over the answer socket, the next one last.
pub(crate) type Descriptors = Vec<OwnedFd>;

fn is_bad_fd(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EBADF)
}

/// Whether there is room but not yet.
fn later(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ETOOMANYREFS)
}

impl Spawn {
    /// Sends all, in code that may block.
    pub(crate) fn send_blocking(&mut self, socket: BorrowedFd<'_>) -> Result<()> {
        let mut has_waited = false;
        while let Some(mut wait) = self.send(socket)? {
            if mem::replace(&mut has_waited, true) {
                match self.check_template(wait, socket)? {
                    Progress::WaitFor(next) => wait = next,
                    Progress::Ready(_) => return Ok(()),
                }
            }
            self.wait_blocking(wait, socket)?;
        }
        Ok(())
    }

    /// Sends what is not sent; tells what for it has to wait.
    pub(crate) fn send(&mut self, socket: BorrowedFd<'_>) -> Result<Option<WaitFor>> {
        loop {
            match mem::replace(&mut self.state, State::Answer) {
                State::Queueing(mut fds, request) => {
                    self.queue(socket, &mut fds)?;
                    self.state = State::Sending(request, fds);
                }
                State::Sending(mut request, following) => {
                    if let Some(wait) = self.request(&mut request)? {
                        self.state = State::Sending(request, following);
                        return Ok(Some(wait));
                    }
                    self.place = Some(request.fds.swap_remove(REPORTED));
                    if !following.is_empty() {
                        self.state = State::Following(following);
                    }
                }
                State::Following(mut fds) => {
                    if let Some(wait) = self.queue(socket, &mut fds)? {
                        self.state = State::Following(fds);
                        return Ok(Some(wait));
                    }
                }
                received => {
                    self.state = received;
                    return Ok(None);
                }
            }
        }
    }

    /// Sends the request; tells what for it has to wait.
    fn request(&self, request: &mut Request) -> Result<Option<WaitFor>> {
        let mut sent = socket::send(
            self.template.control(),
            &request.message,
            &request.all_fds(),
        );
        // Most programs have all three, so nobody looks before.
        if sent.as_ref().is_err_and(is_bad_fd) && request.leave_out_closed_streams() {
            sent = socket::send(
                self.template.control(),
                &request.message,
                &request.all_fds(),
            );
        }
        match sent {
            Ok(_) => Ok(None),
            Err(error) if later(&error) => Ok(Some(WaitFor::Later)),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => Ok(Some(WaitFor::Control)),
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                    Err(self.template.why_gone())
                }
                _ => Err(Error::io(
                    format!("ask the template for `{}`", self.what),
                    error,
                )),
            },
        }
    }

    /// Sends descriptors over the answer socket; tells what for the rest has to
    /// wait.
    fn queue(&self, socket: BorrowedFd<'_>, fds: &mut Descriptors) -> Result<Option<WaitFor>> {
        while !fds.is_empty() {
            let first = fds.len().saturating_sub(MAX_INLINE_FDS);
            let next: Vec<_> = fds[first..].iter().rev().map(AsFd::as_fd).collect();
            match socket::send(socket, &[0], &next) {
                Ok(_) => fds.truncate(first),
                Err(error) if later(&error) => return Ok(Some(WaitFor::Later)),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => {
                        return Ok(Some(WaitFor::Answer(Interest::Writable)));
                    }
                    // The child has refused already: its answer says why.
                    io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => return Ok(None),
                    _ => {
                        return Err(Error::io(
                            format!("send descriptors to `{}`", self.what),
                            error,
                        ));
                    }
                },
            }
        }
        Ok(None)
    }
}
