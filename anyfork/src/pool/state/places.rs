//! [`Places`]: the calls that a worker has.
//! RUNS IN: caller
//!
//! Worker and caller go by the same rule, so that the caller knows which of them run: in the
//! order in which the worker has got them, the first one runs, and those of `async fn`s that
//! follow it run beside it, if it is one, up to `concurrency`.

use std::collections::VecDeque;
use std::time::Instant;

use crate::pool::state::event::CallId;

/// The calls that a worker has, in the order in which it has got them. Those that run are the
/// first ones.
#[derive(Debug, Default)]
pub(super) struct Places {
    all: VecDeque<Place>,
    /// Number of those that run.
    running: usize,
}

/// A call that a worker has.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) call: CallId,
    /// It may run beside others.
    pub(super) is_async: bool,
    /// The worker was asked to undo it, or is killed for it.
    pub(super) undoing: Option<Undoing>,
    /// The time of [`Timer::Undo`](super::Timer::Undo).
    pub(super) undo_until: Option<Instant>,
}

/// Why a call is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undoing {
    /// Its owner wants it no more, and was told its end.
    Unwanted,
    /// Its time is over. Its owner is told when it is gone.
    Late,
    /// It is to run in another worker.
    TakenBack,
}

impl Places {
    pub(super) fn push(&mut self, call: CallId, is_async: bool) {
        self.all.push_back(Place {
            call,
            is_async,
            undoing: None,
            undo_until: None,
        });
    }

    /// Takes a call out.
    pub(super) fn remove(&mut self, call: CallId) -> Option<Place> {
        let at = self.all.iter().position(|it| it.call == call)?;
        self.running -= usize::from(at < self.running);
        self.all.remove(at)
    }

    /// Takes the last one out.
    pub(super) fn pop(&mut self) -> Option<Place> {
        let last = self.all.pop_back();
        self.running = self.running.min(self.all.len());
        last
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Place> {
        self.all.iter()
    }

    /// Whether all may run beside others.
    pub(super) fn are_async(&self) -> bool {
        self.all.iter().all(|it| it.is_async)
    }

    pub(super) fn get_mut(&mut self, call: CallId) -> Option<&mut Place> {
        self.all.iter_mut().find(|it| it.call == call)
    }

    /// Whether the call runs.
    pub(super) fn runs(&self, call: CallId) -> bool {
        let mut running = self.all.iter().take(self.running);
        running.any(|it| it.call == call)
    }

    /// Those that do not run.
    pub(super) fn waiting_mut(&mut self) -> impl Iterator<Item = &mut Place> {
        self.all.iter_mut().skip(self.running)
    }

    /// The next one that runs from now on, if any does. At most `at_once` run.
    pub(super) fn run_next(&mut self, at_once: usize) -> Option<&mut Place> {
        let (first, next) = (self.all.front()?, self.all.get(self.running)?);
        let runs_beside = first.is_async && next.is_async && self.running < at_once;
        if self.running > 0 && !runs_beside {
            return None;
        }
        self.running += 1;
        self.all.get_mut(self.running - 1)
    }
}
