//! [`State`]: what a pool does next, as events in and actions out, without any I/O.
//! RUNS IN: caller
//!
//! The core calls [`State::handle`] under the pool's lock and carries out the actions. The
//! time comes with each event, so every interleaving can be tested without a process.
//!
//! Promises, which the tests check in every interleaving: each call ends exactly once; a call
//! that was entered is never given to a second worker; a kill is made only while the worker has
//! the call that the kill is for, and the worker gets no other afterwards; no worker has more
//! calls than `load` and `concurrency` allow; the sums of [`Stats`] add up after every event.

mod backoff;
mod closing;
mod ends;
pub(crate) mod event;
mod leases;
#[cfg(test)]
mod leases_tests;
mod places;
mod queue;
#[cfg(test)]
mod several_tests;
mod starts;
#[cfg(test)]
mod tests;
mod undoing;
mod views;
#[cfg(test)]
mod world;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crate::pool::limits::Limits;
use crate::pool::state::backoff::Starts;
use crate::pool::state::event::{Action, BaseId, CallId, End, Event, Reason, To, WorkerId};
use crate::pool::state::places::Places;
use crate::pool::stats::Stats;
use crate::pool::table::Table;

/// See the module.
pub(crate) struct State {
    limits: Limits,
    stats: Stats,
    /// The time of the event that is being handled.
    now: Instant,
    actions: Vec<Action>,

    /// The calls, and the leases that wait.
    calls: Table<CallId, Call>,
    /// Those that wait for any worker, by their place.
    queue: BTreeMap<i64, CallId>,
    /// The number of leases among them.
    waiting_leases: usize,
    /// The number of calls that wait for one worker.
    waiting_own: usize,
    workers: BTreeMap<WorkerId, Worker>,
    /// The last one is used next, so that the first one may leave.
    idle: Vec<WorkerId>,
    /// Deadlines of calls, ages of workers and the time to kill those that were asked to exit.
    timers: BTreeSet<(Instant, Timer)>,
    next_worker: u64,

    base: BaseId,
    /// A base whose first worker is being started.
    renewing: Option<(BaseId, WorkerId)>,
    next_base: u64,

    starts: Starts,
    phase: PoolPhase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PoolPhase {
    Open,
    /// The handles are gone.
    Left,
    /// Shut down; the rest has time until then.
    Closing(Instant),
    /// Everything was told to end.
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Call(CallId),
    Age(WorkerId),
    Kill(WorkerId),
    /// A worker has not undone a call.
    Undo(WorkerId, CallId),
}

struct Call {
    wants: Wants,
    /// It may run beside others.
    is_async: bool,
    is_detached: bool,
    made: Instant,
    /// When it began to run.
    sent: Option<Instant>,
    timeout: Option<Duration>,
    /// The time that is among the timers.
    deadline: Option<Instant>,
    at: At,
    resent: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Queue(i64),
    /// In the queue of this worker.
    Own(WorkerId),
    Worker(WorkerId),
}

/// What is wanted of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    /// To run a call.
    Call(To),
    /// The worker itself.
    Lease,
}

struct Worker {
    base: BaseId,
    phase: Phase,
    places: Places,
    /// It gets no call as long as it has any.
    is_closed: bool,
    calls: u64,
    /// The number of calls after which it retires.
    last: Option<u64>,
    made: Instant,
    ready: Option<Instant>,
    /// The time of [`Timer::Age`].
    age: Option<Instant>,
    /// The time of [`Timer::Kill`].
    kill: Option<Instant>,
    /// It takes no more calls, once it is free or ready.
    retires: bool,
    /// It is the replacement of this one.
    replaces: Option<WorkerId>,
    /// The lease that has it.
    lease: Option<CallId>,
    /// It is to be replaced when its lease ends.
    is_due: bool,
    /// It has been idle since then, and retires because of its age.
    idle_since: Option<Instant>,
    /// The calls that wait for it alone. None, as long as it has no call.
    own: VecDeque<CallId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Starting,
    Idle {
        since: Instant,
    },
    /// It has calls.
    Busy,
    /// Between two calls of its lease.
    Leased,
    /// Without a call, and waiting for its replacement.
    Retiring,
    /// Told to exit. Its calls end with it, if it has any.
    Leaving {
        reason: Reason,
    },
}

/// Maximum number of workers that may exit with a call before they have entered it.
const MAXIMUM_RESENT: u32 = 50;

impl State {
    pub(crate) fn new(limits: Limits, now: Instant, seed: u64) -> State {
        State {
            limits,
            stats: Stats::default(),
            now,
            actions: Vec::new(),
            calls: Table::default(),
            queue: BTreeMap::new(),
            waiting_leases: 0,
            waiting_own: 0,
            workers: BTreeMap::new(),
            idle: Vec::new(),
            timers: BTreeSet::new(),
            next_worker: 0,
            base: BaseId(0),
            renewing: None,
            next_base: 1,
            starts: Starts::new(seed),
            phase: PoolPhase::Open,
        }
    }

