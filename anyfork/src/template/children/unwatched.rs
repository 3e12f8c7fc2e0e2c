//! [`Unwatched`]: a child for whose pidfd the template has no room.
//! RUNS IN: template

use std::os::fd::{AsFd, OwnedFd};

use crate::sys::poll;

/// A child that the template looks at from time to time, until it has room to watch it.
pub(crate) struct Unwatched {
    pub(crate) pid: u32,
    /// The write end of the status pipe; `None` for a lost child.
    pub(crate) status: Option<OwnedFd>,
    pub(crate) kill_on_drop: bool,
}

impl Unwatched {
    /// Whether nobody holds the child any more, who would want it killed then.
    pub(crate) fn is_abandoned(&self) -> bool {
        let is_alone = |status: &OwnedFd| poll::is_hung_up(status.as_fd());
        self.kill_on_drop && self.status.as_ref().is_some_and(is_alone)
    }
}
