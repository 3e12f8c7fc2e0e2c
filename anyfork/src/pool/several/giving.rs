//! Calls go to workers that may have several.
//! RUNS IN: caller

use std::sync::Arc;
use std::time::Instant;

use crate::pool::core::Shared;
use crate::pool::entry::Owner;
use crate::pool::inner::Inner;
use crate::pool::live::Live;
use crate::pool::several::Given;
use crate::pool::several::outbox::{Outbox, ToSend};
use crate::pool::state::event::{CallId, WorkerId};

impl Shared {
    /// Gives a worker a call, beside others or behind them.
    pub(crate) fn on_give(
        &self,
        inner: &mut Inner,
        worker: WorkerId,
        call: CallId,
        is_ahead: bool,
    ) {
        let number = inner.sent + 1;
        let (Some(Live::Up(up)), Some(entry)) =
            (inner.workers.get_mut(&worker), inner.calls.get_mut(&call))
        else {
            return;
        };
        let (Some(several), Some(mut request)) = (&mut up.several, entry.request.take()) else {
            debug_assert!(false, "a call that waits has its request");
            let _ = up.watch.kill();
            return;
        };
        if let Some(outputs) = &up.outputs {
            outputs.begin_call(call.0, &entry.home);
        }
        entry.worker = Some(worker);
        entry.sent = Some(Instant::now());
        several.given.push_back(Given {
            call,
            number,
            items: request.items,
            answered: 0,
            runs: !is_ahead,
            is_cancelled: false,
        });
        request.number = number;
        request.terms.is_ahead = is_ahead;
        inner.sent += u64::from(request.items.unwrap_or(1));
        several.outbox.push(ToSend::Request(request));
        let outbox = Arc::clone(&several.outbox);
        let is_awaited = !matches!(entry.owner, Owner::Away);
        inner.todo.flushes.push((worker, outbox));
        if is_awaited {
            self.pass_on(inner, worker);
        }
    }

    /// Sends what is to be sent to a worker, or as much as there is room for.
    pub(crate) fn flush(&self, worker: WorkerId, outbox: &Outbox) {
        let wait = match outbox.flush() {
            Ok(None) => return,
            Ok(Some(wait)) => Some(wait),
            Err(_) => None,
        };
        let mut inner = self.lock();
        if let Some(up) = inner.up(worker)
            && let Some(several) = &mut up.several
        {
            several.unsent = wait;
            if wait.is_none() {
                // Nobody can send to it: it is of no use.
                let _ = up.watch.kill();
            }
        }
        inner.watcher.is_wanted = true;
        self.finish(inner);
    }

    /// There may be room on a worker's socket again.
    pub(crate) fn send_rest(&self, worker: WorkerId) {
        let mut inner = self.lock();
        let several = inner.up(worker).and_then(|up| up.several.as_mut());
        let Some(several) = several else {
            return;
        };
        several.unsent = None;
        let outbox = Arc::clone(&several.outbox);
        drop(inner);
        self.flush(worker, &outbox);
    }
}

impl Inner {
    /// A call that was sent ahead runs now.
    pub(crate) fn run(&mut self, call: CallId) {
        let Some(entry) = self.calls.get_mut(&call) else {
            return;
        };
        entry.sent = Some(Instant::now());
        let worker = entry.worker;
        let several = worker.and_then(|it| self.up(it)?.several.as_mut());
        let given = several.and_then(|it| it.given.iter_mut().find(|it| it.call == call));
        if let Some(given) = given {
            given.runs = true;
        }
    }

    /// Asks a worker to drop a call.
    pub(crate) fn cancel(&mut self, worker: WorkerId, call: CallId) {
        let several = self.up(worker).and_then(|up| up.several.as_mut());
        let Some(several) = several else {
            return;
        };
        let Some(given) = several.given.iter_mut().find(|it| it.call == call) else {
            return;
        };
        given.is_cancelled = true;
        several.outbox.push(ToSend::Cancel(given.number));
        let outbox = Arc::clone(&several.outbox);
        self.todo.flushes.push((worker, outbox));
    }
}
