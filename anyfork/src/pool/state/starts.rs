//! Starting workers: for calls that wait, for the floor, and in place of others.
//! RUNS IN: caller

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};
use crate::pool::state::event::{Action, BaseId, CallId, End, Reason, WorkerId};
use crate::pool::state::places::Places;
use crate::pool::state::{At, Phase, PoolPhase, State, Timer, Worker};

/// Minimum age at which a worker retires: it is not to leave at the moment when it is ready.
const MINIMUM_AGE: Duration = Duration::from_millis(1);

impl State {
    /// The number of workers that count: all but those that leave.
    pub(super) fn slots(&self) -> usize {
        self.workers.values().filter(|it| it.counts()).count()
    }

    /// The number of workers that are too many. Those of another base are not: either they
    /// leave after their present call, or one is the first of a renewal.
    pub(super) fn surplus(&self) -> usize {
        let counts = |it: &&Worker| it.base == self.base && it.counts();
        let workers = self.workers.values().filter(counts).count();
        workers.saturating_sub(self.limits.max)
    }

    /// The number of workers that are being started, and will serve.
    pub(super) fn starting(&self) -> usize {
        let is_starting = |it: &&Worker| it.phase == Phase::Starting && !it.retires;
        self.workers.values().filter(is_starting).count()
    }

    /// Whether a worker is there that may be free one day, or is being started.
    fn has_hope(&self) -> bool {
        let hopes = |it: &Worker| !matches!(it.phase, Phase::Leaving { .. });
        self.workers.values().any(hopes)
    }

    /// Whether the back-off is over.
    pub(super) fn may_start(&self) -> bool {
        self.starts.retry.is_none_or(|at| self.now >= at)
    }

    /// Why a call that comes now gets no worker.
    pub(super) fn refuses_for_now(&self) -> Option<Error> {
        match self.may_start() || self.has_hope() {
            true => None,
            false => self.starts.error(),
        }
    }

    /// Starts what calls wait for, and the floor.
    pub(super) fn start_more(&mut self) {
        let free = |it: &State| it.slots() < it.limits.max && it.may_start();
        // What costs nothing to see comes first: most events start no worker.
        while !self.queue.is_empty()
            && self.starting() < self.queue.len()
            && free(self)
            && self.is_after_interval()
        {
            self.starts.last = Some(self.now);
            self.start(None);
        }
        let may_refill = self.starts.refill.is_none_or(|at| self.now >= at);
        let floor = self.floor();
        while self.phase == PoolPhase::Open
            && may_refill
            && self.idle.len() < floor
            && self.idle.len() + self.starting() < floor
            && free(self)
        {
            self.start(None);
        }
    }

    /// The number of workers that are to be idle, or to be started. As long as calls wait for
    /// the end of an interval, workers of the floor would serve them, and there would be no
    /// interval.
    fn floor(&self) -> usize {
        match self.queue.len() {
            0 => self.limits.idle,
            calls if self.limits.start.is_zero() => calls.saturating_add(self.limits.idle),
            _ => 0,
        }
    }

    /// Whether a start for a call that waits may be made. Nothing else than a start helps a
    /// call if no worker is left.
    fn is_after_interval(&self) -> bool {
        let after = |last: Instant| self.now.saturating_duration_since(last) >= self.limits.start;
        self.starts.last.is_none_or(after) || !self.has_hope()
    }

    /// The time at which a start may be made that is not made now.
    pub(super) fn next_start(&self) -> Option<Instant> {
        let later = |at: &Instant| *at > self.now;
        let interval = self.starts.last;
        let interval = interval.and_then(|it| it.checked_add(self.limits.start));
        let (retry, refill) = (self.starts.retry, self.starts.refill);
        let waits =
            |_: &Instant| self.starting() < self.queue.len() && self.slots() < self.limits.max;
        let lacks = |_: &Instant| {
            self.phase == PoolPhase::Open
                && self.slots() < self.limits.max
                && self.idle.len() + self.starting() < self.floor()
        };
        // Most often there is no such time, and nothing is counted.
        let for_calls = retry.max(interval).filter(later).filter(waits);
        let for_floor = retry.max(refill).filter(later).filter(lacks);
        [for_calls, for_floor].into_iter().flatten().min()
    }

    /// Starts a worker if there is none: so its template and its init are tried.
    pub(super) fn on_prepare(&mut self) {
        let may = self.phase == PoolPhase::Open && self.may_start();
        if may && !self.has_hope() {
            self.start(None);
        }
    }

    fn start(&mut self, replaces: Option<WorkerId>) -> WorkerId {
        self.start_of(self.base, replaces)
    }

    fn start_of(&mut self, base: BaseId, replaces: Option<WorkerId>) -> WorkerId {
        let id = WorkerId(self.next_worker);
        self.next_worker += 1;
        let last = self.limits.retire_after.map(|after| {
            let about = (after as f64 * self.starts.about()).round() as u64;
            about.max(1)
        });
        let worker = Worker {
            base,
            phase: Phase::Starting,
            places: Places::default(),
            is_closed: false,
            calls: 0,
            last,
            made: self.now,
            ready: None,
            age: None,
            kill: None,
            retires: false,
            replaces,
            lease: None,
            is_due: false,
            idle_since: None,
            own: VecDeque::new(),
        };
        self.workers.insert(id, worker);
        self.actions.push(Action::Start { worker: id, base });
        id
    }

