//! Leases, and calls that are for one worker.
//! RUNS IN: caller

use std::time::Duration;

use crate::pool::limits::Limits;
use crate::pool::state::event::{Action, CallId, End, Reason, Return, To, WorkerId};
use crate::pool::state::{At, Phase, State, Wants, Worker};

impl State {
    pub(super) fn on_lease(&mut self, id: CallId, queue_timeout: Option<Duration>) {
        if let Some(end) = self.refuses(To::Any, false) {
            self.actions.push(Action::End { call: id, end });
            return;
        }
        self.enter(id, (Wants::Lease, false), None);
        if let Some(limit) = queue_timeout {
            self.on_queue_timeout(id, limit);
        }
    }

    /// A lease that has waited has its worker now, and is no call that waits any more.
    pub(super) fn lend(&mut self, id: CallId, to: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&to) {
            worker.phase = Phase::Leased;
            worker.lease = Some(id);
        }
        self.set_deadline(id, None);
        self.calls.remove(&id);
        self.actions.push(Action::Lend {
            worker: to,
            lease: id,
        });
    }

    pub(super) fn on_return(&mut self, end: Return) {
        let Return {
            lease,
            worker: id,
            retires,
        } = end;
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        if worker.lease != Some(lease) {
            return;
        }
        worker.lease = None;
        let is_due = retires || worker.is_due || worker.has_served_enough();
        worker.is_due = false;
        let (phase, waiting) = (worker.phase, Vec::from_iter(worker.own.iter().copied()));
        // Who retires its worker has what it was given finished.
        let is_dropped = |it: &State, call: CallId| !retires && it.ends_with(call, lease);
        for call in waiting {
            if is_dropped(self, call) {
                self.stats.cancelled += 1;
                self.end(call, End::LeaseDropped { was_sent: false });
            }
        }
        match phase {
            Phase::Busy => {
                let mut calls = Vec::from_iter(self.calls_of(id));
                calls.retain(|call| is_dropped(self, *call));
                for call in &calls {
                    self.stats.cancelled += 1;
                    self.end(*call, End::LeaseDropped { was_sent: true });
                }
                self.undo_leased(&calls, id);
                if is_due
                    && self
                        .workers
                        .get(&id)
                        .is_some_and(|it| it.phase == Phase::Busy)
                {
                    self.retire(id);
                }
            }
            Phase::Leased => {
                if let Some(worker) = self.workers.get_mut(&id) {
                    worker.phase = Phase::Retiring;
                }
                if is_due {
                    self.retire(id);
                }
                self.on_free(id);
            }
            _ => {}
        }
    }

    /// Whether the call is undone when this lease is dropped.
    fn ends_with(&self, call: CallId, lease: CallId) -> bool {
        self.calls.get(&call).is_some_and(|it| {
            let is_its = matches!(it.wants, Wants::Call(To::Lease(of, _)) if of == lease);
            is_its && !it.is_detached
        })
    }

    pub(super) fn on_detach(&mut self, id: CallId) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.is_detached = true;
        }
    }

    /// The worker that a call is for, if it can take calls.
    pub(super) fn target(&self, to: To) -> Option<WorkerId> {
        let (id, lease) = match to {
            To::Any => return None,
            To::Lease(lease, id) => (id, Some(lease)),
            To::Worker(id) => (id, None),
        };
        let worker = self.workers.get(&id)?;
        let is_its = lease.is_none() || worker.lease == lease;
        (is_its && worker.is_serving()).then_some(id)
    }

    /// The workers that can take calls.
    pub(crate) fn serving(&self) -> impl Iterator<Item = WorkerId> + '_ {
        let serving = self.workers.iter().filter(|(_, it)| it.is_serving());
        serving.map(|(id, _)| *id)
    }

    /// The place of a newcomer that is for one worker, or that worker, if it is free.
    pub(super) fn enter_own(
        &mut self,
        id: CallId,
        to: To,
        is_async: bool,
    ) -> (At, Option<WorkerId>) {
        let target = self.target(to).expect("a call without a target is refused");
        let worker = self.workers.get_mut(&target).expect("a target is there");
        let is_free = worker.own.is_empty() && worker.takes_own(is_async, &self.limits);
        worker.own.push_back(id);
        self.waiting_own += 1;
        if is_free {
            self.idle.retain(|it| *it != target);
        }
        (At::Own(target), is_free.then_some(target))
    }

    /// Gives a worker what waits for it alone.
    pub(super) fn give_own(&mut self, id: WorkerId) {
        while let Some(worker) = self.workers.get(&id)
            && let Some(&next) = worker.own.front()
            && let Some(call) = self.calls.get(&next)
            && worker.takes_own(call.is_async, &self.limits)
        {
            self.give(next, id);
        }
    }

    pub(super) fn leave_own(&mut self, id: CallId, worker: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&worker)
            && let Some(place) = worker.own.iter().position(|it| *it == id)
        {
            worker.own.remove(place);
            self.waiting_own -= 1;
        }
    }

    /// A worker is to be replaced: now, or when its lease ends.
    pub(super) fn retire_when_returned(&mut self, id: WorkerId) {
        match self.workers.get_mut(&id) {
            Some(worker) if worker.lease.is_some() => worker.is_due = true,
            _ => self.retire(id),
        }
    }

    /// A worker takes no more calls. Its lease has lost it, and the calls that wait for it
    /// alone end.
    pub(super) fn abandon(&mut self, id: WorkerId, reason: Reason) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        if let Some(lease) = worker.lease.take() {
            self.actions.push(Action::LeaseLost { lease, reason });
        }
        for call in Vec::from_iter(worker.own.iter().copied()) {
            let end = match reason {
                Reason::ShutDown => {
                    self.stats.cancelled += 1;
                    End::Closed { was_sent: false }
                }
                _ => {
                    self.stats.died += 1;
                    End::Gone
                }
            };
            self.end(call, end);
        }
    }

    /// No lease is of use after a shutdown: between two calls its worker leaves.
    pub(super) fn close_leased(&mut self) {
        let leased = self.workers.iter();
        let leased = leased.filter(|(_, it)| it.phase == Phase::Leased);
        for id in leased.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.close(id, Reason::ShutDown);
        }
    }

    /// Ends the leases that wait.
    pub(super) fn refuse_leases(&mut self, end: &End) {
        if self.waiting_leases == 0 {
            return;
        }
        let waiting = self.queue.values().copied();
        let is_lease = |id: &CallId| {
            let call = self.calls.get(id);
            call.is_some_and(|it| it.wants == Wants::Lease)
        };
        for id in waiting.filter(is_lease).collect::<Vec<_>>() {
            self.end(id, end.clone());
        }
    }

    /// The number of workers that have a call, or are somebody's.
    pub(super) fn taken(&self) -> usize {
        // Who only finishes what it has may do so for long.
        let is_taken = |it: &&Worker| {
            (it.phase == Phase::Busy && !(it.retires && it.is_closed)) || it.lease.is_some()
        };
        self.workers.values().filter(is_taken).count()
    }
}

impl Worker {
    /// Whether it may have a call that is for it alone: that waits until it has no other, or
    /// runs beside the others.
    fn takes_own(&self, is_async: bool, limits: &Limits) -> bool {
        let runs_beside = is_async && self.has_place(true, 1, limits.concurrency);
        self.phase != Phase::Busy || runs_beside
    }

    /// Whether it can take a call, now or after those that it has.
    fn is_serving(&self) -> bool {
        !matches!(self.phase, Phase::Starting | Phase::Leaving { .. })
    }
}
