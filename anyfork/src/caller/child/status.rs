//! The read end of a status pipe: why a child failed, and how it ended, once
//! it has.

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::protocol::status;
use crate::protocol::status::Frame;
use crate::sys::fd;

/// The pipe, and what was read from it. Several handles may look at the same
/// time.
#[derive(Debug)]
pub(crate) struct StatusPipe {
    pipe: OwnedFd,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// The beginning of a frame.
    bytes: Vec<u8>,
    failure: Option<Failure>,
    end: Option<Exit>,
}

/// What a look into the pipe found.
#[derive(Debug)]
pub(crate) enum Look {
    /// The child runs, or has not been collected yet.
    Nothing,
    /// The child has ended.
    Ended(Exit),
    /// There will be no record: who would have written it is gone.
    Lost,
}

impl StatusPipe {
    pub(crate) fn new(pipe: OwnedFd) -> StatusPipe {
        let seen = Mutex::default();
        StatusPipe { pipe, seen }
    }

    /// Looks without waiting.
    pub(crate) fn look(&self) -> Result<Look> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffer = [0; 4096];
        while seen.end.is_none() {
            match fd::read(self.pipe.as_fd(), &mut buffer) {
                Ok(0) => return Ok(Look::Lost),
                Ok(n) => seen.take(&buffer[..n])?,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(Look::Nothing),
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(Error::io("read a worker's status", error)),
                },
            }
        }
        let ended = seen.end.clone().map(Look::Ended);
        Ok(ended.unwrap_or(Look::Nothing))
    }

    /// What the child has said of its failure, if it has.
    pub(crate) fn failure(&self) -> Option<Failure> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.failure.clone()
    }
}

impl Seen {
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(bytes);
        let all = mem::take(&mut self.bytes);
        let mut rest = &all[..];
        while self.end.is_none()
            && let Some((frame, behind)) = status::take(rest)?
        {
            match frame {
                Frame::Failure(failure) => self.failure = Some(failure),
                Frame::Exit(exit) => {
                    let failure = self.failure.clone();
                    self.end = Some(Exit { failure, ..exit });
                }
            }
            rest = behind;
        }
        self.bytes = rest.to_vec();
        Ok(())
    }
}

impl AsFd for StatusPipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// The error for a status that nobody will tell.
pub(crate) fn lost(failure: Option<Failure>) -> Error {
    let message = "the worker has ended and its status is lost: its template was killed before it \
                   could report it, and this kernel does not keep it (Linux 6.15 and later do)";
    Error::died(message, Exit::unknown(failure))
}