    /// Starts one in place of a worker that is lost, so that the next call finds it.
    pub(super) fn replace_lost(&mut self) {
        let is_lacking = self.idle.is_empty() && self.starting() <= self.queue.len();
        let may = self.slots() < self.limits.max && self.may_start();
        if self.phase == PoolPhase::Open && is_lacking && may {
            self.start(None);
        }
    }

    /// A worker takes no more calls; another one is started, and it leaves once that is ready.
    pub(super) fn retire(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        if worker.retires {
            return;
        }
        worker.retires = true;
        self.stats.retired += 1;
        let may = self.slots() < self.limits.max && self.may_start();
        if self.phase == PoolPhase::Open && may && self.starting() <= self.queue.len() {
            self.start(Some(id));
        }
    }

    /// Whether the worker's replacement is being started.
    pub(super) fn awaits_replacement(&self, id: WorkerId) -> bool {
        let is_it = |it: &Worker| it.replaces == Some(id) && it.phase == Phase::Starting;
        self.workers.values().any(is_it)
    }

    pub(super) fn on_ready(&mut self, id: WorkerId) {
        let now = self.now;
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        worker.ready = Some(now);
        self.stats.started += 1;
        self.starts.succeeded();
        if worker.phase != Phase::Starting {
            return;
        }
        let replaces = worker.replaces.take();
        if let Some(limit) = self.limits.retire_age {
            let age = self.starts.about_as_long_as(limit.max(MINIMUM_AGE));
            worker.age = age.and_then(|age| now.checked_add(age));
            self.timers
                .extend(worker.age.map(|at| (at, Timer::Age(id))));
        }
        // Only calls keep the pool from shrinking, and not one replacement after the other.
        let replaced = replaces.and_then(|it| self.workers.get(&it));
        let since = replaced.and_then(|it| it.idle_since).unwrap_or(now);
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.phase = Phase::Idle { since };
        }
        self.idle.push(id);
        if let Some((base, first)) = self.renewing
            && first == id
        {
            self.renewing = None;
            self.base = base;
            self.actions.push(Action::Renewed(base, Ok(())));
        }
        let is_old = self.workers[&id].base != self.base && self.renewing.is_none();
        if is_old {
            self.close(id, Reason::Renewed);
        } else if self.workers[&id].retires {
            self.close(id, Reason::Retired);
        }
        self.leave_replaced(replaces);
    }

    fn leave_replaced(&mut self, replaced: Option<WorkerId>) {
        if let Some(old) = replaced
            && self
                .workers
                .get(&old)
                .is_some_and(|it| it.phase == Phase::Retiring)
        {
            self.close(old, Reason::Retired);
        }
    }

    pub(super) fn on_start_failed(&mut self, id: WorkerId, error: Error) {
        let Some(worker) = self.workers.remove(&id) else {
            return;
        };
        self.stats.start_failures += 1;
        let is_renewal = self.renewing.filter(|(_, first)| *first == id);
        if let Some((base, _)) = is_renewal {
            self.renewing = None;
            self.actions.push(Action::Renewed(base, Err(error.clone())));
        }
        if let Phase::Leaving { reason } = worker.phase {
            self.left(id, reason, worker.calls);
            return;
        }
        if is_renewal.is_some() {
            return;
        }
        self.starts.failed(self.now, error.clone());
        self.leave_replaced(worker.replaces);
        if is_lasting(error.kind()) || !self.has_hope() {
            self.fail_queue(&error);
        }
    }

    fn fail_queue(&mut self, error: &Error) {
        self.refuse_leases(&End::NoWorker(error.clone()));
        let waiting: Vec<CallId> = self.queue.values().copied().collect();
        for call in waiting {
            self.stats.refused += 1;
            self.end(call, End::NoWorker(error.clone()));
        }
    }

    pub(super) fn on_renew(&mut self) {
        let base = BaseId(self.next_base);
        self.next_base += 1;
        if let Some((before, first)) = self.renewing.take() {
            // The later one counts: the first worker of the other one leaves when it is ready.
            let message = "`renew` was called again before the first worker was ready";
            let error = Error::new(ErrorKind::Closed, message);
            self.actions.push(Action::Renewed(before, Err(error)));
            self.kill(first, Reason::Renewed);
        }
        if self.is_closed() {
            let error = Error::new(ErrorKind::Closed, "renew: the pool was shut down");
            self.actions.push(Action::Renewed(base, Err(error)));
            return;
        }
        let first = self.start_of(base, None);
        self.renewing = Some((base, first));
    }

    /// A call whose worker exited before it entered the call waits again, before all others.
    pub(super) fn requeue(&mut self, id: CallId) {
        let place = self
            .queue
            .first_key_value()
            .map_or(0, |(first, _)| first - 1);
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.at = At::Queue(place);
        call.sent = None;
        call.resent += 1;
        self.stats.resent += 1;
        self.queue.insert(place, id);
        self.set_deadline(id, None);
    }
}

impl Worker {
    fn counts(&self) -> bool {
        match self.phase {
            Phase::Idle { .. } | Phase::Leased => true,
            Phase::Starting => !self.retires,
            Phase::Busy => !self.retires || self.lease.is_some(),
            Phase::Retiring | Phase::Leaving { .. } => false,
        }
    }
}

/// Whether the next start would fail, too: waiting for a worker that lives is of no use.
fn is_lasting(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::InitFailed
            | ErrorKind::PluginFailed
            | ErrorKind::UnknownWorker
            | ErrorKind::AmbiguousName
            | ErrorKind::BadArgument
    )
}
