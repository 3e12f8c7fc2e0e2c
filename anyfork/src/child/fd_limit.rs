//! How many descriptors a template may have.

use std::io;
use std::os::fd::BorrowedFd;

use crate::error::Error;
use crate::sys::{fd, rlimit};

/// How many descriptors the template may have, and what its children get back.
#[derive(Clone)]
pub(crate) struct Limits {
    original: (u64, u64),
    raised: bool,
    /// Descriptors that are there without any child.
    own: u64,
}

impl Limits {
    /// Raises the template's own limit as far as it goes: it may keep two
    /// descriptors a child, and a request may bring 253.
    pub(crate) fn raise(control: BorrowedFd<'_>) -> io::Result<Limits> {
        let original = rlimit::fd_limit()?;
        let (_, hard) = original;
        // A kernel or sandbox that refuses leaves the limit as it was.
        let raised = original != (hard, hard) && rlimit::set_fd_limit((hard, hard)).is_ok();
        Ok(Limits {
            original,
            raised,
            own: fd::count_open(control)?,
        })
    }

    /// The template has so many more, which are there without any child.
    pub(crate) fn count(&mut self, more: u64) {
        self.own += more;
    }

    /// Gives the child what the program had.
    #[inline]
    pub(crate) fn restore(&self) -> io::Result<()> {
        match self.raised {
            true => rlimit::set_fd_limit(self.original),
            false => Ok(()),
        }
    }

    /// Whether the next request could come without its socket, so that nobody
    /// could be told, if so many descriptors are held for children. Checked while
    /// there is still room to tell.
    pub(crate) fn are_near(&self, held: u64) -> bool {
        /// Two for the child at hand, two for the next request, one to spare.
        const RESERVE: u64 = 5;
        let limit = rlimit::fd_limit().map_or(u64::MAX, |(soft, _)| soft);
        self.own + held + RESERVE > limit
    }

    pub(crate) fn full(&self) -> Error {
        let error = io::Error::from_raw_os_error(libc::EMFILE);
        Error::io(
            "the template has no room for the descriptors of a request",
            error,
        )
    }
}
