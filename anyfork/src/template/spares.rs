//! [`SparePool`]: how many spares a template keeps, and when it forks the next.
//! RUNS IN: template
//!
//! A spare receives a request from the template's control socket by itself, and then
//! notifies the template over the [`Channel`]. So a child that the template counts as
//! a spare may have taken a request already. That is why the pool reads the notices
//! before it judges a spare's exit, and sends a surplus away by messages.
//!
//! [`Children`] keeps which children are spares. The spare's part is in
//! [`child::spare`](crate::child::spare). The template's loop calls the pool; the pool
//! does not know what the process that it has forked does next.

use std::io;
use std::mem;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::child::spare::Notifier;
use crate::protocol::control::{ControlMessage, SpareTarget};
use crate::protocol::notice::SpareNotice;
use crate::sys::eventfd::EventFd;
use crate::sys::fork::Side;
use crate::sys::threads::OneThread;
use crate::sys::{fork, socket, time};
use crate::template::backoff::Backoff;
use crate::template::children::Children;
use crate::template::token::Token;

/// Interval from the last event to the fork of the next spare while there are enough
/// for now: the spare that was just taken, and its caller, need the processors, and a
/// caller that soon starts the next process finds its caches as they were.
const QUIET: Duration = Duration::from_millis(3);

/// Maximum number of notices that are read at once: an owner can have spares pass on as many
/// targets as it likes. More than their socket holds, so that all are read that were there.
const MAX_NOTICES: usize = 1024;

/// The spares of a template.
#[derive(Default)]
pub(crate) struct SparePool {
    /// Number of spares that the template keeps.
    target: usize,
    /// When the owner sent the target, in nanoseconds of the monotonic clock.
    sent_at: u64,
    /// Spares that are too many, until they are gone.
    surplus: Option<Surplus>,
    /// `None` before the first spare.
    channel: Option<Channel>,
    /// Whether the last spare could not be forked. The next try follows an event,
    /// because without one nothing has changed.
    fork_failed: bool,
    starts: Starts,
    /// When the template had something else to do for the last time.
    last_event: Option<Instant>,
    /// Whether a spare has taken a request since the last
    /// [`have_taken`](SparePool::have_taken).
    taken: bool,
}

/// Spares that are to be sent away.
struct Surplus {
    /// Number of messages that have still to be sent.
    unsent: usize,
    /// Number of messages that the template has received itself, because no spare did.
    undelivered: usize,
    /// The owner's end of the control socket, by which the template sends to its own
    /// spares.
    owner: OwnedFd,
}

impl SparePool {
    pub(crate) fn new(target: usize) -> SparePool {
        SparePool {
            target,
            ..SparePool::default()
        }
    }

    /// Whether the template should fork another spare, and has room for it.
    pub(crate) fn lacks_spares(&self, children: &Children) -> bool {
        children.spares() < self.target && !self.fork_failed && !children.fds_are_scarce()
    }

    /// How long to wait for events before the next spare is forked, while there are so many.
    pub(crate) fn delay(&self, spares: usize, now: Instant) -> Duration {
        let quiet = match self.last_event {
            Some(at) if 2 * spares >= self.target => (at + QUIET).saturating_duration_since(now),
            _ => Duration::ZERO,
        };
        quiet.max(self.starts.backoff.remaining(now))
    }

    /// The template has something else to do.
    pub(crate) fn on_event(&mut self, now: Instant) {
        self.last_event = Some(now);
    }

    /// Something has happened: a fork that has failed may be tried again.
    pub(crate) fn allow_retry(&mut self) {
        self.fork_failed = false;
    }

    /// Forks a spare. Returns `None` in the template, and in the spare its
    /// witness and its notifier.
    pub(crate) fn fork_spare(&mut self, children: &mut Children) -> Option<(OneThread, Notifier)> {
        let forked = self.try_fork_spare(children);
        forked.unwrap_or_else(|_| {
            self.fork_failed = true;
            None
        })
    }

    fn try_fork_spare(
        &mut self,
        children: &mut Children,
    ) -> io::Result<Option<(OneThread, Notifier)>> {
        if self.channel.is_none() {
            let channel = Channel::new()?;
            let notices = Token::Notices.encode();
            children.events.add(&channel.notifier.wake, notices)?;
            self.channel = Some(channel);
            children.limits.count(Channel::DESCRIPTORS);
        }
        match fork::fork(children.one_thread)? {
            Side::Parent(pid) => {
                children.add_spare(pid)?;
                self.starts.add(pid, Instant::now());
                Ok(None)
            }
            Side::Child(one_thread) => {
                let Some(Channel { receiver, notifier }) = self.channel.take() else {
                    fork::exit_now(1)
                };
                // Forget: the spare closes all of the template's descriptors at once.
                mem::forget(receiver);
                Ok(Some((one_thread, notifier)))
            }
        }
    }

