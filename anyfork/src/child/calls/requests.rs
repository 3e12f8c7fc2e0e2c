//! [`Requests`]: what a worker was asked to do and has not begun.
//! RUNS IN: child

use std::collections::VecDeque;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use crate::child::calls::answer::is_gone;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::call::incoming::Incoming;
use crate::protocol::call::{Frame, Kind, MAX_LEN, Terms};
use crate::sys::socket::{self, Wait};

/// The requests that arrive on a worker's socket.
pub(super) struct Requests {
    socket: UnixStream,
    incoming: Incoming,
    /// Those that have arrived behind the one that is served.
    waiting: VecDeque<Frame>,
    /// The numbers of calls that were cancelled while they were among those that wait.
    withdrawn: Vec<u64>,
    /// The numbers of calls that were cancelled and did not wait: they run, or were answered.
    cancelled: Vec<u64>,
}

/// What has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Received {
    Bytes,
    /// Bytes, and no more are there.
    Rest,
    Nothing,
    /// The caller has closed the socket.
    End,
}

impl Requests {
    pub(super) fn new(socket: UnixStream) -> Requests {
        Requests {
            socket,
            incoming: Incoming::new(MAX_LEN),
            waiting: VecDeque::new(),
            withdrawn: Vec::new(),
            cancelled: Vec::new(),
        }
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The next request. `None`: the caller has closed the socket.
    pub(super) fn next(&mut self) -> Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.waiting.pop_front() {
                return Ok(Some(frame));
            }
            while let Some(frame) = self.incoming.frame()? {
                match frame.head.kind {
                    // Whatever runs has ended.
                    Kind::Cancel => {}
                    _ => return Ok(Some(frame)),
                }
            }
            if self.receive(Wait::Yes)? == Received::End {
                return Ok(None);
            }
        }
    }

    /// The next one of those that have arrived.
    #[cfg(feature = "tokio")]
    pub(super) fn first(&self) -> Option<&Frame> {
        self.waiting.front()
    }

    /// Puts a request back that was not begun.
    #[cfg(feature = "tokio")]
    pub(super) fn put_back(&mut self, frame: Frame) {
        self.waiting.push_front(frame);
    }

    /// Takes in all that has arrived, without waiting. `false`: the caller has closed the
    /// socket.
    pub(super) fn look(&mut self) -> Result<bool> {
        loop {
            while let Some(frame) = self.incoming.frame()? {
                self.take_in(frame);
            }
            match self.receive(Wait::No)? {
                Received::Bytes => {}
                Received::Rest => {
                    while let Some(frame) = self.incoming.frame()? {
                        self.take_in(frame);
                    }
                    return Ok(true);
                }
                Received::Nothing => return Ok(true),
                Received::End => return Ok(false),
            }
        }
    }

    fn take_in(&mut self, frame: Frame) {
        if frame.head.kind != Kind::Cancel {
            return self.waiting.push_back(frame);
        }
        let number = frame.head.number;
        let place = self.waiting.iter().position(|it| it.head.number == number);
        match place {
            Some(place) => {
                self.waiting.remove(place);
                self.withdrawn.push(number);
            }
            None => self.cancelled.push(number),
        }
    }

    /// The numbers of calls that were cancelled before they began.
    pub(super) fn take_withdrawn(&mut self) -> Vec<u64> {
        mem::take(&mut self.withdrawn)
    }

    /// The numbers of other calls that were cancelled.
    pub(super) fn take_cancelled(&mut self) -> Vec<u64> {
        mem::take(&mut self.cancelled)
    }

    fn receive(&mut self, wait: Wait) -> Result<Received> {
        let room = self.incoming.room();
        let (limit, fds) = (room.limit, room.fds.len());
        let received =
            socket::receive_append(self.socket.as_fd(), wait, room.bytes, limit, room.fds);
        match received {
            Ok(received) if received.len == 0 => Ok(Received::End),
            Ok(received) => {
                // A message ends behind descriptors, whatever follows (unix(7)).
                let has_fds = received.fds_cut || room.fds.len() > fds;
                if received.fds_cut {
                    self.incoming.lose_fds();
                }
                Ok(match received.len < limit && !has_fds {
                    true => Received::Rest,
                    false => Received::Bytes,
                })
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(Received::Nothing),
            Err(error) if is_gone(&error) => Ok(Received::End),
            Err(error) => Err(Error::io("receive a call", error)),
        }
    }
}

/// The terms of a request, and whether it is of several calls.
pub(super) fn terms(frame: &Frame) -> Result<(Terms, bool)> {
    match frame.head.kind {
        Kind::Call(terms) => Ok((terms, false)),
        Kind::Items(terms) => Ok((terms, true)),
        _ => Err(nonsense("a worker was sent an answer")),
    }
}

pub(super) fn nonsense(what: &str) -> Error {
    Error::new(ErrorKind::Protocol, what)
}
