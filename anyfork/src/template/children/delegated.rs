//! [`Delegated`]: which of a template's children are delegated to which monitor.
//! RUNS IN: template
//!
//! A fork copies the table of descriptors, and the child has to close what is in the
//! copy. A template that held two descriptors for each child would fork more slowly
//! with every child. When the template watches many, it forks a monitor, which inherits
//! the descriptors, and closes its own. The [monitor] watches the
//! children and returns each that has exited, by a message with its status pipe; the
//! template, which is the child's parent, writes the record and reaps the child. A
//! monitor that has few children left returns them all and exits, so there are few
//! monitors, too, whatever the lives of the children are.
//!
//! A monitor may be killed. The status pipes are closed then, but the children are the
//! template's to watch: they are *lost*, which means that their callers see the pipe
//! closed and ask the kernel, as if the template had been killed. A lost child with
//! `kill_on_drop` is killed by the caller's last handle, but not by the exit of
//! the whole program.
//!
//! This file keeps the books and reads the sockets; it neither forks nor touches
//! a child.

use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use crate::protocol::notice::Returned;
use crate::sys::{pidfd, socket, wait};
use crate::template::backoff::Backoff;
use crate::template::children::monitor;

/// The children that are delegated, and their monitors.
#[derive(Default)]
pub(crate) struct Delegated {
    /// The monitor's pid of each child, by the child's pid.
    children: BTreeMap<u32, u32>,
    monitors: BTreeMap<u32, MonitorHandle>,
    /// Monitors that were killed and could not be reaped yet.
    killed: Vec<u32>,
    /// After a monitor that could not be forked, or that has failed.
    pub(crate) backoff: Backoff,
}

/// What the template knows of a monitor.
struct MonitorHandle {
    /// The socket on which the monitor returns children.
    socket: OwnedFd,
    /// Number of children that were delegated.
    delegated: usize,
    /// Number of children that have not come back.
    left: usize,
    /// Number of children that have come back alive.
    returned_alive: usize,
}

impl MonitorHandle {
    /// Whether the monitor has returned more living children than a monitor that has
    /// few left: it could not do its work.
    fn has_failed(&self) -> bool {
        self.returned_alive > self.delegated / monitor::RETURN_DIVISOR
    }
}

/// What a monitor's socket has.
pub(crate) enum FromMonitor {
    /// Nothing more for now.
    Nothing,
    /// A returned child, and its status pipe if there was room for it.
    Child(Returned, Option<OwnedFd>),
    /// The end: the monitor has exited, was killed, or sends what is not its protocol.
    Ended,
}

impl Delegated {
    pub(crate) fn is_empty(&self) -> bool {
        self.children.is_empty()
    }

    /// Number of descriptors that the template holds for the monitors.
    pub(crate) fn descriptors(&self) -> u64 {
        self.monitors.len() as u64
    }

    /// Notes that these children are delegated to the monitor of this pid.
    pub(crate) fn add(
        &mut self,
        monitor: u32,
        socket: OwnedFd,
        children: impl Iterator<Item = u32>,
    ) {
        let mut delegated = 0;
        for pid in children {
            delegated += 1;
            self.children.insert(pid, monitor);
        }
        let handle = MonitorHandle {
            socket,
            delegated,
            left: delegated,
            returned_alive: 0,
        };
        self.monitors.insert(monitor, handle);
    }

    /// Receives the next message of a monitor.
    pub(crate) fn receive(&self, monitor: u32) -> FromMonitor {
        let Some(MonitorHandle { socket, .. }) = self.monitors.get(&monitor) else {
            return FromMonitor::Nothing;
        };
        let (mut bytes, mut fds) = ([0; Returned::LEN], Vec::new());
        match socket::receive(socket.as_fd(), &mut bytes, &mut fds) {
            Ok(received) if received.len > 0 => match Returned::parse(&bytes[..received.len]) {
                Some(returned) => FromMonitor::Child(returned, fds.pop()),
                None => FromMonitor::Ended,
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => FromMonitor::Nothing,
            Ok(_) | Err(_) => FromMonitor::Ended,
        }
    }

    /// Whether the child is delegated to this monitor.
    pub(crate) fn has(&self, monitor: u32, pid: u32) -> bool {
        self.children.get(&pid) == Some(&monitor)
    }

    /// Notes that a child has come back.
    pub(crate) fn remove(&mut self, pid: u32, is_alive: bool) {
        if let Some(monitor) = self.children.remove(&pid)
            && let Some(monitor) = self.monitors.get_mut(&monitor)
        {
            monitor.left -= 1;
            monitor.returned_alive += usize::from(is_alive);
        }
    }

    /// Removes a monitor whose socket is closed, and reaps it. Returns its socket, for
    /// the epoll set, and the pids of the children that it has not returned.
    pub(crate) fn remove_monitor(&mut self, monitor: u32) -> Option<(OwnedFd, Vec<u32>)> {
        let handle = self.monitors.remove(&monitor)?;
        self.kill_monitor(monitor);
        match handle.has_failed() {
            true => self.backoff.fail(Instant::now()),
            false => self.backoff.reset(),
        }
        let mut lost = Vec::new();
        if handle.left > 0 {
            let theirs = self.children.iter().filter(|(_, it)| **it == monitor);
            lost.extend(theirs.map(|(pid, _)| *pid));
        }
        Some((handle.socket, lost))
    }

    /// Has all monitors return their children: they see the end of the template's side of
    /// the socket, and exit then.
    pub(crate) fn recall(&self) {
        for monitor in self.monitors.values() {
            let _ = socket::end_sending(monitor.socket.as_fd());
        }
    }

    /// Kills all monitors, once no child is left for them.
    pub(crate) fn kill_monitors(&mut self) {
        for monitor in mem::take(&mut self.monitors).into_keys() {
            self.kill_monitor(monitor);
        }
    }

    /// Kills a monitor, if it has not exited, and reaps it: at once, or when
    /// [`reap_killed`](Delegated::reap_killed) finds that it can be reaped.
    pub(crate) fn kill_monitor(&mut self, monitor: u32) {
        let _ = pidfd::kill_child(monitor);
        match wait::peek_soon(monitor) {
            Ok(None) => self.killed.push(monitor),
            _ => drop(wait::reap(monitor)),
        }
    }

    /// Reaps monitors that were killed.
    pub(crate) fn reap_killed(&mut self) {
        self.killed
            .retain(|monitor| matches!(wait::reap(*monitor), Ok(None)));
    }

    /// Whether there are monitors that were killed and not reaped.
    pub(crate) fn has_killed(&self) -> bool {
        !self.killed.is_empty()
    }
}
