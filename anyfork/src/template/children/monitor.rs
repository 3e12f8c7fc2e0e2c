//! A keeper: a process that holds descriptors of a template's children, so that
//! the template need not. Why, and what the template has to do with it, is in
//! `kept`.
//!
//! It was forked with the children's pidfds and status pipes. It kills those that
//! nobody waits for any more, and gives back those that have ended; it cannot
//! collect them, because it is their sibling. It runs no code of the program's,
//! takes no orders, and does not outlive the template.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::child::title;
use crate::early;
use crate::protocol::notice::Returned;
use crate::sys::epoll::Epoll;
use crate::sys::poll::Interest;
use crate::sys::socket::Wait;
use crate::sys::{epoll, fd, fork, poll, socket};
use crate::template::children::watched::{ABANDONED, Child};

/// The part of its children that is not worth a keeper: one in so many.
pub(crate) const FEW: usize = 4;

/// The token of the channel; the children's are their pids.
const CHANNEL: u64 = 0;

/// Lives as the keeper of these children, in a process that `template` has just
/// forked for it.
pub(crate) fn live(children: Vec<Child>, channel: OwnedFd, template: u32) -> ! {
    early::mark_forked();
    let mut keeper = Keeper {
        children: children.into_iter().map(|it| (it.pid, it)).collect(),
        channel,
        patience: 100,
    };
    let kept = keeper.isolate().and_then(|()| {
        fork::die_with_parent(template)?;
        title::monitor();
        keeper.keep()
    });
    // Also where it could not keep. If the template is gone, this sees it.
    keeper.give_all_back();
    fork::exit_now(kept.is_err().into())
}

struct Keeper {
    children: BTreeMap<u32, Child>,
    /// Where they are given back.
    channel: OwnedFd,
    /// So often it waits until there is room for a descriptor on its way.
    patience: u32,
}

impl Keeper {
    /// Closes all that is not the children's.
    fn isolate(&self) -> io::Result<()> {
        let theirs = self.children.values().flat_map(Child::descriptors);
        fd::close_all_but(theirs.chain([&self.channel]).map(AsRawFd::as_raw_fd))
    }

    /// Watches the children, until three quarters of them have ended.
    fn keep(&mut self) -> io::Result<()> {
        let events = Epoll::new()?;
        events.add_hung_up(&self.channel, CHANNEL)?;
        for child in self.children.values() {
            child.watch(&events)?;
        }
        let few = self.children.len() / FEW;
        let mut room = epoll::event_buffer::<64>();
        while self.children.len() >= few.max(1) {
            for token in events.wait(&mut room, None)? {
                if token == CHANNEL {
                    // The template is gone.
                    fork::exit_now(0);
                }
                self.attend(token, &events);
            }
        }
        Ok(())
    }

    /// Does what has to be done about the child behind `token`.
    fn attend(&mut self, token: u64, events: &Epoll) {
        let Ok(pid) = u32::try_from(token & !ABANDONED) else {
            return;
        };
        if token & ABANDONED != 0 {
            if let Some(child) = self.children.get_mut(&pid) {
                child.kill(events);
            }
        } else if let Some(child) = self.children.remove(&pid) {
            child.forget(events);
            self.give_back(child);
        }
    }

    fn give_all_back(&mut self) {
        while let Some((_, child)) = self.children.pop_first() {
            self.give_back(child);
        }
    }

    /// Has the template watch the child itself, or collect it.
    fn give_back(&mut self, child: Child) {
        const PAUSE: Duration = Duration::from_millis(10);
        let bytes = Returned {
            pid: child.pid,
            kill_on_drop: child.kill_on_drop,
        }
        .encode();
        let channel = self.channel.as_fd();
        let mut status = child.status.as_ref().map(AsFd::as_fd);
        while let Err(error) = socket::send_or_wait(channel, Wait::Yes, &bytes, status.as_slice()) {
            if status.is_none() || error.raw_os_error() != Some(libc::ETOOMANYREFS) {
                // The template is gone.
                fork::exit_now(1);
            }
            // The kernel has too many descriptors of this user's on their way.
            // If that does not pass, it is more important that the end is told.
            if self.patience == 0 {
                status = None;
            } else {
                self.patience -= 1;
                let _ = poll::wait(channel, Interest::HungUp, Some(Instant::now() + PAUSE));
            }
        }
    }
}
