//! [`Limits`]: a template's limit of descriptors, and its children's.
//! RUNS IN: template, child

use std::io;
use std::os::fd::BorrowedFd;

use crate::error::Error;
use crate::sys::{fd, rlimit};

/// The limit of descriptors that the template has raised for itself, and the original
/// one, which its children get back.
#[derive(Clone)]
pub(crate) struct Limits {
    /// Soft and hard limit of the program.
    original: (u64, u64),
    raised: bool,
    /// Number of descriptors that the template has without any child.
    own: u64,
}

impl Limits {
    /// Raises the template's limit as far as the kernel lets it: the template may hold
    /// two descriptors for each child, and a request may bring 253.
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

    /// Counts further descriptors that the template has without any child.
    pub(crate) fn count(&mut self, more: u64) {
        self.own += more;
    }

    /// The program's limit, if the template has another one.
    pub(crate) fn original_if_raised(&self) -> Option<(u64, u64)> {
        self.raised.then_some(self.original)
    }

    /// Gives a child the program's limit.
    #[inline]
    pub(crate) fn restore(&self) -> io::Result<()> {
        match self.raised {
            true => rlimit::set_fd_limit(self.original),
            false => Ok(()),
        }
    }

    /// Whether the next request could arrive without its reply socket, so that nobody
    /// could be answered, if `held` descriptors are held for children. Checked while
    /// there is still room for an answer.
    pub(crate) fn are_near(&self, held: u64) -> bool {
        /// Number of descriptors that must be free: two for the child of this request,
        /// six for the next request, and one more.
        const RESERVE: u64 = 9;
        let limit = rlimit::fd_limit().map_or(u64::MAX, |(soft, _)| soft);
        self.own + held + RESERVE > limit
    }

    /// The error of a request whose descriptors have no room.
    pub(crate) fn full(&self) -> Error {
        let error = io::Error::from_raw_os_error(libc::EMFILE);
        Error::io(
            "the template has no room for the descriptors of a request: an `rlimit` of `NOFILE` \
             that is set before `fork` is the template's, too",
            error,
        )
    }
}
