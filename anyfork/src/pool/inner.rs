//! [`Inner`]: a pool's calls and workers, behind its lock.
//! RUNS IN: caller

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::pool::base::Base;
use crate::pool::connection::several::Told;
use crate::pool::connection::{Outcome, WaitFor};
use crate::pool::entry::{Entry, Owner, Wake};
use crate::pool::few::Few;
use crate::pool::lease::entry::{LeaseAt, LeaseEntry};
use crate::pool::left::Left;
use crate::pool::live::{Line, Live, Up};
use crate::pool::request::Request;
use crate::pool::several::outbox::{Outbox, Sent};
use crate::pool::state::State;
use crate::pool::state::event::{Action, BaseId, CallId, Event, Reason, WorkerId};
use crate::pool::table::Table;
use crate::pool::trace::Home;
use crate::protocol::call::Payload;
use crate::sys::rights::Rights;

/// A pool's calls and workers.
pub(crate) struct Inner {
    pub(crate) state: State,
    pub(crate) calls: Table<CallId, Entry>,
    pub(crate) workers: Table<WorkerId, Live>,
    /// Those that wait, and those whose owners live.
    pub(crate) leases: Table<CallId, LeaseEntry>,
    pub(crate) bases: Vec<(BaseId, Arc<Base>)>,
    pub(crate) renewals: Vec<(BaseId, Renewal)>,
    /// The rights that the workers have.
    pub(crate) rights: Option<Rights>,
    /// The number of the request that was sent last.
    pub(crate) sent: u64,
    /// Events that follow from actions.
    pub(crate) events: VecDeque<Event>,
    /// Room for actions.
    pub(crate) actions: Vec<Action>,
    pub(crate) todo: Todo,
    /// Those who wait for any change.
    pub(crate) waits: Vec<Wake>,
    /// What `on_exit` has not been told.
    pub(crate) left: Vec<Left>,
    pub(crate) watcher: Sleep,
    /// Nothing is left, and the watcher has forgotten the pool.
    pub(crate) has_ended: bool,
}

/// The result of a renewal, once it is there.
pub(crate) type Renewal = Arc<OnceLock<Result<()>>>;

/// How far the watcher is with this pool.
#[derive(Default)]
pub(crate) struct Sleep {
    /// The time that it wakes at by itself.
    pub(crate) until: Option<Instant>,
    /// It will look at this pool anyway, and soon.
    pub(crate) is_awake: bool,
    /// It has to look, whatever the time is.
    pub(crate) is_wanted: bool,
    /// The state has changed, and with it maybe the time to wake at.
    pub(crate) has_news: bool,
}

/// What is done as soon as the lock is released.
#[derive(Default)]
pub(crate) struct Todo {
    pub(crate) sends: Few<Sending>,
    pub(crate) wakes: Few<Wake>,
    /// Workers to which something is to be sent.
    pub(crate) flushes: Few<(WorkerId, Arc<Outbox>)>,
    pub(crate) starts: Few<(WorkerId, Arc<Base>)>,
    /// Dropped without the lock: drops may run others' code, and system calls.
    pub(crate) trash: Few<Trash>,
}

/// A request, and where it goes.
pub(crate) struct Sending {
    pub(crate) worker: WorkerId,
    pub(crate) line: Box<Line>,
    pub(crate) request: Request,
}

/// What is dropped without the lock.
#[allow(dead_code, reason = "only dropped")]
pub(crate) enum Trash {
    Live(Live),
    Entry(Box<Entry>),
    Wake(Wake),
    Base(Arc<Base>),
    Line(Box<Line>),
    Homes(Vec<Home>),
    Arrived(Vec<Outcome>),
    Arrivals(VecDeque<Result<Payload>>),
    Sent(Box<Sent>),
    Told(Vec<Told>),
}

/// Interval for which an owner may leave an answer unread while others wait.
pub(crate) const INTERVAL_UNREAD: Duration = Duration::from_millis(1);

/// When the watcher reads a worker's answer in the owner's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    Never,
    Now,
    /// From this time on.
    From(Instant),
    /// Once it has been readable for [`INTERVAL_UNREAD`].
    #[cfg_attr(not(feature = "tokio"), expect(dead_code, reason = "for tasks only"))]
    IfUnread,
}

impl Inner {
    pub(crate) fn up(&mut self, worker: WorkerId) -> Option<&mut Up> {
        match self.workers.get_mut(&worker) {
            Some(Live::Up(up)) => Some(up),
            _ => None,
        }
    }

    /// A lease's worker takes no more calls.
    pub(crate) fn lose_lease(&mut self, lease: CallId, reason: Reason) {
        let Some(entry) = self.leases.get_mut(&lease) else {
            return;
        };
        if let LeaseAt::Has(worker) = entry.at {
            entry.at = LeaseAt::Lost(worker, reason);
            if let Some(Live::Up(up)) = self.workers.get(&worker) {
                entry.note_exit(worker, up.exit.as_ref());
            }
            self.todo.wakes.extend(entry.wake.take());
        }
    }

    /// The worker that has the call, if the owner can read its answer now.
    pub(crate) fn readable_for(&self, call: CallId) -> Option<WorkerId> {
        let worker = self.calls.get(&call)?.worker?;
        match self.workers.get(&worker) {
            Some(Live::Up(up)) if up.may_read(call) => {
                let is_free = up.line.is_some() && up.ended.is_none();
                (is_free && !self.is_any_full(up)).then_some(worker)
            }
            _ => None,
        }
    }

