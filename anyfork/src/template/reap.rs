//! The children of a template: collects each that ends and writes the record
//! of its end into its status pipe.
//!
//! A pidfd per child, not SIGCHLD: signals coalesce, and searching all children
//! for the one that ended would cost more the more there are.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::protocol::status;
use crate::sys::end::{self, End};
use crate::sys::{descriptor, fork, poll};

/// Marks a token that stands for a child's status pipe.
const ABANDONED: u64 = 1 << 63;

/// The children that run.
pub(super) struct Children {
    running: BTreeMap<u64, Child>,
    next: u64,
}

struct Child {
    pid: u32,
    status: OwnedFd,
    kill_on_drop: bool,
    /// Closed last: who looks from outside sees by it what is still held.
    pidfd: OwnedFd,
}

impl Children {
    /// No children yet; their tokens begin at `first`.
    pub(super) fn new(first: u64) -> Children {
        Children {
            running: BTreeMap::new(),
            next: first,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.running.len()
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
        let watched = fork::pidfd(pid).and_then(|pidfd| {
            events.add(&pidfd, self.next)?;
            if kill_on_drop {
                events.add_hung_up(&status, self.next | ABANDONED)?;
            }
            Ok(pidfd)
        });
        match watched {
            Ok(pidfd) => {
                let child = Child {
                    pid,
                    status,
                    kill_on_drop,
                    pidfd,
                };
                self.running.insert(self.next, child);
                self.next += 1;
            }
            // Nobody would learn of its end: rather no child than a zombie. The
            // caller finds the record of its death by SIGKILL.
            Err(_) => {
                let _ = fork::kill_child(pid);
                collect(pid, end::wait(pid), &status);
            }
        }
    }

    /// Does what has to be done about the child behind `token`.
    pub(super) fn attend(&mut self, token: u64, events: &poll::Set) {
        match token & ABANDONED {
            0 => self.collect(token, events),
            _ => self.kill(token & !ABANDONED, events),
        }
    }

    /// Kills a child that nobody waits for any more. It is collected as any other.
    fn kill(&mut self, token: u64, events: &poll::Set) {
        if let Some(child) = self.running.get(&token) {
            let _ = events.remove(&child.status);
            let _ = fork::signal(child.pidfd.as_fd(), libc::SIGKILL);
        }
    }

    /// Collects the child behind `token`, if it has ended.
    fn collect(&mut self, token: u64, events: &poll::Set) {
        let Some(child) = self.running.get(&token) else {
            return;
        };
        let look = end::look(child.pid);
        if let Ok(None) = look {
            return;
        }
        collect(child.pid, look, &child.status);
        let _ = events.remove(&child.pidfd);
        if child.kill_on_drop {
            // What the child has forked may hold the same pipe, which would stay
            // in the set with it.
            let _ = events.remove(&child.status);
        }
        self.running.remove(&token);
    }
}

/// Tells how a child ended, and collects it.
///
/// In this order: to a caller, a child that was collected without a record is one
/// whose template is gone. There is no record either if somebody else's code in
/// this process collected it.
fn collect(pid: u32, end: io::Result<Option<End>>, pipe: &OwnedFd) {
    if let Ok(Some(end)) = end {
        write_record(pipe, &end);
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
