//! Workers that leave without a call, and the end of the pool.
//! RUNS IN: caller

use std::time::{Duration, Instant};

use crate::pool::state::event::{Action, CallId, End, Reason, WorkerId};
use crate::pool::state::{Phase, PoolPhase, State, Timer, Worker};

impl State {
    /// Workers that are idle for too long, or too many, or not needed any more.
    pub(super) fn trim(&mut self) {
        while let Some(&first) = self.idle.first() {
            let reason = if self.phase != PoolPhase::Open && self.queue.is_empty() {
                Reason::ShutDown
            } else if self.workers[&first].base != self.base {
                Reason::Renewed
            } else if self.surplus() > 0 || self.stop_of(first).is_some_and(|it| it <= self.now) {
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
        let surplus = self.surplus().saturating_sub(self.idle.len());
        let busy = |it: &(&WorkerId, &Worker)| {
            it.1.phase == Phase::Busy && !it.1.retires && it.1.lease.is_none()
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
            let may_serve = matches!(worker.phase, Phase::Busy | Phase::Leased | Phase::Starting);
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

    pub(super) fn end_all(&mut self) {
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