    /// When the watcher reads this worker's answer.
    pub(crate) fn reading(&self, up: &Up, now: Instant) -> Reading {
        if let Some(several) = &up.several {
            return self.reading_several(up, several, now);
        }
        let Some(entry) = up.call.and_then(|call| self.calls.get(&call)) else {
            return Reading::Never;
        };
        if up.line.is_none() || up.ended.is_some() || entry.arrivals.is_full() {
            return Reading::Never;
        }
        let is_asked = match &entry.owner {
            Owner::Reads => return Reading::Never,
            Owner::Gone | Owner::Watched(_) => true,
            #[cfg(feature = "tokio")]
            Owner::Awaits(_, crate::pool::entry::Until::Result) => true,
            _ => up.is_unsent(),
        };
        if is_asked {
            return Reading::Now;
        }
        if !self.has_waiters() {
            return Reading::Never;
        }
        let from = entry.sent.unwrap_or(now) + INTERVAL_UNREAD;
        if now < from {
            return Reading::From(from);
        }
        match (&entry.owner, up.unread_since) {
            #[cfg(feature = "tokio")]
            (Owner::Awaits(..), None) => Reading::IfUnread,
            #[cfg(feature = "tokio")]
            (Owner::Awaits(..), Some(since)) if now < since + INTERVAL_UNREAD => {
                Reading::From(since + INTERVAL_UNREAD)
            }
            _ => Reading::Now,
        }
    }

    /// Whether the watcher must be woken for what has changed. Asked once: it is woken then.
    pub(crate) fn wakes_watcher(&mut self) -> bool {
        if self.watcher.is_awake {
            return false;
        }
        let until = self.watcher.until;
        let is_before = |at: Instant| until.is_none_or(|until| at < until);
        // Where nothing is left to end, no event follows.
        let has_ended = self.state.is_ending() && self.state.is_over();
        let has_news = std::mem::take(&mut self.watcher.has_news);
        let is_wanted = self.watcher.is_wanted
            || has_ended
            || (has_news && self.state.next_time().is_some_and(is_before))
            || (self.has_waiters() && self.is_unread_before(until));
        if is_wanted {
            self.watcher.is_awake = true;
            self.watcher.is_wanted = false;
        }
        is_wanted
    }

    /// Whether others wait for workers to be free: calls, or the end of the pool.
    pub(crate) fn has_waiters(&self) -> bool {
        self.state.queued() > 0 || self.state.is_ending()
    }

    /// Whether a worker's answer may have to be read before this time.
    fn is_unread_before(&self, until: Option<Instant>) -> bool {
        let now = Instant::now();
        let next = now + INTERVAL_UNREAD;
        if until.is_some_and(|until| until <= next) {
            return false;
        }
        let ups = self.workers.values().filter_map(|live| match live {
            Live::Up(up) => Some(up),
            Live::Starting(_) => None,
        });
        ups.into_iter()
            .any(|up| !up.is_watched && self.reading(up, now) != Reading::Never)
    }

    /// Has somebody woken at the next change.
    pub(crate) fn wait(&mut self, wake: Wake) {
        if !self.waits.iter().any(|it| it.is_like(&wake)) {
            self.waits.push(wake);
        }
    }

    /// Something has changed that others may wait for.
    pub(crate) fn changed(&mut self) {
        for wake in self.waits.drain(..) {
            self.todo.wakes.push(wake);
        }
    }

    /// Takes a call out of the table, which its owner has no use for any more.
    pub(crate) fn forget(&mut self, call: CallId) {
        let Some(entry) = self.calls.remove(&call) else {
            return;
        };
        if entry.has_others() {
            self.todo.trash.push(Trash::Entry(Box::new(entry)));
        }
    }

    /// Notes what the owner of a call does. The waker of what it did before is dropped without
    /// the lock.
    pub(crate) fn set_owner(&mut self, call: CallId, owner: Owner) {
        let Some(entry) = self.calls.get_mut(&call) else {
            return;
        };
        if let Some(wake) = entry.owner.wake() {
            self.todo.trash.push(Trash::Wake(wake));
        }
        entry.owner = owner;
    }

    /// Keeps a request of which not all items were answered, for the owner of the call.
    pub(crate) fn keep_rest(&mut self, worker: WorkerId, rest: Option<Request>) {
        if rest.is_some()
            && let Some(call) = self.up(worker).and_then(|up| up.call)
            && let Some(entry) = self.calls.get_mut(&call)
        {
            entry.request = rest;
        }
    }

    /// A worker has answered a call, or is gone with all that it has: what it has printed is of
    /// them.
    pub(crate) fn end_output(&mut self, worker: WorkerId, call: Option<CallId>) {
        if let Some(up) = self.up(worker)
            && let Some(outputs) = &up.outputs
        {
            let homes = outputs.end_call(call.map(|call| call.0));
            self.todo.trash.push(Trash::Homes(homes));
        }
    }

    /// Puts a connection back that a thread has had.
    pub(crate) fn return_line(&mut self, worker: WorkerId, line: Box<Line>, wait: WaitFor) {
        match self.up(worker) {
            Some(up) => {
                up.line = Some(line);
                up.wait = wait;
            }
            None => self.todo.trash.push(Trash::Line(line)),
        }
    }
}

impl Todo {
    pub(crate) fn is_empty(&self) -> bool {
        self.sends.is_empty()
            && self.wakes.is_empty()
            && self.flushes.is_empty()
            && self.starts.is_empty()
            && self.trash.is_empty()
    }
}
