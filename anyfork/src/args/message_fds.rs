//! [`MessageFds`]: the descriptors of a message.
//! RUNS IN: caller, child

use std::mem;
use std::ops::{Deref, DerefMut};
use std::os::fd::OwnedFd;

use crate::sys::fd::close_elsewhere;

/// Descriptors that go with a message, or came with one.
///
/// Those that a process has chosen that nobody trusts are *foreign*: to close one may take as
/// long as that process likes (a socket that lingers), so those that nobody takes out are
/// closed [elsewhere](close_elsewhere).
#[derive(Debug, Default)]
pub(crate) struct MessageFds {
    fds: Vec<OwnedFd>,
    are_foreign: bool,
}

impl MessageFds {
    /// Those of a process that nobody trusts.
    pub(crate) fn foreign(fds: Vec<OwnedFd>) -> MessageFds {
        MessageFds {
            fds,
            are_foreign: true,
        }
    }

    /// Whether a process has chosen them that nobody trusts.
    pub(crate) fn are_foreign(&self) -> bool {
        self.are_foreign
    }

    /// Takes out those from an index on.
    pub(crate) fn split_off(&mut self, at: usize) -> MessageFds {
        MessageFds {
            fds: self.fds.split_off(at),
            are_foreign: self.are_foreign,
        }
    }

    /// Takes all out.
    pub(crate) fn into_vec(mut self) -> Vec<OwnedFd> {
        mem::take(&mut self.fds)
    }
}

impl From<Vec<OwnedFd>> for MessageFds {
    fn from(fds: Vec<OwnedFd>) -> MessageFds {
        MessageFds {
            fds,
            are_foreign: false,
        }
    }
}

impl Deref for MessageFds {
    type Target = Vec<OwnedFd>;

    fn deref(&self) -> &Vec<OwnedFd> {
        &self.fds
    }
}

impl DerefMut for MessageFds {
    fn deref_mut(&mut self) -> &mut Vec<OwnedFd> {
        &mut self.fds
    }
}

impl Drop for MessageFds {
    fn drop(&mut self) {
        if self.are_foreign {
            close_elsewhere(mem::take(&mut self.fds));
        }
    }
}
