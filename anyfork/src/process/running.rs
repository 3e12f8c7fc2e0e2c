//! [`Running`]: a child that was ready once; what the async and the blocking
//! handles have in common.
//!
//! The template writes the record of the child's end into the status pipe, and
//! then collects it. So a child that was collected without a record, or whose
//! pipe is at its end, is one whose template is gone: then the kernel is asked.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::status::{self, Look, StatusPipe};
use crate::error::{Error, Result};
use crate::exit::{Exit, Usage};
use crate::sys::end::{self, Stage};
use crate::sys::fork;
use crate::sys::poll::{self, Interest};

/// A child, until its end is known and after.
#[derive(Debug)]
pub(super) struct Running {
    pid: u32,
    pidfd: OwnedFd,
    status: StatusPipe,
    end: Option<Exit>,
    awaits: Awaits,
}

/// What makes another [`look`](Running::look) worth it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaits {
    /// Something in the pipe, or that the child is collected: others may hold
    /// the pipe open, such as the child's own children.
    Record,
    /// The end of a child whose template is gone.
    End,
}

impl Running {
    pub(super) fn new(pid: u32, pidfd: OwnedFd, status: StatusPipe) -> Running {
        Running {
            pid,
            pidfd,
            status,
            end: None,
            awaits: Awaits::Record,
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// How the child ended, if it has.
    pub(super) fn look(&mut self) -> Result<Option<Exit>> {
        if self.end.is_none() {
            self.end = self.find_end()?;
        }
        Ok(self.end.clone())
    }

    fn find_end(&mut self) -> Result<Option<Exit>> {
        // Before the pipe: what is not in there afterwards never will be.
        let stage = end::stage(self.pidfd.as_fd())
            .map_err(|error| Error::io("look how far a worker is", error))?;
        self.awaits = match (self.status.look()?, stage) {
            (Look::Ended(exit), _) => return Ok(Some(exit)),
            (Look::Nothing, Stage::Running | Stage::Ended) => Awaits::Record,
            (Look::Lost, Stage::Running) => Awaits::End,
            (Look::Nothing | Look::Lost, Stage::Collected) | (Look::Lost, Stage::Ended) => {
                return self.ask_the_kernel().map(Some);
            }
        };
        Ok(None)
    }

    /// How the child ended, whose template did not live to tell.
    fn ask_the_kernel(&self) -> Result<Exit> {
        let pidfd = self.pidfd.as_fd();
        if let Some(end) = end::collect_adopted(pidfd) {
            return Ok(Exit {
                status: end.status,
                usage: Usage::new(end.user_micros, end.system_micros, end.peak_memory),
            });
        }
        let status = end::status_kept(pidfd)
            .or_else(|| end::status_of_zombie(self.pid, pidfd))
            // There is no `/proc`, or it is another user's process: whoever has
            // to collect it does so now, if ever.
            .or_else(|| poll::is_hanging_up(pidfd).then(|| end::status_kept(pidfd))?);
        Ok(Exit {
            status: status.ok_or_else(status::lost)?,
            usage: Usage::default(),
        })
    }

    /// Waits until another [`look`](Running::look) is worth it.
    pub(super) fn wait(&self) -> io::Result<()> {
        let (pipe, pidfd) = (self.status.as_fd(), self.pidfd.as_fd());
        match self.awaits {
            Awaits::Record => poll::wait_either(pipe, pidfd),
            Awaits::End => poll::wait(pidfd, Interest::Readable, None).map(drop),
        }
    }

    /// A descriptor that is readable when another [`look`](Running::look) is
    /// worth it.
    #[cfg(feature = "tokio")]
    pub(super) fn news(&self) -> io::Result<OwnedFd> {
        let set = poll::Set::new()?;
        match self.awaits {
            Awaits::Record => {
                set.add(&self.status, 0)?;
                set.add_hung_up(&self.pidfd, 0)?;
            }
            Awaits::End => set.add(&self.pidfd, 0)?,
        }
        Ok(set.into())
    }

    /// Ends the child with SIGKILL; one that has ended is no error.
    pub(super) fn kill(&self) -> Result<()> {
        match fork::signal(self.pidfd.as_fd(), libc::SIGKILL) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            result => result.map_err(|error| Error::io("kill a worker", error)),
        }
    }
}
