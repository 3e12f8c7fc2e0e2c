//! The read end of a status pipe: how a child ended, once it has.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::error::{Error, ErrorKind, Result};
use crate::exit::Exit;
use crate::protocol::status;
use crate::sys::descriptor;

/// The pipe, and what was read from it.
#[derive(Debug)]
pub(super) struct StatusPipe {
    pipe: OwnedFd,
    record: [u8; status::LEN],
    filled: usize,
}

/// What a look into the pipe found.
#[derive(Debug)]
pub(super) enum Look {
    /// The child runs, or has not been collected yet.
    Nothing,
    /// The child has ended.
    Ended(Exit),
    /// There will be no record: who would have written it is gone.
    Lost,
}

impl StatusPipe {
    pub(super) fn new(pipe: OwnedFd) -> StatusPipe {
        StatusPipe {
            pipe,
            record: [0; status::LEN],
            filled: 0,
        }
    }

    /// Looks without waiting.
    pub(super) fn look(&mut self) -> Result<Look> {
        while self.filled < status::LEN {
            match descriptor::read(self.pipe.as_fd(), &mut self.record[self.filled..]) {
                Ok(0) => return Ok(Look::Lost),
                Ok(n) => self.filled += n,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(Look::Nothing),
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(Error::io("read a worker's status", error)),
                },
            }
        }
        Ok(Look::Ended(status::parse(&self.record)?))
    }
}

impl AsFd for StatusPipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// The error for a status that nobody will tell.
pub(super) fn lost() -> Error {
    let message = "the worker's status is lost: its template was killed before it could report it, \
                   and this kernel does not keep it (Linux 6.15 and later do)";
    Error::new(ErrorKind::TemplateGone, message)
}
