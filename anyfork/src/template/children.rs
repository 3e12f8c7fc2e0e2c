//! [`Children`]: all children of a template, from the fork to the record of their exit.
//! RUNS IN: template
//!
//! The template watches a child by a pidfd, not by SIGCHLD: signals coalesce, and to
//! find the child that has exited among all would cost more the more there are. When
//! they are many, the template delegates them to monitors
//! ([`delegated`]).
//!
//! A child is *launched* (it was forked for a request, or is a spare that has taken
//! one) or a *spare*. It is *lost* if the template does not have its status pipe: its
//! caller sees the pipe closed and asks the kernel.
//!
//! The epoll set and the descriptor limit are here, because each child takes its part
//! of both.

pub(crate) mod delegated;
pub(crate) mod monitor;
mod record;
pub(crate) mod unwatched;
pub(crate) mod watched;

use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::os::fd::OwnedFd;
use std::process;
use std::time::{Duration, Instant};

use crate::child::fd_limit::Limits;
use crate::protocol::notice::Returned;
use crate::sys::epoll::Epoll;
use crate::sys::fork::Side;
use crate::sys::threads::OneThread;
use crate::sys::{fork, pidfd, socket, wait};
use crate::template::children::delegated::{Delegated, FromMonitor};
use crate::template::children::record::report_and_reap;
use crate::template::children::unwatched::Unwatched;
use crate::template::children::watched::Watched;
use crate::template::token::Token;

/// Maximum number of launched children that a template watches itself.
const MAX_WATCHED: usize = 256;

/// Number of launched children from which on the template forks a monitor when
/// descriptors are scarce. Fewer are not worth a process.
const MIN_DELEGATED: usize = 32;

/// Timeout for the exit of children that nobody asks for, before the template exits.
const TIMEOUT_LET_GO: Duration = Duration::from_millis(50);

/// Interval between two looks at children that were killed and could not be reaped: they
/// are traced.
const INTERVAL_REAP: Duration = Duration::from_millis(100);

/// The children of a template that have not been reaped.
pub(crate) struct Children {
    /// For the forks of children, spares and monitors.
    pub(crate) one_thread: OneThread,
    /// The epoll set of the template's loop.
    pub(crate) events: Epoll,
    /// How many descriptors the template may have.
    pub(crate) limits: Limits,
    /// The children that the template watches itself, by pid.
    watched: BTreeMap<u32, Watched>,
    /// Number of them that are spares.
    spares: usize,
    /// The other children.
    delegated: Delegated,
    /// Whether nobody can ask for further children.
    owners_gone: bool,
    /// Children that are nobody's business any more.
    let_go: Vec<Watched>,
    /// Children that there was no room to watch. Spares among them were killed for that.
    unwatched: Vec<Unwatched>,
}

impl Children {
    pub(crate) fn new(one_thread: OneThread, events: Epoll, limits: Limits) -> Children {
        Children {
            one_thread,
            events,
            limits,
            watched: BTreeMap::new(),
            spares: 0,
            delegated: Delegated::default(),
            owners_gone: false,
            let_go: Vec::new(),
            unwatched: Vec::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.watched.is_empty() && self.delegated.is_empty() && self.unwatched.is_empty()
    }

    /// Whether the template nears its limit of descriptors: one system call.
    pub(crate) fn fds_are_scarce(&self) -> bool {
        // A spare counts as if it were launched: its status pipe is to come.
        let watched = Watched::DESCRIPTORS * self.watched.len() as u64;
        let unwatched = self.unwatched.len() as u64;
        self.limits
            .are_near(watched + unwatched + self.delegated.descriptors())
    }

    /// Number of spares.
    pub(crate) fn spares(&self) -> usize {
        self.spares
    }

    /// Whether the child is a spare.
    pub(crate) fn is_spare(&self, pid: u32) -> bool {
        self.watched.get(&pid).is_some_and(|child| child.is_spare)
    }

    /// Number of launched children that the template watches itself.
    fn launched(&self) -> usize {
        self.watched.len() - self.spares
    }

    /// Takes out the launched children that the template watches itself.
    fn take_launched(&mut self) -> Vec<Watched> {
        let (spares, launched) = mem::take(&mut self.watched)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(_, child)| child.is_spare);
        self.watched = spares;
        launched.into_values().collect()
    }

    /// Watches a launched child, whose record goes to `status`. With `kill_on_drop`,
    /// also kills the child when nobody holds the read end any more.
    pub(crate) fn add(&mut self, pid: u32, status: OwnedFd, kill_on_drop: bool) {
        self.watch_or_look(Unwatched {
            pid,
            status: Some(status),
            kill_on_drop,
        });
    }

