//! Who reads what a worker sends that has several calls.
//! RUNS IN: caller
//!
//! A thread that waits for a call that runs, or the watcher. A task does not read: it may never
//! be polled again, and the others have to go on.

use std::time::Instant;

use crate::pool::core::Shared;
use crate::pool::entry::{Entry, Owner};
use crate::pool::inner::{INTERVAL_UNREAD, Inner, Reading};
use crate::pool::live::{Live, Up};
use crate::pool::several::{Given, Several};
use crate::pool::state::event::{CallId, WorkerId};

impl Shared {
    /// The owner of a call has taken something: whoever else waits for the worker reads now.
    pub(crate) fn leave_reading(&self, inner: &mut Inner, call: CallId) {
        if self.options.gives_several
            && let Some(worker) = inner.calls.get(&call).and_then(|entry| entry.worker)
        {
            self.pass_on(inner, worker);
        }
    }

    /// The connection is here, and a worker may have sent more: somebody reads who waits.
    pub(super) fn pass_on(&self, inner: &mut Inner, worker: WorkerId) {
        let Some(Live::Up(up)) = inner.workers.get(&worker) else {
            return;
        };
        let Some(several) = &up.several else {
            return;
        };
        // The watcher reads for all that it is told to watch for one of them.
        if up.line.is_none() || up.ended.is_some() || up.is_watched || inner.is_any_full(up) {
            return;
        }
        let owner = |given: &Given| inner.calls.get(&given.call).map(|entry| &entry.owner);
        let mut sleeper = None;
        let mut is_watched = false;
        for given in &several.given {
            match owner(given) {
                Some(Owner::Reads) => return,
                Some(Owner::Away) => {}
                Some(Owner::Sleeps(_)) if given.runs => {
                    sleeper.get_or_insert(given.call);
                }
                _ => is_watched = true,
            }
        }
        inner.watcher.is_wanted |= sleeper.is_none() && is_watched;
        let entry = sleeper.and_then(|call| inner.calls.get_mut(&call));
        let wake = entry.and_then(|entry| entry.owner.hand_over());
        inner.todo.wakes.extend(wake);
    }
}

impl Inner {
    /// Whether the owner of a call does not take what arrives, and the worker has to wait.
    pub(crate) fn is_any_full(&self, up: &Up) -> bool {
        let is_full = |call: CallId| self.calls.get(&call).is_some_and(Entry::is_full);
        match &up.several {
            None => up.call.is_some_and(is_full),
            Some(several) => {
                several.has_arrivals && several.given.iter().any(|it| is_full(it.call))
            }
        }
    }

    /// Whether the watcher waits for the socket of the worker that has the call.
    pub(crate) fn is_watched(&self, call: CallId) -> bool {
        let worker = self.calls.get(&call).and_then(|entry| entry.worker);
        match worker.and_then(|it| self.workers.get(&it)) {
            Some(Live::Up(up)) => up.several.is_some() && up.is_watched,
            _ => false,
        }
    }

    /// When the watcher reads what a worker with several calls has sent.
    pub(crate) fn reading_several(&self, up: &Up, several: &Several, now: Instant) -> Reading {
        if up.line.is_none() || up.ended.is_some() || self.is_any_full(up) {
            return Reading::Never;
        }
        let mut from = None;
        for given in &several.given {
            // Of one that was dropped the place is free when the worker has said so.
            let entry = self.calls.get(&given.call);
            match entry.map(|entry| &entry.owner) {
                Some(Owner::Reads) => return Reading::Never,
                Some(Owner::Away) => {}
                _ => return Reading::Now,
            }
            let at = entry.and_then(|it| it.sent).unwrap_or(now) + INTERVAL_UNREAD;
            from = Some(from.map_or(at, |from: Instant| from.min(at)));
        }
        match from.filter(|_| self.has_waiters()) {
            None => Reading::Never,
            Some(from) if now < from => Reading::From(from),
            Some(_) => Reading::Now,
        }
    }
}