    /// Takes an event in, and appends what is to be done.
    pub(crate) fn handle(&mut self, now: Instant, event: Event, actions: &mut Vec<Action>) {
        self.now = self.now.max(now);
        match event {
            Event::Call {
                id,
                to,
                is_async,
                queue_timeout,
                timeout,
            } => self.on_call(id, (to, is_async), queue_timeout, timeout),
            Event::Lease { id, queue_timeout } => self.on_lease(id, queue_timeout),
            Event::Return(end) => self.on_return(end),
            Event::Detach(call) => self.on_detach(call),
            Event::QueueTimeout(call, limit) => self.on_queue_timeout(call, limit),
            Event::Timeout(call, limit) => self.on_timeout(call, limit),
            Event::Drop(call) => self.on_drop(call),
            Event::Ready(worker) => self.on_ready(worker),
            Event::StartFailed(worker, error) => self.on_start_failed(worker, error),
            Event::Answer {
                worker,
                call,
                answer,
                then,
            } => self.on_answer(worker, call, answer, then),
            Event::Died { worker, entered } => self.on_death(worker, &entered),
            Event::Unentered {
                worker,
                call,
                entered,
            } => self.on_unentered(worker, call, entered),
            Event::BadResult(worker) => self.retire_once_free(worker),
            Event::Prepare => self.on_prepare(),
            Event::NewRights(worker) => self.on_new_rights(worker),
            Event::Tick => {}
            Event::Renew => self.on_renew(),
            Event::SetMax(max) => self.on_max(max),
            Event::Shutdown(grace) => self.on_shutdown(grace),
            Event::LastHandle => self.on_last_handle(),
        }
        self.on_time();
        self.dispatch();
        self.trim();
        self.stats.max_queued = self.stats.max_queued.max(self.queued_calls());
        actions.append(&mut self.actions);
    }

    /// The time of the latest event.
    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// The time at which a [`Event::Tick`] is needed, if nothing happens before.
    pub(crate) fn next_time(&self) -> Option<Instant> {
        let timer = self.timers.first().map(|(at, _)| *at);
        let closing = match self.phase {
            PoolPhase::Closing(at) => Some(at),
            _ => None,
        };
        let times = [timer, closing, self.next_stop(), self.next_start()];
        times.into_iter().flatten().min()
    }

    fn on_timeout(&mut self, id: CallId, limit: Duration) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.timeout = Some(limit);
        let (sent, at) = (call.sent, call.at);
        if let Some(sent) = sent
            && matches!(at, At::Worker(_))
            && !self.is_doomed(id)
        {
            self.set_deadline(id, sent.checked_add(limit));
        }
    }

    fn set_deadline(&mut self, id: CallId, at: Option<Instant>) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if let Some(before) = call.deadline {
            self.timers.remove(&(before, Timer::Call(id)));
        }
        call.deadline = at;
        self.timers.extend(at.map(|at| (at, Timer::Call(id))));
    }

    /// Whether the worker of the call was told to exit, or to drop the call.
    fn is_doomed(&mut self, id: CallId) -> bool {
        let worker = self.worker_of(id).and_then(|it| self.workers.get_mut(&it));
        worker.is_some_and(|it| {
            let place = it.places.get_mut(id);
            let is_undone = place.is_some_and(|place| place.undoing.is_some());
            is_undone || matches!(it.phase, Phase::Leaving { .. })
        })
    }

    fn assign(&mut self, id: CallId, to: WorkerId) {
        let (Some(call), Some(worker)) = (self.calls.get_mut(&id), self.workers.get_mut(&to))
        else {
            return;
        };
        call.at = At::Worker(to);
        worker.phase = Phase::Busy;
        worker.places.push(id, call.is_async);
        worker.calls += 1;
        let is_last = worker.has_served_enough() && worker.lease.is_none();
        let is_ahead = !self.run_next(to, false);
        self.actions.push(Action::Send {
            worker: to,
            call: id,
            is_ahead,
        });
        self.stats.max_busy = self.stats.max_busy.max(self.busy() as u64);
        if is_last {
            self.retire(to);
        }
    }

    /// Notes which of a worker's calls run now that did not. Whether any does. `are_ahead`: they
    /// were sent before.
    fn run_next(&mut self, worker: WorkerId, are_ahead: bool) -> bool {
        let at_once = self.limits.concurrency;
        let mut any = false;
        while let Some(it) = self.workers.get_mut(&worker)
            && let Some(place) = it.places.run_next(at_once)
        {
            any = true;
            let (id, is_undone) = (place.call, place.undoing.is_some());
            match is_undone {
                true => self.limit_undoing(id, worker),
                false => self.run(id),
            }
            if are_ahead {
                self.actions.push(Action::Run { call: id });
            }
        }
        any
    }

    /// A worker has the call, and no other before it.
    fn run(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.sent = Some(self.now);
        let waited = self.now.saturating_duration_since(call.made);
        self.stats.waited += waited;
        self.stats.max_waited = self.stats.max_waited.max(waited);
        let deadline = call.timeout.and_then(|limit| self.now.checked_add(limit));
        self.set_deadline(id, deadline);
    }

    /// The number of workers that have a call.
    fn busy(&self) -> usize {
        let is_busy = |it: &&Worker| it.phase == Phase::Busy;
        self.workers.values().filter(is_busy).count()
    }

    /// Takes a call, or a lease that waits, out: it ends now.
    fn end(&mut self, id: CallId, end: End) {
        self.leave_queue(id);
        let Some(call) = self.calls.remove(&id) else {
            return;
        };
        if let Some(deadline) = call.deadline {
            self.timers.remove(&(deadline, Timer::Call(id)));
        }
        if let (At::Worker(_), Some(sent)) = (call.at, call.sent) {
            self.stats.ran += self.now.saturating_duration_since(sent);
        }
        self.actions.push(Action::End { call: id, end });
    }
}

impl Worker {
    fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::Leaving { .. })
    }

    /// Whether it has had all the calls after which it retires.
    fn has_served_enough(&self) -> bool {
        self.last.is_some_and(|last| self.calls >= last)
    }
}
