//! Endings: of calls by an answer, a drop or a deadline, and of workers and the pool.
//! RUNS IN: caller

use std::time::{Duration, Instant};

use crate::pool::state::event::{Action, Answer, CallId, End, Entered, Reason};
use crate::pool::state::event::{Then, To, WorkerId};
use crate::pool::state::{At, MAXIMUM_RESENT, Phase, PoolPhase, State, Timer, Wants, Worker};

/// Interval after which a worker that exits idle was a good one.
const INTERVAL_YOUNG: Duration = Duration::from_secs(1);

/// Timeout for a worker without a call to exit by itself.
const TIMEOUT_EXIT: Duration = Duration::from_secs(5);

impl State {
    pub(super) fn on_answer(&mut self, id: WorkerId, call: CallId, answer: Answer, then: Then) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        if worker.call() != Some(call) {
            return;
        }
        match &mut worker.phase {
            // The call is not the worker's any more: no kill is for it.
            Phase::Leaving { call, .. } => *call = None,
            phase => *phase = Phase::Retiring,
        }
        let is_leaving = matches!(worker.phase, Phase::Leaving { .. });
        match answer {
            Answer::Returned => self.stats.returned += 1,
            Answer::Panicked => self.stats.panicked += 1,
            Answer::Other => self.stats.other += 1,
        }
        self.starts.served();
        self.end(call, End::Answered);
        if is_leaving {
            return;
        }
        match then {
            Then::Kill => {
                self.kill(id, Reason::Nonsense);
                self.replace_lost();
            }
            Then::Leave => {
                self.abandon(id, Reason::Retired);
                self.retire(id);
                self.on_free(id);
            }
            Then::Retire => {
                self.retire_when_returned(id);
                self.on_free(id);
            }
            Then::Stay => self.on_free(id),
        }
    }

    /// A worker has no call any more.
    pub(super) fn on_free(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        if let Some(&next) = worker.own.front() {
            self.give(next, id);
        } else if worker.lease.is_some() {
            worker.phase = Phase::Leased;
        } else if worker.base != self.base {
            self.close(id, Reason::Renewed);
        } else if worker.retires {
            if !self.awaits_replacement(id) {
                self.close(id, Reason::Retired);
            }
        } else {
            worker.phase = Phase::Idle { since: self.now };
            self.idle.push(id);
        }
    }

    pub(super) fn on_drop(&mut self, id: CallId) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        let (at, is_call) = (call.at, call.wants != Wants::Lease);
        self.stats.cancelled += u64::from(is_call);
        self.end(id, End::Cancelled);
        let At::Worker(worker) = at else {
            return;
        };
        self.kill_without_call(worker, Reason::Cancelled);
    }

    /// Kills a worker whose call has ended.
    pub(super) fn kill_without_call(&mut self, id: WorkerId, reason: Reason) {
        self.kill(id, reason);
        if let Some(Phase::Leaving { call, .. }) = self.workers.get_mut(&id).map(|it| &mut it.phase)
        {
            *call = None;
        }
        self.replace_lost();
    }

    /// What is due at this time.
    pub(super) fn on_time(&mut self) {
        while let Some((at, timer)) = self.timers.first().copied()
            && at <= self.now
        {
            self.timers.remove(&(at, timer));
            match timer {
                Timer::Call(call) => self.on_deadline(call),
                Timer::Age(worker) => self.on_age(worker),
                Timer::Kill(worker) => {
                    if let Some(worker) = self.workers.get_mut(&worker) {
                        worker.kill = None;
                    }
                    self.actions.push(Action::Kill { worker });
                }
            }
        }
        if let PoolPhase::Closing(at) = self.phase
            && at <= self.now
        {
            self.end_all();
        }
    }

    fn on_deadline(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.deadline = None;
        match call.at {
            At::Queue(_) | At::Own(_) => {
                self.stats.timed_out += u64::from(call.wants != Wants::Lease);
                self.end(id, End::TimedOutInQueue);
            }
            At::Worker(worker) => {
                self.kill(worker, Reason::TimedOut);
                self.replace_lost();
            }
        }
    }

    fn on_age(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        worker.age = None;
        match worker.phase {
            Phase::Idle { .. } => {
                worker.phase = Phase::Retiring;
                self.idle.retain(|it| *it != id);
                self.retire(id);
                self.on_free(id);
            }
            Phase::Busy(_) | Phase::Leased => self.retire_when_returned(id),
            _ => {}
        }
    }

    /// Kills a worker. It has the call that this is for, or none.
    pub(super) fn kill(&mut self, id: WorkerId, reason: Reason) {
        let (now, grace) = (self.now, self.limits.grace);
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        if let Phase::Leaving { .. } = worker.phase {
            return;
        }
        self.abandon(id, reason);
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        let (call, is_starting) = (worker.call(), worker.phase == Phase::Starting);
        worker.phase = Phase::Leaving { reason, call };
        self.idle.retain(|it| *it != id);
        let deadline = match grace.is_zero() || is_starting {
            true => None,
            false => now.checked_add(grace),
        };
        worker.kill = deadline;
        match deadline {
            Some(at) => {
                self.timers.insert((at, Timer::Kill(id)));
                self.actions.push(Action::Terminate { worker: id });
            }
            None => self.actions.push(Action::Kill { worker: id }),
        }
    }

    /// Lets a worker that has no call exit.
    pub(super) fn close(&mut self, id: WorkerId, reason: Reason) {
        self.abandon(id, reason);
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        worker.phase = Phase::Leaving { reason, call: None };
        let at = self.now + TIMEOUT_EXIT;
        worker.kill = Some(at);
        self.timers.insert((at, Timer::Kill(id)));
        self.idle.retain(|it| *it != id);
        self.actions.push(Action::Close { worker: id });
    }

    pub(super) fn on_death(&mut self, id: WorkerId, entered: Entered) {
        self.abandon(id, Reason::Died);
        let Some(worker) = self.workers.remove(&id) else {
            return;
        };
        self.idle.retain(|it| *it != id);
        if let Some(age) = worker.age {
            self.timers.remove(&(age, Timer::Age(id)));
        }
        if let Some(kill) = worker.kill {
            self.timers.remove(&(kill, Timer::Kill(id)));
        }
        let reason = match worker.phase {
            Phase::Leaving { reason, .. } => reason,
            _ => Reason::Died,
        };
        if let Some(call) = worker.call() {
            self.end_with_worker(call, id, reason, entered);
        }
        match worker.phase {
            Phase::Idle { .. } | Phase::Leased if worker.calls == 0 && self.is_young(&worker) => {
                self.starts.died_early(self.now);
            }
            Phase::Busy(_) => self.replace_lost(),
            _ => {}
        }
        self.left(id, reason, worker.calls);
    }

    fn is_young(&self, worker: &Worker) -> bool {
        let ready = worker.ready.unwrap_or(self.now);
        self.now.saturating_duration_since(ready) < INTERVAL_YOUNG
    }

    fn end_with_worker(&mut self, call: CallId, id: WorkerId, reason: Reason, entered: Entered) {
        let end = match reason {
            Reason::TimedOut => End::TimedOut(id),
            Reason::ShutDown => End::Closed {
                was_sent: entered == Entered::Yes,
            },
            Reason::Cancelled => End::Cancelled,
            _ if entered == Entered::Yes => End::Died(id),
            _ if entered == Entered::No && self.may_resend(call) => {
                self.requeue(call);
                return;
            }
            _ => End::NeverEntered(id),
        };
        match end {
            End::TimedOut(_) => self.stats.timed_out += 1,
            End::Closed { .. } | End::Cancelled => self.stats.cancelled += 1,
            _ => self.stats.died += 1,
        }
        self.end(call, end);
    }

    fn may_resend(&self, call: CallId) -> bool {
        let call = self.calls.get(&call);
        call.is_some_and(|it| it.wants == Wants::Call(To::Any) && it.resent < MAXIMUM_RESENT)
    }

    pub(super) fn left(&mut self, worker: WorkerId, reason: Reason, calls: u64) {
        self.actions.push(Action::Left {
            worker,
            reason,
            calls,
        });
    }

    /// Workers that are idle for too long, or too many, or not needed any more.
    pub(super) fn trim(&mut self) {
        while let Some(&first) = self.idle.first() {
            let reason = if self.phase != PoolPhase::Open && self.queue.is_empty() {
                Reason::ShutDown
            } else if self.workers[&first].base != self.base {
                Reason::Renewed
            } else if self.slots() > self.limits.max
                || self.stop_of(first).is_some_and(|it| it <= self.now)
            {
                Reason::Idle
            } else {
                break;
            };
            self.close(first, reason);
        }
        if self.phase == PoolPhase::Open {
            return;
        }
        if self.is_closed() {
            self.close_leased();
        }
        if self.queue.is_empty() {
            let starting = |it: &(&WorkerId, &Worker)| it.1.phase == Phase::Starting;
            let starting = self.workers.iter().filter(starting).map(|(id, _)| *id);
            for id in starting.collect::<Vec<_>>() {
                self.kill(id, Reason::ShutDown);
            }
            let retiring = |it: &(&WorkerId, &Worker)| it.1.phase == Phase::Retiring;
            let retiring = self.workers.iter().filter(retiring).map(|(id, _)| *id);
            for id in retiring.collect::<Vec<_>>() {
                self.close(id, Reason::ShutDown);
            }
        }
    }

    /// The time at which the longest idle worker leaves.
    pub(super) fn next_stop(&self) -> Option<Instant> {
        self.stop_of(*self.idle.first()?)
    }

    fn stop_of(&self, id: WorkerId) -> Option<Instant> {
        match self.workers.get(&id)?.phase {
            Phase::Idle { since } if self.idle.len() > self.limits.idle => {
                since.checked_add(self.limits.stop)
            }
            _ => None,
        }
    }

    pub(super) fn on_max(&mut self, max: usize) {
        self.limits.max = max.max(1);
        let mut surplus = self.slots().saturating_sub(self.limits.max);
        surplus = surplus.saturating_sub(self.idle.len());
        let busy = |it: &(&WorkerId, &Worker)| {
            matches!(it.1.phase, Phase::Busy(_)) && !it.1.retires && it.1.lease.is_none()
        };
        let busy: Vec<WorkerId> = self
            .workers
            .iter()
            .filter(busy)
            .map(|(id, _)| *id)
            .collect();
        for id in busy.into_iter().take(surplus) {
            if let Some(worker) = self.workers.get_mut(&id) {
                worker.retires = true;
            }
        }
    }

    /// No worker from before serves again: neither those that are idle, nor those that have
    /// a call or are still being started. The first with the new rights is `new`.
    pub(super) fn on_new_rights(&mut self, new: WorkerId) {
        for id in self.idle.clone() {
            self.close(id, Reason::Retired);
        }
        for (id, worker) in &mut self.workers {
            let may_serve = matches!(
                worker.phase,
                Phase::Busy(_) | Phase::Leased | Phase::Starting
            );
            worker.retires |= may_serve && *id != new;
        }
    }

    pub(super) fn on_shutdown(&mut self, grace: Duration) {
        let at = self.now.checked_add(grace);
        match self.phase {
            PoolPhase::Closed => return,
            PoolPhase::Closing(before) if at.is_none_or(|at| at >= before) => return,
            _ => {}
        }
        // Longer than a clock can tell: a century is the same.
        let century = Duration::from_secs(100 * 365 * 24 * 3600);
        let at = at.unwrap_or(self.now + century);
        self.phase = PoolPhase::Closing(at);
        self.refuse_leases(&End::Closed { was_sent: false });
    }

    pub(super) fn on_last_handle(&mut self) {
        if self.phase == PoolPhase::Open {
            self.phase = PoolPhase::Left;
        }
    }

    fn end_all(&mut self) {
        self.phase = PoolPhase::Closed;
        let waiting: Vec<CallId> = self.queue.values().copied().collect();
        for call in waiting {
            self.stats.cancelled += 1;
            self.end(call, End::Closed { was_sent: false });
        }
        // What was asked to exit gets no more time.
        for id in self.workers.keys().copied().collect::<Vec<_>>() {
            let kill = self.workers.get_mut(&id).and_then(|it| it.kill.take());
            if let Some(at) = kill {
                self.timers.remove(&(at, Timer::Kill(id)));
                self.actions.push(Action::Kill { worker: id });
            }
            self.kill(id, Reason::ShutDown);
        }
    }
}
