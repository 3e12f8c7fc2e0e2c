//! Endings: of calls by an answer or a deadline, and of workers by a kill or a death.
//! RUNS IN: caller

use std::time::Duration;

use crate::pool::state::event::{Action, Answer, CallId, End, Entered, Reason};
use crate::pool::state::event::{Then, To, WorkerId};
use crate::pool::state::places::{Place, Undoing};
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
        // The call is not the worker's any more: no kill is for it.
        let Some(place) = worker.places.remove(call) else {
            return;
        };
        let is_leaving = matches!(worker.phase, Phase::Leaving { .. });
        if !is_leaving && worker.places.is_empty() {
            worker.phase = Phase::Retiring;
        }
        self.forget_undoing(&place, id);
        if answer == Answer::Cancelled {
            self.on_undone(&place, id);
        } else if self.calls.contains_key(&call) {
            match answer {
                Answer::Returned => self.stats.returned += 1,
                Answer::Panicked => self.stats.panicked += 1,
                Answer::Other | Answer::Cancelled => self.stats.other += 1,
            }
            self.starts.served();
            self.end(call, End::Answered);
        }
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
                self.set_closed(id);
                self.on_less(id);
            }
            Then::Retire => {
                self.retire_when_returned(id);
                self.on_less(id);
            }
            Then::Drain => {
                self.set_closed(id);
                self.on_less(id);
            }
            Then::Stay => self.on_less(id),
        }
    }

    /// The worker gets no call as long as it has any.
    fn set_closed(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.is_closed = true;
        }
    }

    /// A worker has a call less: it is free, or the next ones run.
    fn on_less(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get(&id) else {
            return;
        };
        if worker.places.is_empty() {
            return self.on_free(id);
        }
        self.run_next(id, true);
        self.give_own(id);
    }

    /// A worker has no call any more.
    pub(super) fn on_free(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        worker.is_closed = false;
        if !worker.own.is_empty() {
            self.give_own(id);
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

    /// What is due at this time.
    pub(super) fn on_time(&mut self) {
        while let Some((at, timer)) = self.timers.first().copied()
            && at <= self.now
        {
            self.timers.remove(&(at, timer));
            match timer {
                Timer::Call(call) => self.on_deadline(call),
                Timer::Age(worker) => self.on_age(worker),
                Timer::Undo(worker, call) => self.on_not_undone(worker, call),
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
            At::Worker(worker) => self.on_late(id, worker),
        }
    }

    fn on_age(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.age = None;
            self.retire_once_free(id);
        }
    }

    /// Retires a worker, after the calls that it has.
    pub(super) fn retire_once_free(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        match worker.phase {
            Phase::Idle { since } => {
                worker.idle_since = Some(since);
                worker.phase = Phase::Retiring;
                self.idle.retain(|it| *it != id);
                self.retire(id);
                self.on_free(id);
            }
            Phase::Busy | Phase::Leased => self.retire_when_returned(id),
            _ => {}
        }
    }

    /// Kills a worker. It has the call that this is for, or none. Those that it has not begun
    /// are not to begin meanwhile: they go to others.
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
        let is_starting = worker.phase == Phase::Starting;
        worker.phase = Phase::Leaving { reason };
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
                self.take_back(id);
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
        worker.phase = Phase::Leaving { reason };
        let at = self.now + TIMEOUT_EXIT;
        worker.kill = Some(at);
        self.timers.insert((at, Timer::Kill(id)));
        self.idle.retain(|it| *it != id);
        self.actions.push(Action::Close { worker: id });
    }

    pub(super) fn on_death(&mut self, id: WorkerId, entered: &[(CallId, Entered)]) {
        self.abandon(id, Reason::Died);
        let Some(mut worker) = self.workers.remove(&id) else {
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
            Phase::Leaving { reason } => reason,
            _ => Reason::Died,
        };
        // The last one first: those that go elsewhere keep their order.
        while let Some(place) = worker.places.pop() {
            self.forget_undoing(&place, id);
            let of_call = entered.iter().find(|(call, _)| *call == place.call);
            // Nothing is repeated that may have been entered.
            let entered = of_call.map_or(Entered::Yes, |(_, entered)| *entered);
            self.end_with_worker(&place, id, reason, entered);
        }
        match worker.phase {
            Phase::Idle { .. } | Phase::Leased if worker.calls == 0 && self.is_young(&worker) => {
                self.starts.died_early(self.now);
            }
            Phase::Busy => self.replace_lost(),
            _ => {}
        }
        self.left(id, reason, worker.calls);
    }

    /// A worker that lives will not enter a call that it has.
    pub(super) fn on_unentered(&mut self, id: WorkerId, call: CallId, entered: Entered) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        let Some(place) = worker.places.remove(call) else {
            return;
        };
        let is_free = worker.phase == Phase::Busy && worker.places.is_empty();
        if is_free {
            worker.phase = Phase::Retiring;
        }
        self.forget_undoing(&place, id);
        self.end_with_worker(&place, id, Reason::Retired, entered);
        if is_free {
            self.on_free(id);
        }
    }

    fn is_young(&self, worker: &Worker) -> bool {
        let ready = worker.ready.unwrap_or(self.now);
        self.now.saturating_duration_since(ready) < INTERVAL_YOUNG
    }

    pub(super) fn end_with_worker(
        &mut self,
        place: &Place,
        id: WorkerId,
        reason: Reason,
        entered: Entered,
    ) {
        let call = place.call;
        // Its owner was told before.
        if !self.calls.contains_key(&call) {
            return;
        }
        let end = match reason {
            _ if place.undoing == Some(Undoing::Late) => End::TimedOut(id),
            _ if reason == Reason::ShutDown || self.phase == PoolPhase::Closed => End::Closed {
                was_sent: entered == Entered::Yes,
            },
            _ if entered == Entered::Yes => End::Died(id),
            _ if entered == Entered::No && self.may_resend(call) => return self.requeue(call),
            _ => End::NeverEntered(id),
        };
        match end {
            End::TimedOut(_) => self.stats.timed_out += 1,
            End::Closed { .. } => self.stats.cancelled += 1,
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
}