    /// Reads what spares have notified.
    pub(crate) fn read_notices(&mut self, children: &mut Children) {
        if let Some(channel) = &self.channel {
            // Before reading: a notice that comes later signals again.
            channel.notifier.wake.clear();
        }
        for _ in 0..MAX_NOTICES {
            let Some(channel) = &self.channel else { return };
            let (mut bytes, mut fds) = ([0; SpareNotice::LEN], Vec::new());
            let receiver = channel.receiver.as_fd();
            let Ok(received) = socket::receive(receiver, &mut bytes, &mut fds) else {
                return;
            };
            match (SpareNotice::parse(&bytes[..received.len]), fds.pop()) {
                (Some(SpareNotice::Taken { pid, kill_on_drop }), Some(status)) => {
                    self.starts.reset();
                    self.taken = true;
                    children.on_taken(pid, status, kill_on_drop);
                }
                // The template had no room for the status pipe.
                (Some(SpareNotice::Taken { pid, .. }), None) => drop(children.mark_lost(pid)),
                (Some(SpareNotice::SetSpares(target)), owner) => {
                    self.set_target(target, owner, children);
                }
                (None, _) => {}
            }
        }
        // The rest after what others wait for.
        if let Some(channel) = &self.channel {
            channel.notifier.wake.signal();
        }
    }

    /// Whether a spare has taken a request since the last call.
    pub(crate) fn have_taken(&mut self) -> bool {
        mem::take(&mut self.taken)
    }

    /// A child that counts as a spare has exited.
    pub(crate) fn on_exited(&mut self, pid: u32, children: &mut Children) {
        // First: the child may have taken a request, and its notice is unread.
        self.read_notices(children);
        let was_spare = children.is_spare(pid);
        children.on_exited(pid);
        if was_spare && !children.is_spare(pid) {
            self.starts.on_exited(pid, Instant::now());
        }
    }

    /// Sets the number of spares. The template sends a surplus away by messages on
    /// the control socket, one for each spare, and not by a signal: a spare that
    /// receives such a message cannot have taken a request.
    pub(crate) fn set_target(
        &mut self,
        target: SpareTarget,
        owner: Option<OwnedFd>,
        children: &Children,
    ) {
        // Targets may arrive out of order, because spares pass them on: an older one is
        // ignored. A time in the future counts as now, or every later target would be
        // ignored.
        let at = time::monotonic_nanos().map_or(target.at, |now| target.at.min(now));
        if at < self.sent_at {
            return;
        }
        self.sent_at = at;
        self.starts.reset();
        self.target = target.count as usize;
        let unsent = children.spares().saturating_sub(self.target);
        self.surplus = owner.map(|owner| Surplus {
            unsent,
            undelivered: 0,
            owner,
        });
        self.dismiss_surplus(children);
    }

    /// Sends away as many spares as the control socket's queue has room for. The
    /// spares make room, so the loop calls this again after each event.
    pub(crate) fn dismiss_surplus(&mut self, children: &Children) {
        let Some(surplus) = &mut self.surplus else {
            return;
        };
        while surplus.unsent > 0 {
            let exit = ControlMessage::ExitSpare.encode();
            match socket::send(surplus.owner.as_fd(), &exit, &[]) {
                Ok(_) => surplus.unsent -= 1,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => surplus.unsent = 0,
            }
        }
        // Until then the messages may come back.
        if children.spares() <= self.target {
            self.surplus = None;
        }
    }

    /// The template has received a message that was to send a spare away.
    pub(crate) fn on_undelivered(&mut self) {
        if let Some(surplus) = &mut self.surplus {
            surplus.undelivered += 1;
        }
    }

    /// Sends the messages again that no spare has received.
    pub(crate) fn dismiss_again(&mut self) {
        if let Some(surplus) = &mut self.surplus {
            surplus.unsent += mem::take(&mut surplus.undelivered);
        }
    }
}

/// The way from spares to their template. The template has both ends, a spare only the
/// notifier.
struct Channel {
    receiver: OwnedFd,
    notifier: Notifier,
}

impl Channel {
    /// Number of descriptors of a channel.
    const DESCRIPTORS: u64 = 3;

    fn new() -> io::Result<Channel> {
        let (receiver, socket) = socket::message_pair()?;
        let wake = EventFd::new()?;
        Ok(Channel {
            receiver,
            notifier: Notifier { socket, wake },
        })
    }
}

/// A spare that exits within this time counts as a failed start and lengthens the
/// back-off.
const START: Duration = Duration::from_millis(100);

/// How the starts of spares go.
#[derive(Default)]
struct Starts {
    /// The spares that were forked within the last [`START`]: their pids, and when.
    recent: Vec<(u32, Instant)>,
    /// After a spare whose start has failed.
    backoff: Backoff,
}

impl Starts {
    /// A spare was forked.
    fn add(&mut self, pid: u32, now: Instant) {
        self.drop_old(now);
        self.recent.push((pid, now));
    }

    /// A spare has exited that no request had reached.
    fn on_exited(&mut self, pid: u32, now: Instant) {
        self.drop_old(now);
        let Some(at) = self.recent.iter().position(|(recent, _)| *recent == pid) else {
            return;
        };
        self.recent.swap_remove(at);
        self.backoff.fail(now);
    }

    /// A spare was of use, or the target is another one: what happened before says
    /// nothing about the next start.
    fn reset(&mut self) {
        self.recent.clear();
        self.backoff.reset();
    }

    /// Drops the spares that have lived long enough. Any such spare shows that spares
    /// can live, and resets the back-off.
    fn drop_old(&mut self, now: Instant) {
        let before = self.recent.len();
        let age = |forked| now.saturating_duration_since(forked);
        self.recent.retain(|(_, forked)| age(*forked) < START);
        if self.recent.len() < before {
            self.backoff.reset();
        }
    }
}

#[cfg(test)]
mod tests;
