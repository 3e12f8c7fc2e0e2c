//! What the watcher waits for.
//! RUNS IN: caller

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use crate::caller::child::exit_watch::ExitWatch;
use crate::caller::spawn::wait_for::WaitFor;
use crate::pool::launched::Launched;
use crate::pool::state::event::WorkerId;
use crate::sys::poll::Interest;

/// A descriptor to wait for, which stays open without the lock.
pub(super) struct Source {
    pub(super) pool: usize,
    pub(super) worker: WorkerId,
    pub(super) fd: Fd,
    pub(super) interest: Interest,
    pub(super) what: What,
}

pub(super) enum Fd {
    Socket(Arc<UnixStream>),
    Exit(ExitWatch),
    Status(ExitWatch),
    Owned(Arc<OwnedFd>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Start,
    Exit,
    Answer,
    Unread,
    /// There may be room for the rest of a request.
    Send,
}

impl Source {
    pub(super) fn wanted(&self) -> (BorrowedFd<'_>, Interest) {
        let fd = match &self.fd {
            Fd::Socket(socket) => socket.as_fd(),
            Fd::Exit(watch) => watch.pidfd(),
            Fd::Status(watch) => watch.status(),
            Fd::Owned(fd) => fd.as_fd(),
        };
        (fd, self.interest)
    }
}

/// Duplicates of the descriptors that report a start's next event: it may be over before the
/// wait begins.
pub(super) fn sources(launch: &Launched) -> Vec<(Option<Arc<OwnedFd>>, Interest)> {
    let copy = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().ok().map(Arc::new);
    let spawn = &launch.spawn;
    let mut all = Vec::new();
    if launch.wait != WaitFor::Later {
        let (fd, interest) = spawn.source(launch.wait);
        all.push((copy(fd), interest));
    }
    let reads = matches!(
        launch.wait,
        WaitFor::Reply(Interest::Readable) | WaitFor::Executed
    );
    if let Some(status) = spawn.status().filter(|_| reads) {
        all.push((copy(status), Interest::Readable));
    }
    if let Some(exit) = spawn.exit_fd() {
        all.push((Some(exit), Interest::Readable));
    }
    all
}
