//! The second half of a spawn: the answer, and what can be known when none
//! comes.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use crate::caller::child::handle::ExitWatch;
use crate::caller::child::status::{Look, StatusPipe};
use crate::caller::spawn::{Progress, Spawn, State, WaitFor};
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::request::Role;
use crate::protocol::{Malformed, reply};
use crate::sys::poll::Interest;
use crate::sys::{pidfd, socket};

impl Spawn {
    /// Reads what has come of the answer. If the record of the child's end has
    /// come, too, nothing more will: what the child has forked may hold the
    /// socket open.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>) -> Result<Progress> {
        match self.receive_once(socket)? {
            Progress::WaitFor(WaitFor::Answer(Interest::Readable)) if self.has_ended()? => {}
            step => return Ok(step),
        }
        match self.receive_once(socket)? {
            Progress::WaitFor(WaitFor::Answer(Interest::Readable)) => match self.announced.take() {
                // It may have been executed: its end tells.
                Some((pid, fds)) => self.ready(pid, fds),
                None => self.examine(),
            },
            step => Ok(step),
        }
    }

    fn receive_once(&mut self, socket: BorrowedFd<'_>) -> Result<Progress> {
        loop {
            match &mut self.state {
                State::Failure { kind, text, filled } => {
                    match receive_some(socket, &mut text[*filled..], &mut Vec::new())? {
                        None => return Ok(Progress::WaitFor(WaitFor::Answer(Interest::Readable))),
                        Some(0) => self.state = State::AwaitExit,
                        Some(n) if *filled + n < text.len() => *filled += n,
                        Some(_) => return Err(reply::parse_failure(*kind, text)?),
                    }
                }
                State::AwaitExit => return self.examine(),
                _ => {
                    let (mut head, mut fds) = ([0; reply::HEAD_LEN], Vec::new());
                    match receive_some(socket, &mut head, &mut fds)? {
                        None => return Ok(Progress::WaitFor(WaitFor::Answer(Interest::Readable))),
                        Some(0) => match self.announced.take() {
                            Some((pid, fds)) => return self.ready(pid, fds),
                            None => self.state = State::AwaitExit,
                        },
                        // A child writes the head at once, so it comes at once.
                        Some(reply::HEAD_LEN) => match reply::parse_head(&head)? {
                            reply::Head::Hello => {}
                            reply::Head::Ready { pid } if self.role == Role::Program => {
                                self.announced = Some((pid, fds));
                            }
                            reply::Head::Ready { pid } => return self.ready(pid, fds),
                            reply::Head::Failed { kind, rest } => {
                                let text = vec![0; rest];
                                self.state = State::Failure {
                                    kind,
                                    text,
                                    filled: 0,
                                };
                            }
                        },
                        Some(_) => return Err(Malformed::Because("an answer is cut off").into()),
                    }
                }
            }
        }
    }

    pub(crate) fn ready(&mut self, pid: u32, mut fds: Vec<OwnedFd>) -> Result<Progress> {
        let status = self.status.take().expect("there until here");
        let pidfd = match fds.pop() {
            Some(pidfd) => Ok(pidfd),
            // It was cut off, because the table is full. There is a place for one,
            // unless another thread takes it.
            None => {
                self.place = None;
                reopen(pid, &status)
            }
        };
        let pidfd = pidfd.map_err(|error| {
            let message = format!("receive the pidfd of `{}`", self.what);
            Error::io(message, error)
        })?;
        // The template has answered before its child did.
        self.template.poll_startup();
        self.trace.ready(pid);
        let trace = self.trace.clone();
        let running = ExitWatch::new(pid, pidfd, status, self.kill_on_drop, trace);
        Ok(Progress::Ready(running))
    }

    /// Finds out what a child that is gone died of.
    fn examine(&mut self) -> Result<Progress> {
        // It is a write end of the pipe, which has to come to its end.
        self.find_child();
        self.place = None;
        let Some(status) = &self.status else {
            return Err(self.template.why_gone());
        };
        match status.look()? {
            Look::Nothing => Ok(Progress::WaitFor(WaitFor::Status)),
            Look::Lost => Err(self.template.why_lost()),
            Look::Ended(exit)
                if exit.code() == Some(reply::LOST_SOCKET.into()) && !self.inits.is_empty() =>
            {
                let message = format!("start `{}`: {}", self.what, reply::lost_socket(&self.inits));
                Err(Error::new(ErrorKind::InitFailed, message))
            }
            Look::Ended(exit) => {
                let mut message = format!("`{}` ended before it was ready: {exit}", self.what);
                if let Some(failure) = exit.failure() {
                    message += &format!(" ({failure})");
                }
                Err(Error::died(message, exit))
            }
        }
    }
}

/// Opens a pidfd in place of one that was lost, or ends the child. As long as
/// the pipe has no record, the child was not collected, and its pid is its own.
fn reopen(pid: u32, status: &StatusPipe) -> io::Result<OwnedFd> {
    let pidfd = pidfd::open(pid);
    if matches!(status.look(), Ok(Look::Nothing)) {
        if pidfd.is_err() {
            let _ = pidfd::kill_child(pid);
        }
        return pidfd;
    }
    Err(io::Error::from_raw_os_error(libc::EMFILE))
}

/// Reads from the answer socket: `None` if there is nothing yet, 0 at its end.
fn receive_some(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    fds: &mut Vec<OwnedFd>,
) -> Result<Option<usize>> {
    match socket::receive(socket, buffer, fds) {
        Ok(received) => Ok(Some(received.len)),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock => Ok(None),
            // The child went without having read all that was queued for it.
            io::ErrorKind::ConnectionReset => Ok(Some(0)),
            _ => Err(Error::io("read a worker's answer", error)),
        },
    }
}
