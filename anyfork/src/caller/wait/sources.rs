//! The descriptors that report the event for which a spawn waits.
//! RUNS IN: caller

use std::os::fd::{AsFd, BorrowedFd};

use crate::caller::spawn::Spawn;
use crate::caller::spawn::wait_for::WaitFor;
use crate::sys::poll::Interest;

/// Gives `look` the descriptors that report the event. For [`WaitFor::Later`], none does.
pub(crate) fn with_sources<S: AsFd, T>(
    spawn: &Spawn<S>,
    wait: WaitFor,
    look: impl FnOnce(&[(BorrowedFd<'_>, Interest)]) -> T,
) -> T {
    if wait == WaitFor::Later {
        return look(&[]);
    }
    let exit_fd = spawn.exit_fd();
    let exit_fd = exit_fd.as_ref().map(|it| (it.as_fd(), Interest::Readable));
    let status = match wait {
        WaitFor::Reply(Interest::Readable) | WaitFor::Executed => spawn.status(),
        _ => None,
    };
    let mut fds = vec![spawn.source(wait)];
    fds.extend(status.map(|it| (it, Interest::Readable)));
    fds.extend(exit_fd);
    look(&fds)
}
