//! What a call's owner asks for and takes beside the result: events, and results of several items.
//! RUNS IN: caller

use std::sync::Arc;
#[cfg(feature = "tokio")]
use std::task::{Context, Poll};
use std::thread;

use crate::error::Result;
use crate::pool::entry::Owner;
use crate::pool::inner::Inner;
use crate::pool::live::Live;
use crate::pool::over::Next;
use crate::pool::pooled::PoolCall;
use crate::pool::state::event::Event;
use crate::protocol::call::Payload;

impl PoolCall {
    /// Waits for an event, or an answer before the last one. `None`: there are no more.
    pub(crate) fn blocking_arrival(&mut self) -> Option<Result<Payload>> {
        self.wait(PoolCall::take_arrival)
    }

    /// Waits for an event, or an answer before the last one, in a task.
    #[cfg(feature = "tokio")]
    pub(crate) fn poll_arrival(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Payload>>> {
        self.poll_for(context, PoolCall::take_arrival)
    }

    /// Waits for the next result of several items.
    pub(crate) fn blocking_next(&mut self) -> Next {
        let next = self.wait(PoolCall::take_next);
        self.report(&next);
        next
    }

    /// Waits for the next result of several items, in a task.
    #[cfg(feature = "tokio")]
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        let next = self.poll_for(context, PoolCall::take_next);
        if let Poll::Ready(next) = &next {
            self.report(next);
        }
        next
    }

    /// The next result of several items, if it is there. Otherwise this thread is woken
    /// (`unpark`) when it is: the watcher reads.
    pub(crate) fn watch_next(&mut self) -> Option<Next> {
        self.look();
        let shared = Arc::clone(&self.shared);
        let mut inner = shared.lock();
        let next = self.take_next(&mut inner);
        if next.is_none()
            && let Some(entry) = inner.calls.get_mut(&self.id)
        {
            entry.owner = Owner::Watched(thread::current());
            inner.watcher.is_wanted = true;
        }
        shared.finish(inner);
        if let Some(next) = &next {
            self.report(next);
        }
        next
    }

    /// Tells the observer of the last result.
    fn report(&self, next: &Next) {
        if let Next::Last(result, _) = next {
            self.trace.ended(result);
        }
    }

    /// What has arrived before the result, or `None` if the result is there.
    fn take_arrival(&mut self, inner: &mut Inner) -> Option<Option<Result<Payload>>> {
        let Some(entry) = inner.calls.get_mut(&self.id) else {
            return Some(None);
        };
        let arrival = entry.arrivals.take();
        self.answered_by = entry.worker;
        if arrival.is_none() && entry.result.is_none() {
            return None;
        }
        if let Owner::Reads = entry.owner {
            entry.owner = Owner::Away;
        }
        Some(arrival)
    }

    fn take_next(&mut self, inner: &mut Inner) -> Option<Next> {
        match self.take_arrival(inner)? {
            Some(result) => Some(Next::More(result)),
            None => {
                let entry = inner.calls.get_mut(&self.id);
                let request = entry.and_then(|entry| entry.request.take());
                let result = self.take(inner)?;
                Some(Next::Last(result, request.map(|it| it.arguments)))
            }
        }
    }

    /// The result that was taken does not decode.
    pub(crate) fn on_bad_result(&self) {
        if let Some(worker) = self.answered_by {
            self.shared.tell_alone(Event::BadResult(worker));
        }
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.look();
        let inner = self.shared.lock();
        let entry = inner.calls.get(&self.id);
        entry.is_none_or(|entry| entry.result.is_some())
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        let inner = self.shared.lock();
        let worker = inner.calls.get(&self.id)?.worker?;
        match inner.workers.get(&worker)? {
            Live::Up(up) => Some(up.watch.pid()),
            Live::Starting(_) => None,
        }
    }
}
