//! The children of a template: collects each that ends and writes the record
//! of its end into its status pipe.
//!
//! A pidfd per child, not SIGCHLD: signals coalesce, and searching all children
//! for the one that ended would cost more the more there are. Those that are
//! many are in the hands of keepers, which are in `kept`.

pub(crate) mod delegated;
pub(crate) mod monitor;
pub(crate) mod watched;

use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::os::fd::{AsFd, OwnedFd};

use crate::child::fd_limit::Limits;
use crate::protocol::status;
use crate::sys::epoll::Epoll;
use crate::sys::wait::ExitRecord;
use crate::sys::{fd, pidfd, wait};
use crate::template::children::delegated::Kept;
use crate::template::children::watched::{ABANDONED, Child};

/// The children that run, by their pids.
pub(crate) struct Children {
    /// Those that are watched here.
    own: BTreeMap<u32, Child>,
    /// How many of them are spares.
    idle: usize,
    /// The others.
    pub(crate) kept: Kept,
}

impl Children {
    pub(crate) fn new() -> Children {
        Children {
            own: BTreeMap::new(),
            idle: 0,
            kept: Kept::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.own.is_empty() && self.kept.is_empty()
    }

    /// How many descriptors are held for them, or will be once the spares are
    /// taken.
    pub(crate) fn descriptors(&self) -> u64 {
        Child::DESCRIPTORS * self.own.len() as u64 + self.kept.descriptors()
    }

    /// How many are spares.
    pub(crate) fn idle(&self) -> usize {
        self.idle
    }

    /// Whether this is the token of a spare.
    pub(crate) fn is_idle(&self, token: u64) -> bool {
        let child = u32::try_from(token).ok().and_then(|pid| self.own.get(&pid));
        child.is_some_and(|child| child.idle)
    }

    /// How many are watched here and are no spares.
    pub(crate) fn busy(&self) -> usize {
        self.own.len() - self.idle
    }

    /// Takes those out that are watched here and are no spares.
    pub(crate) fn take_busy(&mut self) -> Vec<Child> {
        let (idle, busy) = mem::take(&mut self.own)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(_, child)| child.idle);
        self.own = idle;
        busy.into_values().collect()
    }

    /// Watches a child that was just forked, or that a keeper has given back, to
    /// report its end to `status`; if it is to be killed when nobody waits for
    /// that any more, then that, too.
    pub(crate) fn add(&mut self, pid: u32, status: OwnedFd, kill_on_drop: bool, events: &Epoll) {
        match Child::new(pid, events) {
            Ok(mut child) => {
                child.report_to(status, kill_on_drop, events);
                self.own.insert(pid, child);
            }
            // Nobody would learn of its end: rather no child than a zombie. The
            // caller finds the record of its death by SIGKILL.
            Err(_) => put_down(pid, Some(&status)),
        }
    }

    /// Watches a child of whose end nobody can be told.
    pub(crate) fn add_lost(&mut self, pid: u32, events: &Epoll) {
        match Child::new(pid, events) {
            Ok(child) => drop(self.own.insert(pid, child)),
            Err(_) => put_down(pid, None),
        }
    }

    /// Watches a spare that was just forked; `false` if it could not, and has
    /// ended it.
    pub(crate) fn add_spare(&mut self, pid: u32, events: &Epoll) -> bool {
        match Child::new(pid, events) {
            Ok(mut child) => {
                child.idle = true;
                self.idle += 1;
                self.own.insert(pid, child);
                true
            }
            Err(_) => {
                put_down(pid, None);
                false
            }
        }
    }

    /// A spare has become a child that somebody waits for.
    pub(crate) fn take(&mut self, pid: u32, status: OwnedFd, kill_on_drop: bool, events: &Epoll) {
        self.lose(pid);
        if let Some(child) = self.own.get_mut(&pid) {
            child.report_to(status, kill_on_drop, events);
        }
    }

    /// A spare has become a child of whose end nobody can be told. Whoever waits
    /// for it sees that the pipe is nobody's any more, and asks the kernel.
    pub(crate) fn lose(&mut self, pid: u32) {
        if let Some(child) = self.own.get_mut(&pid)
            && mem::take(&mut child.idle)
        {
            self.idle -= 1;
        }
    }

    /// Does what has to be done about what is behind `token`.
    pub(crate) fn attend(&mut self, token: u64, events: &Epoll, limits: &Limits) {
        let Ok(pid) = u32::try_from(token & !(ABANDONED | delegated::KEEPER)) else {
            return;
        };
        // It may be a keeper's since the token was reported.
        match (token & !u64::from(pid), self.own.get_mut(&pid)) {
            (0, Some(_)) => self.collect(pid, events),
            (ABANDONED, Some(child)) => child.kill(events),
            (delegated::KEEPER, _) => self.listen(pid, events, limits),
            _ => {}
        }
    }

    /// Collects a child that is watched here, if it has ended.
    fn collect(&mut self, pid: u32, events: &Epoll) {
        let look = wait::peek(pid);
        if let Ok(None) = look {
            return;
        }
        let Some(child) = self.own.remove(&pid) else {
            return;
        };
        child.forget(events);
        if child.idle {
            self.idle -= 1;
        }
        collect(pid, look, child.status.as_ref());
    }
}

/// Kills a child and collects it.
fn put_down(pid: u32, pipe: Option<&OwnedFd>) {
    let _ = pidfd::kill_child(pid);
    collect(pid, wait::peek_blocking(pid), pipe);
}

/// Tells how a child ended, and collects it.
///
/// In this order: to a caller, a child that was collected without a record is one
/// whose template is gone. There is no record either if somebody else's code in
/// this process collected it.
pub(crate) fn collect(pid: u32, end: io::Result<Option<ExitRecord>>, pipe: Option<&OwnedFd>) {
    if let Ok(Some(end)) = end {
        if let Some(pipe) = pipe {
            write_record(pipe, &end);
        }
        let _ = wait::reap(pid);
    }
}

/// Writes the record, for a caller that may be gone. The pipe has room: only a
/// worker that fills its own status pipe on purpose loses its record.
fn write_record(pipe: &OwnedFd, end: &ExitRecord) {
    let record = status::encode_exit(
        end.status,
        end.user_micros,
        end.system_micros,
        end.peak_memory,
    );
    let _ = fd::write(pipe.as_fd(), &record);
}
