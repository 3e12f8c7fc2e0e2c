//! Calls of `async fn`s that run beside each other, in one thread.
//! RUNS IN: child
//!
//! The rule of which call runs is that of the caller, in [`protocol`](crate::protocol::call):
//! so both know which of them have been entered.

use std::future::Future;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread;

use crate::child::calls::answer::{Answer, answer_of, panicked, refused};
use crate::child::calls::find::{Found, find};
use crate::child::calls::requests::terms;
use crate::child::calls::writer::{BesideOutlet, Writer};
use crate::child::frame;
use crate::child::report;
use crate::entry::call::{CallEntry, CallFuture, Refusal};
use crate::entry::sender::Outlet;
use crate::error::Result;
use crate::protocol::call::{Frame, Terms};
use crate::registry::{CallFunction, StartCall};
use crate::sys::fork;
use crate::sys::fork_mark::ForkMark;
use crate::value::Decoder;

/// A function that may run beside others.
pub(super) struct Startable {
    function: &'static CallFunction,
    start: StartCall,
    pub(super) terms: Terms,
}

/// The function of a request that may run beside others. `None`: it runs alone, as does one
/// that is not found.
pub(super) fn startable(frame: &Frame) -> Result<Option<Startable>> {
    let (terms, has_items) = terms(frame)?;
    if terms.at_once == 0 || has_items {
        return Ok(None);
    }
    let Ok(Found::Own(function)) = find(frame.name()?, terms.fingerprint) else {
        return Ok(None);
    };
    Ok(function.start.map(|start| Startable {
        function,
        start,
        terms,
    }))
}

/// Runs a call. Dropped, it ends the call, and nothing is sent for it any more.
pub(super) async fn run(
    startable: Startable,
    frame: Frame,
    writer: Arc<Writer>,
    mark: ForkMark,
) -> Answer {
    let Startable {
        function,
        start,
        terms,
    } = startable;
    let Frame {
        head,
        payload,
        has_lost_fds,
    } = frame;
    if has_lost_fds {
        let text = "descriptors were lost: the descriptor table of the worker is full";
        return refused(format!("the arguments of `{}`: {text}", function.name));
    }
    let outlet = LastOutlet::default();
    let make_outlet = || -> Result<Arc<dyn Outlet>> {
        let writer = Arc::clone(&writer);
        Ok(outlet.set(BesideOutlet::new(writer, head.number, terms.max_result)))
    };
    let decoder = Decoder::new(payload.main, head.name, payload.blobs, payload.fds);
    let mut entry = CallEntry::new(function.name, decoder, &make_outlet);
    let returned = Guarded {
        future: Some(start(&mut entry)),
        name: function.name,
        mark,
    };
    let returned = returned.await;
    outlet.close();
    answer_of(returned, mem::take(&mut entry.result), &terms)
}

/// The answer of a call whose future has panicked while it was dropped.
pub(super) fn broken(panic: Box<dyn std::any::Any + Send>) -> Answer {
    panicked(panic)
}

/// The way of a call's events, which is closed at its end, however it ends.
#[derive(Default)]
struct LastOutlet(Mutex<Option<Arc<dyn Outlet>>>);

impl LastOutlet {
    fn set(&self, outlet: BesideOutlet) -> Arc<dyn Outlet> {
        let outlet: Arc<dyn Outlet> = Arc::new(outlet);
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(Arc::clone(&outlet));
        outlet
    }

    fn close(&self) {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(outlet) = last {
            outlet.close();
        }
    }
}

impl Drop for LastOutlet {
    fn drop(&mut self) {
        self.close();
    }
}

/// A call whose panics are caught, and that ends in a copy of this process.
struct Guarded<'a> {
    /// `None`: it has ended.
    future: Option<CallFuture<'a>>,
    name: &'static str,
    mark: ForkMark,
}

/// A step of a call.
struct Step<'a, 'b, 'c> {
    future: &'a mut CallFuture<'b>,
    context: &'a mut Context<'c>,
}

impl Future for Guarded<'_> {
    type Output = thread::Result<Result<(), Refusal>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (name, mark) = (self.name, self.mark);
        let Some(future) = &mut self.future else {
            return Poll::Pending;
        };
        report::set_worker(name);
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let mut step = Step { future, context };
            frame::__anyfork_begin_short_backtrace(
                |step: &mut Step<'_, '_, '_>| step.future.as_mut().poll(step.context),
                &mut step,
            )
        }));
        if mark.is_copy() {
            // A copy of this process, which the function has forked, has no call to answer.
            frame::flush_at_exit();
            fork::exit_now(0);
        }
        let ended = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(returned)) => Ok(returned),
            Err(panic) => Err(panic),
        };
        self.future = None;
        Poll::Ready(ended)
    }
}