    /// Watches a child. Without room for that it runs on, as it may serve its caller
    /// already: the template looks at it from time to time, and tries again.
    fn watch_or_look(&mut self, child: Unwatched) {
        let Ok(mut watched) = Watched::new(child.pid, &self.events) else {
            return self.unwatched.push(child);
        };
        if let Some(status) = child.status {
            let reported = watched.report_to(status, child.kill_on_drop, &self.events);
            if reported.is_err() {
                watched.unwatch(&self.events);
                return self.unwatched.push(Unwatched::no_more(watched));
            }
        }
        if self.owners_gone {
            let _ = watched.watch_caller(&self.events);
        }
        self.watched.insert(child.pid, watched);
    }

    /// Watches a new spare. On an error the spare is killed and reaped.
    pub(crate) fn add_spare(&mut self, pid: u32) -> io::Result<()> {
        let child = Watched::new(pid, &self.events);
        let mut child = child.inspect_err(|_| self.kill_and_reap(pid))?;
        child.is_spare = true;
        self.spares += 1;
        self.watched.insert(pid, child);
        Ok(())
    }

    /// The spare has taken a request: it is launched now, like a child of
    /// [`add`](Children::add).
    pub(crate) fn on_taken(&mut self, pid: u32, status: OwnedFd, kill_on_drop: bool) {
        if !self.mark_lost(pid) {
            return;
        }
        if let Some(child) = self.watched.get_mut(&pid)
            && child.report_to(status, kill_on_drop, &self.events).is_err()
            && let Some(child) = self.watched.remove(&pid)
        {
            child.unwatch(&self.events);
            self.unwatched.push(Unwatched::no_more(child));
        }
    }

    /// The spare has taken a request, and its status pipe did not arrive: it is
    /// launched, and lost. `false`: there is no such spare.
    pub(crate) fn mark_lost(&mut self, pid: u32) -> bool {
        let child = self.watched.get_mut(&pid);
        let was_spare = child.is_some_and(|child| mem::take(&mut child.is_spare));
        self.spares -= usize::from(was_spare);
        was_spare
    }

    /// Reaps the child of this pid, if it has exited and the template watches it. It
    /// may be delegated since the kernel reported the event.
    pub(crate) fn on_exited(&mut self, pid: u32) {
        if !self.watched.contains_key(&pid) {
            return;
        }
        let exit = wait::peek(pid);
        if let Ok(None) = exit {
            return;
        }
        let Some(child) = self.watched.remove(&pid) else {
            return;
        };
        if child.is_spare {
            self.spares -= 1;
        }
        // First: the caller waits for it.
        report_and_reap(pid, exit, child.status.as_ref());
        child.unwatch(&self.events);
    }

    /// Nobody reads the status of the child of this pid any more: the template kills it
    /// if it is to, or else leaves it to the kernel, once there is no owner either.
    pub(crate) fn on_abandoned(&mut self, pid: u32) {
        let Some(child) = self.watched.get_mut(&pid) else {
            return;
        };
        if child.kill_on_drop {
            child.kill(&self.events);
        } else if self.owners_gone
            && let Some(child) = self.watched.remove(&pid)
        {
            child.unwatch(&self.events);
            self.let_go.push(child);
        }
    }

    /// The last owner is gone. A child whose status nobody reads is nobody's business
    /// from now on: the template exits, and the child goes to the first process, as one
    /// of std's does whose parent has exited.
    pub(crate) fn on_owners_gone(&mut self) {
        self.owners_gone = true;
        let lost = |child: &Watched| child.status.is_none() && !child.is_spare;
        for child in self.watched.values().filter(|child| lost(child)) {
            child.unwatch(&self.events);
        }
        self.watched.retain(|_, child| !lost(child));
        self.unwatched.retain(|child| child.status.is_some());
        for child in self.watched.values_mut() {
            // Unwatched, the child is reaped all the same.
            let _ = child.watch_caller(&self.events);
        }
        if !self.fds_are_scarce() {
            self.delegated.recall();
        }
    }

    /// Reaps those children that have exited, or are about to, and that are nobody's
    /// business: nobody else may know them, such as one whose launch has failed, and where
    /// the caller is the first process or a subreaper it would find a zombie.
    pub(crate) fn reap_let_go(&mut self) {
        let deadline = Instant::now() + TIMEOUT_LET_GO;
        for child in self.let_go.drain(..) {
            if child.has_exited_by(deadline) {
                let _ = wait::reap(child.pid);
            }
        }
    }

