//! Calls that a worker has and that nobody wants any more there: dropped, late, taken back.
//! RUNS IN: caller
//!
//! A call that runs alone is undone by a kill of its worker. Of several the worker is asked to
//! drop one, and is killed if it has not done so after a while.

use std::time::Duration;

use crate::pool::state::event::{Action, CallId, End, Entered, Reason, WorkerId};
use crate::pool::state::places::{Place, Undoing};
use crate::pool::state::{At, Phase, State, Timer, Wants};

/// Minimum time for a worker to drop one of its calls: the others die with it.
const MINIMUM_GRACE: Duration = Duration::from_secs(1);

impl State {
    pub(super) fn on_drop(&mut self, id: CallId) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        let (at, is_call) = (call.at, call.wants != Wants::Lease);
        self.stats.cancelled += u64::from(is_call);
        self.end(id, End::Cancelled);
        if let At::Worker(worker) = at {
            self.undo_unwanted(id, worker);
        }
    }

    /// The time of a call is over that a worker has.
    pub(super) fn on_late(&mut self, id: CallId, worker_id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&worker_id) else {
            return;
        };
        if let Phase::Leaving { .. } = worker.phase {
            return;
        }
        let runs = worker.places.runs(id);
        let Some(place) = worker.places.get_mut(id) else {
            return;
        };
        if !runs {
            // It has waited for too long.
            self.stats.timed_out += 1;
            self.end(id, End::TimedOutAhead);
            self.undo_unwanted(id, worker_id);
            return;
        }
        place.undoing = Some(Undoing::Late);
        match place.is_async {
            true => self.cancel(id, worker_id),
            false => {
                self.kill(worker_id, Reason::TimedOut);
                self.replace_lost();
            }
        }
    }

    /// Undoes a call whose owner was told its end.
    fn undo_unwanted(&mut self, id: CallId, worker_id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&worker_id) else {
            return;
        };
        let runs = worker.places.runs(id);
        let Some(place) = worker.places.get_mut(id) else {
            return;
        };
        let before = place.undoing.replace(Undoing::Unwanted);
        let runs_alone = runs && !place.is_async;
        if let Phase::Leaving { .. } = worker.phase {
            return;
        }
        match before {
            _ if runs_alone => {
                self.kill(worker_id, Reason::Cancelled);
                self.replace_lost();
            }
            None => self.cancel(id, worker_id),
            Some(_) => {}
        }
    }

    /// The calls of a lease that was dropped, whose owners were told so.
    pub(super) fn undo_leased(&mut self, dropped: &[CallId], id: WorkerId) {
        let Some(worker) = self.workers.get(&id) else {
            return;
        };
        if worker.places.len() == dropped.len() {
            self.kill(id, Reason::Cancelled);
            self.replace_lost();
        }
        for call in dropped {
            self.undo_unwanted(*call, id);
        }
    }

    /// Asks a worker to drop a call, or not to begin it.
    fn cancel(&mut self, id: CallId, worker_id: WorkerId) {
        self.actions.push(Action::Cancel {
            worker: worker_id,
            call: id,
        });
        let worker = self.workers.get(&worker_id);
        if worker.is_some_and(|it| it.places.runs(id)) {
            self.limit_undoing(id, worker_id);
        }
    }

    /// A call that is to be undone runs: from now on the worker has so long.
    pub(super) fn limit_undoing(&mut self, id: CallId, worker_id: WorkerId) {
        let at = self.now.checked_add(self.limits.grace.max(MINIMUM_GRACE));
        let worker = self.workers.get_mut(&worker_id);
        if let Some(place) = worker.and_then(|it| it.places.get_mut(id)) {
            place.undo_until = at;
            let timer = at.map(|at| (at, Timer::Undo(worker_id, id)));
            self.timers.extend(timer);
        }
    }

    pub(super) fn forget_undoing(&mut self, place: &Place, worker: WorkerId) {
        if let Some(at) = place.undo_until {
            self.timers.remove(&(at, Timer::Undo(worker, place.call)));
        }
    }

    /// A worker has dropped a call, or has not begun it.
    pub(super) fn on_undone(&mut self, place: &Place, worker: WorkerId) {
        if !self.calls.contains_key(&place.call) {
            return;
        }
        match place.undoing {
            Some(Undoing::TakenBack) => {
                self.end_with_worker(place, worker, Reason::Retired, Entered::No);
            }
            _ => {
                self.stats.timed_out += 1;
                self.end(place.call, End::TimedOutThere);
            }
        }
    }

    /// A worker has not undone a call in time.
    pub(super) fn on_not_undone(&mut self, id: WorkerId, call: CallId) {
        let worker = self.workers.get_mut(&id);
        let Some(place) = worker.and_then(|it| it.places.get_mut(call)) else {
            return;
        };
        place.undo_until = None;
        let reason = match place.undoing {
            Some(Undoing::Late) => Reason::TimedOut,
            _ => Reason::Cancelled,
        };
        self.kill(id, reason);
        self.replace_lost();
    }

    /// A worker that has time to exit is not to begin what it has not begun.
    pub(super) fn take_back(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        for place in worker.places.waiting_mut() {
            if place.undoing.is_none() {
                place.undoing = Some(Undoing::TakenBack);
                self.actions.push(Action::Cancel {
                    worker: id,
                    call: place.call,
                });
            }
        }
    }
}
