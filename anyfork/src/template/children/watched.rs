//! [`Watched`]: a child whose exit this process waits for, and what it holds of it.
//! RUNS IN: template, monitor
//!
//! A child has a pidfd, and a status pipe once a caller waits for it. With
//! `kill_on_drop` the pipe is watched, too: the kernel reports when nobody holds its
//! read end any more. This file changes the epoll set and signals the child; who
//! reaps the child is its owner's business ([`children`](crate::template::children)).

use std::io;
use std::mem;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use crate::sys::epoll::Epoll;
use crate::sys::pidfd;
use crate::sys::poll::{self, Interest};
use crate::template::token::Token;

/// A child that this process watches.
pub(crate) struct Watched {
    pub(crate) pid: u32,
    /// Whether the child is a spare, for which no caller waits yet.
    pub(crate) is_spare: bool,
    /// The write end of the status pipe; `None` for a spare and for a lost child.
    pub(crate) status: Option<OwnedFd>,
    pub(crate) kill_on_drop: bool,
    /// Whether the epoll set has the status pipe.
    watches_caller: bool,
    /// Last, so that it is closed last: an open pidfd shows in `/proc` what else the
    /// template may still hold of the child.
    pidfd: OwnedFd,
}

impl Watched {
    /// Number of descriptors that the template holds of a child with a status pipe.
    pub(crate) const DESCRIPTORS: u64 = 2;

    /// Watches the exit of this process's child `pid`.
    pub(crate) fn new(pid: u32, events: &Epoll) -> io::Result<Watched> {
        let pidfd = pidfd::open(pid)?;
        // A child that is traced cannot be reaped when it has exited, until the tracer
        // lets it go: then the kernel reports it again.
        events.add_edge(&pidfd, Token::Exited(pid).encode())?;
        Ok(Watched {
            pid,
            is_spare: false,
            status: None,
            kill_on_drop: false,
            watches_caller: false,
            pidfd,
        })
    }

    /// A caller waits for the child now, at the read end of `status`. An error if there is
    /// no room to watch the caller, who wants the child killed.
    pub(crate) fn report_to(
        &mut self,
        status: OwnedFd,
        kill_on_drop: bool,
        events: &Epoll,
    ) -> io::Result<()> {
        self.status = Some(status);
        self.kill_on_drop = kill_on_drop;
        match kill_on_drop {
            true => self.watch_caller(events),
            false => Ok(()),
        }
    }

    /// Waits until the child has exited, but not after the deadline.
    pub(crate) fn has_exited_by(&self, deadline: Instant) -> bool {
        let exited = poll::wait(self.pidfd.as_fd(), Interest::Readable, Some(deadline));
        exited.unwrap_or(false)
    }

    /// Adds the child to another epoll set.
    pub(crate) fn watch(&mut self, events: &Epoll) -> io::Result<()> {
        events.add_edge(&self.pidfd, Token::Exited(self.pid).encode())?;
        match self.kill_on_drop {
            true => self.watch_caller(events),
            false => Ok(()),
        }
    }

    /// Watches whether anybody holds the read end of the status pipe still.
    pub(crate) fn watch_caller(&mut self, events: &Epoll) -> io::Result<()> {
        if let Some(status) = &self.status
            && !self.watches_caller
        {
            events.add_hung_up(status, Token::Abandoned(self.pid).encode())?;
            self.watches_caller = true;
        }
        Ok(())
    }

    /// Removes the child from the epoll set. To close the descriptors is not enough:
    /// epoll watches the open file, of which a monitor has a duplicate (the pidfd), or
    /// a process that the child has forked (the pipe).
    pub(crate) fn unwatch(&self, events: &Epoll) {
        let _ = events.remove(&self.pidfd);
        if let (Some(status), true) = (&self.status, self.watches_caller) {
            let _ = events.remove(status);
        }
    }

    /// Kills the child, and the process group that it leads, because no caller holds it
    /// any more. The child is reaped when its exit is reported.
    pub(crate) fn kill(&mut self, events: &Epoll) {
        self.kill_on_drop = false;
        if let (Some(status), true) = (&self.status, mem::take(&mut self.watches_caller)) {
            let _ = events.remove(status);
        }
        let _ = pidfd::send_signal_to_group(self.pidfd.as_fd(), self.pid, libc::SIGKILL);
        let _ = pidfd::send_signal(self.pidfd.as_fd(), libc::SIGKILL);
    }

    /// The descriptors that are held of the child.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = &OwnedFd> {
        self.status.iter().chain([&self.pidfd])
    }
}
