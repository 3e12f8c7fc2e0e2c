//! [`Running`]: a child that was ready once; what the async and the blocking
//! handles have in common.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::status::{self, Look, StatusPipe};
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::sys::fork;

/// A child, until its end is known and after.
#[derive(Debug)]
pub struct Running {
    pid: u32,
    pidfd: OwnedFd,
    status: StatusPipe,
    end: Option<Exit>,
}

impl Running {
    pub(super) fn new(pid: u32, pidfd: OwnedFd, status: StatusPipe) -> Running {
        Running {
            pid,
            pidfd,
            status,
            end: None,
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// How the child ended, if it has.
    pub(super) fn look(&mut self) -> Result<Option<Exit>> {
        if self.end.is_none() {
            match self.status.look()? {
                Look::Nothing => {}
                Look::Ended(exit) => self.end = Some(exit),
                Look::Lost => return Err(status::lost()),
            }
        }
        Ok(self.end.clone())
    }

    /// Becomes readable when another [`look`](Running::look) is worth it.
    pub(super) fn news(&self) -> BorrowedFd<'_> {
        self.status.as_fd()
    }

    /// Ends the child with SIGKILL; one that has ended is no error.
    pub(super) fn kill(&self) -> Result<()> {
        match fork::signal(self.pidfd.as_fd(), libc::SIGKILL) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            result => result.map_err(|error| Error::io("kill a worker", error)),
        }
    }
}