    /// Takes back what the monitor of this pid returns.
    pub(crate) fn on_monitor(&mut self, monitor: u32) {
        loop {
            // Before each message: it may bring a status pipe, and the child takes a
            // pidfd.
            self.delegate_excess();
            match self.delegated.receive(monitor) {
                FromMonitor::Nothing => return,
                FromMonitor::Child(returned, status) => {
                    self.on_returned(monitor, returned, status);
                }
                FromMonitor::Ended => return self.on_monitor_exited(monitor),
            }
        }
    }

    /// A monitor has returned a child, because the child has exited or the monitor is
    /// about to. Without a status pipe, there was no room for it here or on the way.
    fn on_returned(&mut self, monitor: u32, returned: Returned, status: Option<OwnedFd>) {
        let Returned { pid, kill_on_drop } = returned;
        if !self.delegated.has(monitor, pid) {
            return;
        }
        let exit = wait::peek(pid);
        self.delegated.remove(pid, matches!(exit, Ok(None)));
        match exit {
            Ok(None) => self.watch_or_look(Unwatched {
                pid,
                status,
                kill_on_drop,
            }),
            exit => report_and_reap(pid, exit, status.as_ref()),
        }
    }

    /// A monitor has exited, was killed, or does not speak its protocol and is killed: then
    /// the template watches the children that the monitor had left.
    fn on_monitor_exited(&mut self, monitor: u32) {
        let Some((socket, lost)) = self.delegated.remove_monitor(monitor) else {
            return;
        };
        let _ = self.events.remove(&socket);
        drop(socket);
        for pid in lost {
            self.delegated.remove(pid, true);
            self.watch_or_look(Unwatched::lost(pid));
            self.delegate_excess();
        }
    }

    /// Delegates the launched children that the template watches itself to a new
    /// monitor, if they are more than it should watch or than it has descriptors for.
    pub(crate) fn delegate_excess(&mut self) {
        let launched = self.launched();
        if self.owners_gone
            || launched < MIN_DELEGATED
            || (launched < MAX_WATCHED && !self.fds_are_scarce())
        {
            return;
        }
        let now = Instant::now();
        if self.delegated.backoff.remaining(now).is_zero() && self.fork_monitor().is_err() {
            self.delegated.backoff.fail(now);
        }
    }

    fn fork_monitor(&mut self) -> io::Result<()> {
        let (socket, monitors_end) = socket::message_pair()?;
        let template = process::id();
        let monitor = match fork::fork(self.one_thread)? {
            Side::Child(one_thread) => {
                monitor::run(one_thread, self.take_launched(), monitors_end, template)
            }
            Side::Parent(monitor) => monitor,
        };
        let watched = self.events.add(&socket, Token::Monitor(monitor).encode());
        watched.inspect_err(|_| self.delegated.kill_monitor(monitor))?;
        let children = self.take_launched().into_iter();
        let pids = children.map(|child| {
            child.unwatch(&self.events);
            child.pid
        });
        self.delegated.add(monitor, socket, pids);
        Ok(())
    }

    /// Kills a spare that cannot be watched, and reaps it: at once, or when
    /// [`look_at_unwatched`](Children::look_at_unwatched) finds that it can be reaped.
    fn kill_and_reap(&mut self, pid: u32) {
        let _ = pidfd::kill_child(pid);
        match wait::peek_soon(pid) {
            Ok(None) => self.unwatched.push(Unwatched::lost(pid)),
            exit => report_and_reap(pid, exit, None),
        }
    }

    /// Reaps those of the unwatched children that have exited, and watches the others if
    /// there is room now. Reaps killed monitors, too.
    pub(crate) fn look_at_unwatched(&mut self) {
        self.delegated.reap_killed();
        for mut child in mem::take(&mut self.unwatched) {
            match wait::peek(child.pid) {
                Ok(None) if child.is_abandoned() && child.kill_on_drop => {
                    child.kill();
                    self.watch_or_look(child);
                }
                // Nobody's business any more.
                Ok(None) if self.owners_gone && child.is_abandoned() => {}
                Ok(None) => self.watch_or_look(child),
                exit => report_and_reap(child.pid, exit, child.status.as_ref()),
            }
        }
    }

    /// Interval until the next look at what is not watched. `None`: there is nothing.
    pub(crate) fn next_reap(&self) -> Option<Duration> {
        let is_any = !self.unwatched.is_empty() || self.delegated.has_killed();
        is_any.then_some(INTERVAL_REAP)
    }

    /// Kills all monitors, once there are no children left.
    pub(crate) fn kill_monitors(&mut self) {
        self.delegated.kill_monitors();
    }
}
