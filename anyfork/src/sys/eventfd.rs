//! A flag that another process can wait for (eventfd(2)).
//! RUNS IN: caller, template, spare, child

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::sys::eventfd::{self, EfdFlags};

/// A descriptor that is readable from a [`signal`](EventFd::signal) to the next
/// [`clear`](EventFd::clear). It never blocks.
pub(crate) struct EventFd(OwnedFd);

impl EventFd {
    /// Makes one that is not readable (eventfd(2)).
    pub(crate) fn new() -> io::Result<EventFd> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let made = eventfd::EventFd::from_flags(flags)?;
        Ok(EventFd(made.into()))
    }

    /// Makes the descriptor readable, if it is not already (write(2)).
    pub(crate) fn signal(&self) {
        let _ = nix::unistd::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Makes the descriptor unreadable (read(2)).
    pub(crate) fn clear(&self) {
        let _ = nix::unistd::read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for EventFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
