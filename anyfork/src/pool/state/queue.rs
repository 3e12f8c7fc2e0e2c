//! What waits for a worker: calls and leases, and whose turn it is.
//! RUNS IN: caller

use std::time::Duration;

use crate::pool::state::event::{Action, CallId, End, To, WorkerId};
use crate::pool::state::{At, Call, Phase, State, Wants, Worker};

impl State {
    pub(super) fn on_call(
        &mut self,
        id: CallId,
        (to, is_async): (To, bool),
        queue_timeout: Option<Duration>,
        timeout: Option<Duration>,
    ) {
        self.stats.calls += 1;
        if let Some(end) = self.refuses(to, is_async) {
            self.stats.refused += 1;
            self.actions.push(Action::End { call: id, end });
            return;
        }
        self.enter(id, (Wants::Call(to), is_async), timeout);
        if let Some(limit) = queue_timeout {
            self.on_queue_timeout(id, limit);
        }
    }

    /// Why a call that comes now does not wait.
    pub(super) fn refuses(&self, to: To, is_async: bool) -> Option<End> {
        if self.is_closed() {
            return Some(End::Closed { was_sent: false });
        }
        match to {
            To::Any => self
                .refuses_for_now()
                .map(End::NoWorker)
                .or_else(|| self.is_full(is_async).then_some(End::Full)),
            _ => self.target(to).is_none().then_some(End::Gone),
        }
    }

    /// Takes in a call, or a lease, and gives it to a worker that is free.
    pub(super) fn enter(
        &mut self,
        id: CallId,
        (wants, is_async): (Wants, bool),
        timeout: Option<Duration>,
    ) {
        let (at, worker) = match wants {
            Wants::Call(to @ (To::Lease(..) | To::Worker(_))) => self.enter_own(id, to, is_async),
            _ => self.enter_queue(id, wants),
        };
        self.calls.insert(
            id,
            Call {
                wants,
                is_async,
                is_detached: false,
                made: self.now,
                sent: None,
                timeout,
                deadline: None,
                at,
                resent: 0,
            },
        );
        if let Some(worker) = worker {
            self.give(id, worker);
        }
    }

    /// The place of a newcomer in the queue, or the worker that is free for it.
    fn enter_queue(&mut self, id: CallId, wants: Wants) -> (At, Option<WorkerId>) {
        let place = self.queue.last_key_value().map_or(0, |(last, _)| last + 1);
        let is_free = self.queue.is_empty() && self.taken() < self.limits.max;
        let worker = self.idle.pop_if(|_| is_free);
        if worker.is_none() {
            self.queue.insert(place, id);
            self.waiting_leases += usize::from(wants == Wants::Lease);
        }
        (At::Queue(place), worker)
    }

    /// Whether the call would have to wait, and too many do.
    fn is_full(&self, is_async: bool) -> bool {
        let Some(limit) = self.limits.queue else {
            return false;
        };
        if self.queue.is_empty() && self.least_loaded(is_async).is_some() {
            return false;
        }
        // A call that a worker is free for, or that one can be started for, does not wait
        // behind others.
        let free = match self.taken() < self.limits.max {
            true => {
                self.idle.len() + self.limits.max.saturating_sub(self.slots()) + self.starting()
            }
            false => 0,
        };
        self.queue.len() >= limit.saturating_add(free)
    }

    pub(super) fn on_queue_timeout(&mut self, id: CallId, limit: Duration) {
        if let Some(call) = self.calls.get(&id)
            && call.sent.is_none()
        {
            let at = call.made.checked_add(limit);
            self.set_deadline(id, at);
        }
    }

    /// Gives what waits to the workers that are free, and starts more.
    pub(super) fn dispatch(&mut self) {
        while let Some((_, &call)) = self.queue.first_key_value()
            && self.taken() < self.limits.max
            && let Some(worker) = self.idle.pop()
        {
            self.give(call, worker);
        }
        self.start_more();
        self.send_ahead();
    }

    /// Gives calls for which no worker is free, or will be soon, to workers that have others.
    fn send_ahead(&mut self) {
        if !self.limits.gives_several() {
            return;
        }
        while self.queue.len() > self.starting()
            && let Some((_, &id)) = self.queue.first_key_value()
            && let Some(call) = self.calls.get(&id)
            && call.wants != Wants::Lease
            && let Some(worker) = self.least_loaded(call.is_async)
        {
            self.give(id, worker);
        }
    }

    /// The worker with the fewest calls among those that have some, and may have this one, too.
    pub(super) fn least_loaded(&self, is_async: bool) -> Option<WorkerId> {
        if !self.limits.gives_several() {
            return None;
        }
        let open = self.workers.iter().filter(|(_, it)| {
            let is_anybodys = it.lease.is_none() && it.own.is_empty() && !it.retires;
            is_anybodys
                && it.base == self.base
                && it.phase == Phase::Busy
                && it.has_place(is_async, self.limits.load, self.limits.concurrency)
        });
        let least = open.min_by_key(|(_, it)| it.places.len());
        least.map(|(id, _)| *id)
    }

    /// Gives a worker that is free to what has waited for it.
    pub(super) fn give(&mut self, id: CallId, to: WorkerId) {
        self.leave_queue(id);
        match self.calls.get(&id).map(|call| call.wants) {
            Some(Wants::Call(_)) => self.assign(id, to),
            Some(Wants::Lease) => self.lend(id, to),
            None => {}
        }
    }

    /// Takes a call, or a lease that waits, out of the queue that it may be in.
    pub(super) fn leave_queue(&mut self, id: CallId) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        match call.at {
            At::Queue(place) => {
                let is_lease = call.wants == Wants::Lease;
                if self.queue.remove(&place).is_some() {
                    self.waiting_leases -= usize::from(is_lease);
                }
            }
            At::Own(worker) => self.leave_own(id, worker),
            At::Worker(_) => {}
        }
    }
}

impl Worker {
    /// Whether a worker that has calls may have this one, too. Those of `async fn`s run beside
    /// each other; any other one has it wait.
    pub(super) fn has_place(&self, is_async: bool, load: usize, concurrency: usize) -> bool {
        let runs_beside = is_async && self.places.are_async();
        let limit = match runs_beside {
            true => load.max(concurrency),
            false => load,
        };
        !self.is_closed && self.places.len() < limit
    }
}
