//! A child as it is watched, by its template or by a keeper: for its end, and
//! for its caller's, if it is to be killed then.

use crate::sys::epoll::Epoll;
use crate::sys::pidfd;
use std::io;
use std::mem;
use std::os::fd::{AsFd, OwnedFd};

/// Marks a token that stands for a child's status pipe. Without it, a child's
/// token is its pid, which is nobody else's before it is collected.
pub(crate) const ABANDONED: u64 = 1 << 63;

/// A child, and what is held of it.
pub(crate) struct Child {
    pub(crate) pid: u32,
    /// A spare: nobody waits for it yet.
    pub(crate) idle: bool,
    /// `None` for a spare, and if there was no room for it.
    pub(crate) status: Option<OwnedFd>,
    pub(crate) kill_on_drop: bool,
    /// Closed last: who looks from outside sees by it what is still held.
    pidfd: OwnedFd,
}

impl Child {
    /// So many descriptors are held of each, once somebody waits for it.
    pub(crate) const DESCRIPTORS: u64 = 2;

    /// Watches a child of this process's for its end.
    pub(crate) fn new(pid: u32, events: &Epoll) -> io::Result<Child> {
        let pidfd = pidfd::open(pid)?;
        events.add(&pidfd, pid.into())?;
        Ok(Child {
            pid,
            idle: false,
            status: None,
            kill_on_drop: false,
            pidfd,
        })
    }

    /// Somebody waits for it now, at the other end of `status`.
    pub(crate) fn report_to(&mut self, status: OwnedFd, kill_on_drop: bool, events: &Epoll) {
        self.status = Some(status);
        self.kill_on_drop = kill_on_drop;
        if self.watch_caller(events).is_err() {
            // Nobody would learn that it is to be killed.
            let _ = pidfd::send_signal(self.pidfd.as_fd(), libc::SIGKILL);
        }
    }

    /// Has another set watch the child, of which it knew nothing before.
    pub(crate) fn watch(&self, events: &Epoll) -> io::Result<()> {
        events.add(&self.pidfd, self.pid.into())?;
        self.watch_caller(events)
    }

    fn watch_caller(&self, events: &Epoll) -> io::Result<()> {
        match &self.status {
            Some(status) if self.kill_on_drop => {
                events.add_hung_up(status, u64::from(self.pid) | ABANDONED)
            }
            _ => Ok(()),
        }
    }

    /// Takes the child out of the set. Others may hold what stands for it there,
    /// which would stay in the set with them: a keeper the pidfd, what the child
    /// has forked the pipe.
    pub(crate) fn forget(&self, events: &Epoll) {
        let _ = events.remove(&self.pidfd);
        if let (Some(status), true) = (&self.status, self.kill_on_drop) {
            let _ = events.remove(status);
        }
    }

    /// Kills the child, because nobody waits for it any more. It is collected as
    /// any other.
    pub(crate) fn kill(&mut self, events: &Epoll) {
        if let (Some(status), true) = (&self.status, mem::take(&mut self.kill_on_drop)) {
            let _ = events.remove(status);
        }
        let _ = pidfd::send_signal(self.pidfd.as_fd(), libc::SIGKILL);
    }

    /// What belongs to the child.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = &OwnedFd> {
        self.status.iter().chain([&self.pidfd])
    }
}
