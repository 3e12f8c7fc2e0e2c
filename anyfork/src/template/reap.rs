//! The children of a template: collects each that ends and writes the record
//! of its end into its status pipe.
//!
//! A pidfd per child, not SIGCHLD: signals coalesce, and searching all children
//! for the one that ended would cost more the more there are.

use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::os::fd::{AsFd, OwnedFd};

use crate::protocol::status;
use crate::sys::end::{self, End};
use crate::sys::{descriptor, fork, poll};

/// Marks a token that stands for a child's status pipe.
const ABANDONED: u64 = 1 << 63;

/// The children that run, by their pids, which are their tokens, too: a pid is
/// nobody else's before it is collected.
pub(super) struct Children {
    running: BTreeMap<u32, Child>,
    /// How many of them are spares.
    idle: usize,
}

struct Child {
    /// A spare: nobody waits for it yet.
    idle: bool,
    /// `None` for a spare, and if there was no room for it.
    status: Option<OwnedFd>,
    kill_on_drop: bool,
    /// Closed last: who looks from outside sees by it what is still held.
    pidfd: OwnedFd,
}

impl Children {
    pub(super) fn new() -> Children {
        Children {
            running: BTreeMap::new(),
            idle: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.running.len()
    }

    /// How many are spares.
    pub(super) fn idle(&self) -> usize {
        self.idle
    }

    /// Whether this is the token of a spare.
    pub(super) fn is_idle(&self, token: u64) -> bool {
        let child = u32::try_from(token)
            .ok()
            .and_then(|pid| self.running.get(&pid));
        child.is_some_and(|child| child.idle)
    }

    /// Watches a child that was just forked, to report its end to `status`; if it
    /// is to be killed when nobody waits for that any more, then that, too.
    pub(super) fn add(
        &mut self,
        pid: u32,
        status: OwnedFd,
        kill_on_drop: bool,
        events: &poll::Set,
    ) {
        match self.watch(pid, events) {
            Ok(()) => self.take(pid, status, kill_on_drop, events),
            // Nobody would learn of its end: rather no child than a zombie. The
            // caller finds the record of its death by SIGKILL.
            Err(_) => {
                let _ = fork::kill_child(pid);
                collect(pid, end::wait(pid), Some(&status));
            }
        }
    }

    /// Watches a spare that was just forked; `false` if it could not, and has
    /// ended it.
    pub(super) fn add_spare(&mut self, pid: u32, events: &poll::Set) -> bool {
        let watched = self.watch(pid, events);
        if watched.is_err() {
            let _ = fork::kill_child(pid);
            collect(pid, end::wait(pid), None);
        }
        watched.is_ok()
    }

    fn watch(&mut self, pid: u32, events: &poll::Set) -> io::Result<()> {
        let pidfd = fork::pidfd(pid)?;
        events.add(&pidfd, pid.into())?;
        let child = Child {
            idle: true,
            status: None,
            kill_on_drop: false,
            pidfd,
        };
        self.running.insert(pid, child);
        self.idle += 1;
        Ok(())
    }

    /// A spare has become a child that somebody waits for.
    pub(super) fn take(
        &mut self,
        pid: u32,
        status: OwnedFd,
        kill_on_drop: bool,
        events: &poll::Set,
    ) {
        let Some(child) = self.running.get_mut(&pid) else {
            return;
        };
        if mem::take(&mut child.idle) {
            self.idle -= 1;
        }
        let token = u64::from(pid) | ABANDONED;
        if kill_on_drop && events.add_hung_up(&status, token).is_err() {
            // Nobody would learn that it is to be killed.
            let _ = fork::signal(child.pidfd.as_fd(), libc::SIGKILL);
        }
        child.status = Some(status);
        child.kill_on_drop = kill_on_drop;
    }

    /// A spare has become a child of whose end nobody can be told. Whoever waits
    /// for it sees that the pipe is nobody's any more, and asks the kernel.
    pub(super) fn lose(&mut self, pid: u32) {
        if let Some(child) = self.running.get_mut(&pid)
            && mem::take(&mut child.idle)
        {
            self.idle -= 1;
        }
    }

    /// Does what has to be done about the child behind `token`.
    pub(super) fn attend(&mut self, token: u64, events: &poll::Set) {
        let Ok(pid) = u32::try_from(token & !ABANDONED) else {
            return;
        };
        match token & ABANDONED {
            0 => self.collect(pid, events),
            _ => self.kill(pid, events),
        }
    }

    /// Kills a child that nobody waits for any more. It is collected as any other.
    fn kill(&mut self, pid: u32, events: &poll::Set) {
        if let Some(child) = self.running.get(&pid) {
            if let Some(status) = &child.status {
                let _ = events.remove(status);
            }
            let _ = fork::signal(child.pidfd.as_fd(), libc::SIGKILL);
        }
    }

    /// Collects a child, if it has ended.
    fn collect(&mut self, pid: u32, events: &poll::Set) {
        let Some(child) = self.running.get(&pid) else {
            return;
        };
        let look = end::look(pid);
        if let Ok(None) = look {
            return;
        }
        let _ = events.remove(&child.pidfd);
        if let (Some(status), true) = (&child.status, child.kill_on_drop) {
            // What the child has forked may hold the same pipe, which would stay
            // in the set with it.
            let _ = events.remove(status);
        }
        if child.idle {
            self.idle -= 1;
        }
        collect(pid, look, child.status.as_ref());
        self.running.remove(&pid);
    }
}

/// Tells how a child ended, and collects it.
///
/// In this order: to a caller, a child that was collected without a record is one
/// whose template is gone. There is no record either if somebody else's code in
/// this process collected it.
fn collect(pid: u32, end: io::Result<Option<End>>, pipe: Option<&OwnedFd>) {
    if let Ok(Some(end)) = end {
        if let Some(pipe) = pipe {
            write_record(pipe, &end);
        }
        let _ = end::collect(pid);
    }
}

/// Writes the record, for a caller that may be gone. The pipe has room: only a
/// worker that fills its own status pipe on purpose loses its record.
fn write_record(pipe: &OwnedFd, end: &End) {
    let record = status::encode(
        end.status,
        end.user_micros,
        end.system_micros,
        end.peak_memory,
    );
    let _ = descriptor::write(pipe.as_fd(), &record);
}
