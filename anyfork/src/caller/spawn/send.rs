//! The way of a request to its template, and of the descriptors that follow it
//! to the child.

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::caller::spawn::{Flight, Stage, Step, Wait};
use crate::error::{Error, Result};
use crate::protocol::MAX_ATTACHED;
use crate::sys::poll::Interest;
use crate::sys::socket;

/// The message and the descriptors that go with it.
pub(crate) struct Request {
    pub(crate) message: Vec<u8>,
    pub(crate) fds: Vec<OwnedFd>,
}

/// Where among a request's descriptors the status pipe's write end is.
const REPORTED: usize = 1;

/// Descriptors that travel over the answer socket, the next one last.
pub(crate) type Descriptors = Vec<OwnedFd>;

/// Whether there is room but not yet.
fn later(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ETOOMANYREFS)
}

impl Flight {
    /// Sends all, in code that may block.
    pub(crate) fn send_blocking(&mut self, socket: BorrowedFd<'_>) -> Result<()> {
        let mut has_waited = false;
        while let Some(mut wait) = self.send(socket)? {
            if mem::replace(&mut has_waited, true) {
                match self.look_after(wait, socket)? {
                    Step::Wait(next) => wait = next,
                    Step::Ready(_) => return Ok(()),
                }
            }
            self.wait_blocking(wait, socket)?;
        }
        Ok(())
    }

    /// Sends what is not sent; tells what for it has to wait.
    pub(crate) fn send(&mut self, socket: BorrowedFd<'_>) -> Result<Option<Wait>> {
        loop {
            match mem::replace(&mut self.stage, Stage::Answer) {
                Stage::Queueing(mut fds, request) => {
                    self.queue(socket, &mut fds)?;
                    self.stage = Stage::Sending(request, fds);
                }
                Stage::Sending(mut request, following) => {
                    if let Some(wait) = self.request(&request)? {
                        self.stage = Stage::Sending(request, following);
                        return Ok(Some(wait));
                    }
                    self.place = Some(request.fds.swap_remove(REPORTED));
                    if !following.is_empty() {
                        self.stage = Stage::Following(following);
                    }
                }
                Stage::Following(mut fds) => {
                    if let Some(wait) = self.queue(socket, &mut fds)? {
                        self.stage = Stage::Following(fds);
                        return Ok(Some(wait));
                    }
                }
                received => {
                    self.stage = received;
                    return Ok(None);
                }
            }
        }
    }

    /// Sends the request; tells what for it has to wait.
    fn request(&self, request: &Request) -> Result<Option<Wait>> {
        let fds: Vec<_> = request.fds.iter().map(AsFd::as_fd).collect();
        match socket::send(self.origin.control(), &request.message, &fds) {
            Ok(_) => Ok(None),
            Err(error) if later(&error) => Ok(Some(Wait::Later)),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => Ok(Some(Wait::Control)),
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                    Err(self.origin.why_gone())
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
    fn queue(&self, socket: BorrowedFd<'_>, fds: &mut Descriptors) -> Result<Option<Wait>> {
        while !fds.is_empty() {
            let first = fds.len().saturating_sub(MAX_ATTACHED);
            let next: Vec<_> = fds[first..].iter().rev().map(AsFd::as_fd).collect();
            match socket::send(socket, &[0], &next) {
                Ok(_) => fds.truncate(first),
                Err(error) if later(&error) => return Ok(Some(Wait::Later)),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => {
                        return Ok(Some(Wait::Answer(Interest::Writable)));
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
