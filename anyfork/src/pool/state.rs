//! [`State`]: what a pool does next, as events in and actions out, without any I/O.
//! RUNS IN: caller
//!
//! The core calls [`State::handle`] under the pool's lock and carries out the actions. The
//! time comes with each event, so every interleaving can be tested without a process.
//!
//! Promises, which the tests check in every interleaving: each call ends exactly once; a call
//! that was entered is never given to a second worker; a kill is made only while the worker has
//! the call that the kill is for, and the worker gets no other afterwards; the sums of
//! [`Stats`] add up after every event.

mod backoff;
mod ends;
pub(crate) mod event;
mod starts;
#[cfg(test)]
mod tests;
mod views;
#[cfg(test)]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::pool::limits::Limits;
use crate::pool::state::backoff::Starts;
use crate::pool::state::event::{Action, BaseId, CallId, End, Event, Reason, WorkerId};
use crate::pool::stats::Stats;
use crate::pool::table::Table;

/// See the module.
pub(crate) struct State {
    limits: Limits,
    stats: Stats,
    /// The time of the event that is being handled.
    now: Instant,
    actions: Vec<Action>,

    calls: Table<CallId, Call>,
    /// The calls that wait, by their place.
    queue: BTreeMap<i64, CallId>,
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
}

struct Call {
    made: Instant,
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
    Worker(WorkerId),
}

struct Worker {
    base: BaseId,
    phase: Phase,
    calls: u64,
    /// The number of calls after which it retires.
    last: Option<u64>,
    made: Instant,
    ready: Option<Instant>,
    /// The time of [`Timer::Age`].
    age: Option<Instant>,
    /// The time of [`Timer::Kill`].
    kill: Option<Instant>,
    /// It takes no more calls, once it is free.
    retires: bool,
    /// It is the replacement of this one.
    replaces: Option<WorkerId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Starting,
    Idle {
        since: Instant,
    },
    Busy(CallId),
    /// Without a call, and waiting for its replacement.
    Retiring,
    /// Told to exit. Its call ends with it, if it has one.
    Leaving {
        reason: Reason,
        call: Option<CallId>,
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
                queue_timeout,
                timeout,
            } => self.on_call(id, queue_timeout, timeout),
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
            Event::Died { worker, entered } => self.on_death(worker, entered),
            Event::Prepare => self.on_prepare(),
            Event::NewRights => self.on_new_rights(),
            Event::Tick => {}
            Event::Renew => self.on_renew(),
            Event::SetMax(max) => self.on_max(max),
            Event::Shutdown(grace) => self.on_shutdown(grace),
            Event::LastHandle => self.on_last_handle(),
        }
        self.on_time();
        self.dispatch();
        self.trim();
        self.stats.max_queued = self.stats.max_queued.max(self.queue.len() as u64);
        actions.append(&mut self.actions);
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

    fn on_call(&mut self, id: CallId, queue_timeout: Option<Duration>, timeout: Option<Duration>) {
        self.stats.calls += 1;
        let refused = if self.is_closed() {
            Some(End::Closed { was_sent: false })
        } else if let Some(error) = self.refuses_for_now() {
            Some(End::NoWorker(error))
        } else if self.is_full() {
            Some(End::Full)
        } else {
            None
        };
        if let Some(end) = refused {
            self.stats.refused += 1;
            self.actions.push(Action::End { call: id, end });
            return;
        }
        let place = self.queue.last_key_value().map_or(0, |(last, _)| last + 1);
        let is_free = self.queue.is_empty() && self.busy() < self.limits.max;
        let worker = self.idle.pop_if(|_| is_free);
        if worker.is_none() {
            self.queue.insert(place, id);
        }
        self.calls.insert(
            id,
            Call {
                made: self.now,
                sent: None,
                timeout,
                deadline: None,
                at: At::Queue(place),
                resent: 0,
            },
        );
        match (worker, queue_timeout) {
            (Some(worker), _) => self.assign(id, worker),
            (None, Some(limit)) => self.on_queue_timeout(id, limit),
            (None, None) => {}
        }
    }

    /// Whether the call would have to wait, and too many do.
    fn is_full(&self) -> bool {
        let Some(limit) = self.limits.queue else {
            return false;
        };
        // A call that a worker is free for, or that one can be started for, does not wait
        // behind others.
        let free = match self.busy() < self.limits.max {
            true => {
                self.idle.len() + self.limits.max.saturating_sub(self.slots()) + self.starting()
            }
            false => 0,
        };
        self.queue.len() >= limit.saturating_add(free)
    }

    fn on_queue_timeout(&mut self, id: CallId, limit: Duration) {
        if let Some(call) = self.calls.get(&id)
            && matches!(call.at, At::Queue(_))
        {
            let at = call.made.checked_add(limit);
            self.set_deadline(id, at);
        }
    }

    fn on_timeout(&mut self, id: CallId, limit: Duration) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.timeout = Some(limit);
        if let Some(sent) = call.sent
            && matches!(call.at, At::Worker(_))
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

    /// Whether the worker of the call was told to exit.
    fn is_doomed(&self, id: CallId) -> bool {
        let worker = self.worker_of(id).and_then(|it| self.workers.get(&it));
        worker.is_some_and(|it| matches!(it.phase, Phase::Leaving { .. }))
    }

    /// Gives the calls that wait to the workers that are free, and starts more.
    fn dispatch(&mut self) {
        while let Some((_, &call)) = self.queue.first_key_value()
            && self.busy() < self.limits.max
            && let Some(worker) = self.idle.pop()
        {
            self.assign(call, worker);
        }
        self.start_more();
    }

    fn assign(&mut self, id: CallId, to: WorkerId) {
        let (Some(call), Some(worker)) = (self.calls.get_mut(&id), self.workers.get_mut(&to))
        else {
            return;
        };
        if let At::Queue(place) = call.at {
            self.queue.remove(&place);
        }
        call.at = At::Worker(to);
        call.sent = Some(self.now);
        let waited = self.now.saturating_duration_since(call.made);
        self.stats.waited += waited;
        self.stats.max_waited = self.stats.max_waited.max(waited);
        worker.phase = Phase::Busy(id);
        worker.calls += 1;
        let is_last = worker.last.is_some_and(|last| worker.calls >= last);
        let deadline = call.timeout.and_then(|limit| self.now.checked_add(limit));
        self.set_deadline(id, deadline);
        self.actions.push(Action::Send {
            worker: to,
            call: id,
        });
        self.stats.max_busy = self.stats.max_busy.max(self.busy() as u64);
        if is_last {
            self.retire(to);
        }
    }

    /// The number of workers that have a call.
    fn busy(&self) -> usize {
        let is_busy = |it: &&Worker| matches!(it.phase, Phase::Busy(_));
        self.workers.values().filter(is_busy).count()
    }

    /// Takes a call out, which ends now.
    fn end(&mut self, id: CallId, end: End) {
        let Some(call) = self.calls.remove(&id) else {
            return;
        };
        if let At::Queue(place) = call.at {
            self.queue.remove(&place);
        }
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
    fn call(&self) -> Option<CallId> {
        match self.phase {
            Phase::Busy(call) => Some(call),
            Phase::Leaving { call, .. } => call,
            _ => None,
        }
    }
}
