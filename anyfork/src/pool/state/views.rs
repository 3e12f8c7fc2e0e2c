//! What others may know of a pool's state.
//! RUNS IN: caller

use std::time::{Duration, Instant};

use crate::error::Error;
use crate::pool::state::event::{BaseId, CallId, View, WorkerId};
use crate::pool::state::{At, Phase, PoolPhase, State, Timer, Worker};
use crate::pool::stats::Stats;

impl State {
    /// The sums and the present numbers, which are read together.
    pub(crate) fn stats(&self) -> Stats {
        let count = |is: fn(&Worker) -> bool| self.workers.values().filter(|it| is(it)).count();
        Stats {
            workers: count(|it| it.ready.is_some()) as u64,
            starting: count(|it| it.phase == Phase::Starting) as u64,
            idle: self.idle.len() as u64,
            busy: (self.calls.len() - self.queued()) as u64,
            leased: count(|it| it.lease.is_some()) as u64,
            queued: self.queued_calls(),
            ..self.stats.clone()
        }
    }

    pub(crate) fn workers(&self) -> impl Iterator<Item = View> + '_ {
        self.workers.iter().map(|(id, worker)| View {
            id: *id,
            call: self.calls_of(*id).next(),
            has_calls: !worker.places.is_empty(),
            is_ready: worker.ready.is_some(),
            is_leaving: worker.is_leaving(),
            is_leased: worker.lease.is_some(),
            calls: worker.calls,
            made: worker.made,
        })
    }

    /// The calls of a worker that somebody waits for, in the order in which it has got them.
    pub(super) fn calls_of(&self, worker: WorkerId) -> impl Iterator<Item = CallId> + '_ {
        let worker = self.workers.get(&worker);
        let places = worker.into_iter().flat_map(|it| it.places.iter());
        let calls = places.map(|place| place.call);
        calls.filter(|call| self.calls.contains_key(call))
    }

    /// The worker that has the call.
    pub(crate) fn worker_of(&self, call: CallId) -> Option<WorkerId> {
        match self.calls.get(&call)?.at {
            At::Worker(worker) => Some(worker),
            At::Queue(_) | At::Own(_) => None,
        }
    }

    /// The number of the base that the next renewal brings.
    pub(crate) fn next_base(&self) -> BaseId {
        BaseId(self.next_base)
    }

    /// The earliest time that anything which begins now may bring, beside a call's limits.
    pub(crate) fn horizon(&self) -> Option<Instant> {
        // A worker that is busy now may be idle soon, and then has to leave.
        const SHORTEST: Duration = Duration::from_millis(10);
        let stop = self.limits.stop.max(SHORTEST);
        let at = self.now.checked_add(stop);
        at.filter(|_| !self.workers.is_empty())
    }

    /// The number of workers at most.
    pub(crate) fn max(&self) -> usize {
        self.limits.max
    }

    /// The number of calls and leases that wait for a worker.
    pub(crate) fn queued(&self) -> usize {
        self.queue.len() + self.waiting_own
    }

    /// The number of calls that wait for a worker.
    pub(super) fn queued_calls(&self) -> u64 {
        (self.queued() - self.waiting_leases) as u64
    }

    /// Whether no call can come any more: the pool was shut down, or its handles are gone.
    pub(crate) fn is_ending(&self) -> bool {
        self.phase != PoolPhase::Open
    }

    /// Whether every worker was collected and no call is left.
    pub(crate) fn is_over(&self) -> bool {
        self.workers.is_empty() && self.calls.is_empty()
    }

    /// Whether new calls are refused for ever.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.phase, PoolPhase::Closing(_) | PoolPhase::Closed)
    }

    /// Whether a call would find a worker, or one could be started for it now.
    pub(crate) fn has_room(&self) -> bool {
        let is_free = !self.idle.is_empty()
            || self.slots() < self.limits.max
            || (self.limits.concurrency > 1 && self.least_loaded(true).is_some());
        self.phase == PoolPhase::Open && self.queue.is_empty() && is_free && self.may_start()
    }

    /// Whether as many workers wait as should, and one at least has been started.
    pub(crate) fn is_prepared(&self) -> bool {
        let is_live = |it: &&Worker| it.ready.is_some() && !it.is_leaving();
        let live = self.workers.values().filter(is_live).count();
        let wanted = self.limits.idle.min(self.limits.max);
        live >= self.limits.max || (live > 0 && self.idle.len() >= wanted)
    }

    /// Whether one worker is enough, and one has been started since so many were: it may have
    /// left again.
    pub(crate) fn was_prepared(&self, started: u64) -> bool {
        self.limits.idle == 0 && self.stats.started > started
    }

    /// The number of workers that were started and became ready.
    pub(crate) fn started(&self) -> u64 {
        self.stats.started
    }

    /// Why the last start failed, if none has succeeded since and none is under way.
    pub(crate) fn start_error(&self) -> Option<Error> {
        self.starts.error().filter(|_| self.starting() == 0)
    }

    /// The calls that a worker has and whose time is over.
    pub(crate) fn late(&self, now: Instant) -> impl Iterator<Item = CallId> + '_ {
        let due = self.timers.iter().take_while(move |(at, _)| *at <= now);
        due.filter_map(|(_, timer)| match timer {
            Timer::Call(call) => self.worker_of(*call).map(|_| *call),
            _ => None,
        })
    }
}
