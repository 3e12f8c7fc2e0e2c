//! [`Unwatched`]: a child for whose pidfd the template has no room.
//! RUNS IN: template

use std::os::fd::{AsFd, OwnedFd};

use crate::sys::{pidfd, poll};
use crate::template::children::watched::Watched;

/// A child that the template looks at from time to time, until it has room to watch it.
pub(crate) struct Unwatched {
    pub(crate) pid: u32,
    /// The write end of the status pipe; `None` for a lost child.
    pub(crate) status: Option<OwnedFd>,
    pub(crate) kill_on_drop: bool,
}

impl Unwatched {
    /// A lost child, or a spare that was killed.
    pub(crate) fn lost(pid: u32) -> Unwatched {
        Unwatched {
            pid,
            status: None,
            kill_on_drop: false,
        }
    }

    /// A child that cannot be watched after all, and is in no epoll set.
    pub(crate) fn no_more(child: Watched) -> Unwatched {
        Unwatched {
            pid: child.pid,
            status: child.status,
            kill_on_drop: child.kill_on_drop,
        }
    }

    /// Whether nobody reads the child's status any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        let is_alone = |status: &OwnedFd| poll::is_hung_up(status.as_fd());
        self.status.as_ref().is_some_and(is_alone)
    }

    /// Kills the child, and the process group that it leads.
    pub(crate) fn kill(&mut self) {
        self.kill_on_drop = false;
        let _ = pidfd::kill_group_of_child(self.pid);
        let _ = pidfd::kill_child(self.pid);
    }
}
