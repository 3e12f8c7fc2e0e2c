//! Many children, as their template sees them: in the hands of keepers.
//!
//! A fork copies the table of descriptors, and the child has to close what is in
//! it: a template that held two for each child would fork more slowly the more of
//! them live. So when they are many, it forks a keeper, which thereby has the
//! same descriptors, and forgets its own. The keeper watches the children and
//! gives each back, by a message with its status pipe, when it has ended; the
//! template, whose child it still is, tells how and collects it. A keeper that
//! has few left gives them all back and leaves, so that there are not many
//! keepers either, however the lives of the children are spread.
//!
//! A keeper may be killed. Role the status pipes are gone, but not the children:
//! the template watches them itself, and whoever waits for one asks the kernel, as
//! if the template had been killed. Of those with `kill_on_drop`, only the last
//! handle kills still, not the end of the whole program.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process;
use std::time::Instant;

use crate::child::fd_limit::Limits;
use crate::protocol::notice::Returned;
use crate::sys::epoll::Epoll;
use crate::sys::fork::Side;
use crate::sys::{fd, fork, pidfd, socket, wait};
use crate::template::backoff::Backoff;
use crate::template::children;
use crate::template::children::Children;
use crate::template::children::monitor;

/// Marks a token that stands for the keeper of that pid.
pub(crate) const KEEPER: u64 = 1 << 62;

/// So many children of the template's own are too many.
const MANY: usize = 256;

/// So many are worth a keeper if descriptors are scarce.
const WORTH_A_KEEPER: usize = 32;

/// The children in the hands of keepers.
pub(crate) struct Kept {
    /// Whose each child is, by their pids.
    children: BTreeMap<u32, u32>,
    keepers: BTreeMap<u32, Keeper>,
    /// After a keeper that could not be forked, or could not keep.
    pause: Backoff,
}

struct Keeper {
    /// Where it gives children back.
    channel: OwnedFd,
    /// So many are in its hands.
    count: usize,
    /// So many it took.
    took: usize,
    /// So many of them have come back alive.
    alive: usize,
}

impl Keeper {
    /// Whether it has given children back that it should have kept: something in
    /// it has failed.
    fn has_failed(&self) -> bool {
        self.alive > self.took / monitor::FEW
    }
}

impl Kept {
    pub(crate) fn new() -> Kept {
        Kept {
            children: BTreeMap::new(),
            keepers: BTreeMap::new(),
            pause: Backoff::default(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.children.is_empty()
    }

    /// How many descriptors the template holds for them.
    pub(crate) fn descriptors(&self) -> u64 {
        self.keepers.len() as u64
    }

    /// Takes a child out of its keeper's hands; `false` if it is in none.
    fn take(&mut self, pid: u32, is_alive: bool) -> bool {
        let Some(keeper) = self.children.remove(&pid) else {
            return false;
        };
        if let Some(keeper) = self.keepers.get_mut(&keeper) {
            keeper.count -= 1;
            keeper.alive += usize::from(is_alive);
        }
        true
    }
}

impl Children {
    /// Gives those that are watched here into the hands of a keeper, if they are
    /// many, or all that there are descriptors for.
    pub(crate) fn lighten(&mut self, events: &Epoll, limits: &Limits) {
        let busy = self.busy();
        let scarce = || limits.are_near(self.descriptors());
        if busy < WORTH_A_KEEPER || (busy < MANY && !scarce()) {
            return;
        }
        let now = Instant::now();
        if self.kept.pause.remaining(now).is_zero() && self.fork_keeper(events).is_err() {
            self.kept.pause.fail(now);
        }
    }

    fn fork_keeper(&mut self, events: &Epoll) -> io::Result<()> {
        let (channel, gives) = socket::message_pair()?;
        // A template that has much to do is waited for.
        fd::set_blocking(gives.as_fd())?;
        let template = process::id();
        let keeper = match fork::fork()? {
            Side::Child => monitor::live(self.take_busy(), gives, template),
            Side::Parent(keeper) => keeper,
        };
        if let Err(error) = events.add(&channel, u64::from(keeper) | KEEPER) {
            dismiss(keeper);
            return Err(error);
        }
        let children = self.take_busy();
        let count = children.len();
        for child in children {
            child.forget(events);
            self.kept.children.insert(child.pid, keeper);
        }
        let it = Keeper {
            channel,
            count,
            took: count,
            alive: 0,
        };
        self.kept.keepers.insert(keeper, it);
        Ok(())
    }

    /// Takes what a keeper gives back.
    pub(crate) fn listen(&mut self, keeper: u32, events: &Epoll, limits: &Limits) {
        loop {
            // A message may bring one descriptor, and its child another.
            self.lighten(events, limits);
            let Some(Keeper { channel, .. }) = self.kept.keepers.get(&keeper) else {
                return;
            };
            let (mut bytes, mut fds) = ([0; Returned::LEN], Vec::new());
            match socket::receive(channel.as_fd(), &mut bytes, &mut fds) {
                Ok(received) if received.len > 0 => {
                    if let Some(returned) = Returned::parse(&bytes[..received.len]) {
                        self.take_back(returned, fds.pop(), events);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(_) | Err(_) => return self.lose_keeper(keeper, events, limits),
            }
        }
    }

    /// A child is in nobody else's hands any more: it has ended, or its keeper has
    /// few left. There is no status pipe if there was no room for it here, or on
    /// the way.
    fn take_back(&mut self, returned: Returned, status: Option<OwnedFd>, events: &Epoll) {
        let Returned { pid, kill_on_drop } = returned;
        let look = wait::peek(pid);
        if !self.kept.take(pid, matches!(look, Ok(None))) {
            return;
        }
        match (look, status) {
            (Ok(None), Some(status)) => self.add(pid, status, kill_on_drop, events),
            (Ok(None), None) => self.add_lost(pid, events),
            (look, status) => children::collect(pid, look, status.as_ref()),
        }
    }

    /// A keeper has left, or was killed; then its children have nobody.
    fn lose_keeper(&mut self, keeper: u32, events: &Epoll, limits: &Limits) {
        let Some(it) = self.kept.keepers.remove(&keeper) else {
            return;
        };
        let _ = events.remove(&it.channel);
        dismiss(keeper);
        match it.has_failed() {
            true => self.kept.pause.fail(Instant::now()),
            false => self.kept.pause.reset(),
        }
        if it.count == 0 {
            return;
        }
        let theirs = self.kept.children.iter().filter(|(_, it)| **it == keeper);
        let orphans: Vec<_> = theirs.map(|(pid, _)| *pid).collect();
        for pid in orphans {
            self.kept.children.remove(&pid);
            self.add_lost(pid, events);
            self.lighten(events, limits);
        }
    }

    /// Ends the keepers, who have nothing to keep any more.
    pub(crate) fn dismiss_keepers(&mut self) {
        for keeper in self.kept.keepers.keys() {
            dismiss(*keeper);
        }
    }
}

/// Ends a keeper, if it has not left, and collects it.
fn dismiss(keeper: u32) {
    let _ = pidfd::kill_child(keeper);
    let _ = wait::reap_blocking(keeper);
}
