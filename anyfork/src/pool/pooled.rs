//! [`PoolCall`]: a call in a pool, as its owner has it.
//! RUNS IN: caller
//!
//! Who waits for the result reads the worker's socket: a thread in recvmsg(2), a task of a
//! tokio runtime when the runtime says that the socket is readable. Where nobody reads, the
//! watcher does.

mod taking;

#[cfg(feature = "tokio")]
use std::mem;
use std::sync::Arc;
#[cfg(feature = "tokio")]
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

#[cfg(feature = "tokio")]
use crate::caller::wait::socket::SocketReadiness;
use crate::error::{Error, ErrorKind, Result};
use crate::pool::arrivals::Arrivals;
use crate::pool::core::Shared;
use crate::pool::entry::{Aim, Entry, Owner};
#[cfg(feature = "tokio")]
use crate::pool::entry::{Until, Wake};
use crate::pool::exchange::By;
use crate::pool::inner::{Inner, Trash};
use crate::pool::over::Over;
use crate::pool::prepared::Prepared;
use crate::pool::request::Request;
use crate::pool::state::event::{CallId, Event, WorkerId};
use crate::pool::trace::{CallTrace, Home};
use crate::protocol::call::{Payload, Terms};

/// A call in a pool. Dropped, it is undone.
pub struct PoolCall {
    shared: Arc<Shared>,
    id: CallId,
    trace: CallTrace,
    /// The worker whose result was taken.
    answered_by: Option<WorkerId>,
    /// Nothing is left to undo.
    is_over: bool,
}

impl PoolCall {
    /// Gives the call to a worker, or puts it into the queue.
    pub(crate) fn start(shared: Arc<Shared>, call: Prepared) -> PoolCall {
        PoolCall::start_at(shared, call, Aim::ANY)
    }

    /// Gives the call to the worker that it is for, once that has none.
    pub(crate) fn start_at(shared: Arc<Shared>, call: Prepared, aim: Aim) -> PoolCall {
        let id = CallId(call.number);
        let options = &shared.options;
        let terms = Terms {
            fingerprint: call.fingerprint,
            max_result: options.max_result,
            keep_after_panic: options.keep_after_panic,
            is_last: false,
            at_once: match call.is_async && call.items.is_none() {
                true => options.at_once,
                false => 0,
            },
            is_ahead: false,
        };
        let request = Request {
            number: 0,
            name: call.name,
            terms,
            arguments: call.arguments,
            items: call.items,
        };
        let trace = CallTrace::begin(call.name, call.number);
        let home = match shared.has_home() {
            true => trace.home(),
            false => Home::default(),
        };
        let entry = Entry {
            name: call.name,
            aim,
            request: Some(request),
            number: 0,
            worker: None,
            sent: None,
            timeout: options.timeout,
            has_entered: false,
            others: 0,
            result: None,
            owner: Owner::Away,
            arrivals: Arrivals::default(),
            home,
        };
        shared.call(id, entry);
        PoolCall {
            shared,
            id,
            trace,
            answered_by: None,
            is_over: false,
        }
    }

    /// Waits for the result.
    pub(crate) fn blocking(&mut self) -> Result<Payload> {
        let result = self.wait(PoolCall::take);
        self.trace.ended(&result);
        result
    }

    fn wait<T: Over>(&mut self, take: Take<T>) -> T {
        let shared = Arc::clone(&self.shared);
        if shared.is_copy() {
            return T::failed(of_another_process());
        }
        let mut inner = shared.lock();
        loop {
            if let Some(taken) = take(self, &mut inner) {
                shared.leave_reading(&mut inner, self.id);
                shared.finish(inner);
                return taken;
            }
            let worker = inner.readable_for(self.id);
            let line = worker.and_then(|it| Some((it, shared.take_line(&mut inner, it)?)));
            match (line, inner.calls.contains_key(&self.id)) {
                (_, false) => return T::over(),
                (Some((worker, mut line)), true) => {
                    inner.set_owner(self.id, Owner::Reads);
                    shared.finish(inner);
                    let stepped = line.wait(&shared);
                    inner = shared.lock();
                    shared.put_back(&mut inner, worker, line, stepped, By::Owner);
                }
                (None, true) => {
                    inner.set_owner(self.id, Owner::Sleeps(thread::current()));
                    shared.finish(inner);
                    thread::park();
                    inner = shared.lock();
                }
            }
        }
    }

    /// Waits for the result in a task.
    #[cfg(feature = "tokio")]
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Payload>> {
        let result = self.poll_for(context, PoolCall::take);
        if let Poll::Ready(result) = &result {
            self.trace.ended(result);
        }
        result
    }

    #[cfg(feature = "tokio")]
    fn poll_for<T: Over>(&mut self, context: &mut Context<'_>, take: Take<T>) -> Poll<T> {
        let shared = Arc::clone(&self.shared);
        if shared.is_copy() {
            return Poll::Ready(T::failed(of_another_process()));
        }
        let mut until = Until::Readable;
        loop {
            let mut inner = shared.lock();
            if let Some(taken) = take(self, &mut inner) {
                shared.leave_reading(&mut inner, self.id);
                shared.finish(inner);
                return Poll::Ready(taken);
            }
            if shared.options.gives_several {
                // The one watcher reads for all: a task may never be polled again, and the
                // others have to go on.
                return self.sleep(inner, context.waker(), Until::Result);
            }
            let worker = inner.readable_for(self.id);
            let up = worker.and_then(|it| inner.up(it));
            let Some((worker, up)) = worker.zip(up).filter(|(_, up)| !up.is_unsent()) else {
                return self.sleep(inner, context.waker(), Until::Turn);
            };
            if until == Until::Result {
                return self.sleep(inner, context.waker(), until);
            }
            let readiness = up.readiness.clone();
            let Some(readiness) = readiness.filter(|it| it.is_of_this_runtime()) else {
                let socket = Arc::clone(&up.socket);
                drop(inner);
                if !self.register(worker, &socket) {
                    until = Until::Result;
                }
                continue;
            };
            if !self.awaits(&mut inner, context.waker(), until) {
                return Poll::Ready(T::over());
            }
            shared.finish(inner);
            let readable = match readiness.poll(context) {
                Poll::Pending if self.is_mine(worker) => return Poll::Pending,
                Poll::Pending => continue,
                Poll::Ready(None) => {
                    until = Until::Result;
                    continue;
                }
                Poll::Ready(Some(readable)) => readable,
            };
            let mut inner = shared.lock();
            let can_read = inner.readable_for(self.id) == Some(worker);
            let line = can_read.then(|| shared.take_line(&mut inner, worker));
            let (Some(mut line), Some(entry)) = (line.flatten(), inner.calls.get_mut(&self.id))
            else {
                drop(inner);
                self.is_mine(worker);
                continue;
            };
            // Nobody has to wake the task that reads itself.
            let owner = mem::replace(&mut entry.owner, Owner::Reads);
            drop(inner);
            let stepped = line.step(&shared);
            if !stepped.has_more() {
                // Before the worker has the next call.
                readable.forget();
            }
            let mut inner = shared.lock();
            shared.put_back(&mut inner, worker, line, stepped, By::Owner);
            let taken = take(self, &mut inner);
            if let Some(entry) = inner.calls.get_mut(&self.id) {
                entry.owner = owner;
                shared.finish(inner);
            } else {
                shared.finish(inner);
                drop(owner);
            }
            if let Some(taken) = taken {
                return Poll::Ready(taken);
            }
        }
    }

    /// Registers a worker's socket with this task's runtime, if there is one.
    #[cfg(feature = "tokio")]
    fn register(&self, worker: WorkerId, socket: &Arc<std::os::unix::net::UnixStream>) -> bool {
        let readiness = SocketReadiness::new(socket);
        let is_registered = readiness.is_some();
        let mut inner = self.shared.lock();
        let before = inner
            .up(worker)
            .and_then(|up| mem::replace(&mut up.readiness, readiness));
        self.shared.finish(inner);
        drop(before);
        is_registered
    }

    /// Whether the worker has this call. If not, the task that owns the worker's present
    /// call is woken: this one has taken its place in the runtime.
    #[cfg(feature = "tokio")]
    fn is_mine(&self, worker: WorkerId) -> bool {
        let mut inner = self.shared.lock();
        let call = inner.up(worker).and_then(|up| up.call);
        let is_mine = call == Some(self.id);
        if !is_mine
            && let Some(call) = call
            && let Some(entry) = inner.calls.get_mut(&call)
            && let Owner::Awaits(waker, Until::Readable) = &entry.owner
        {
            let wake = Wake::Task(waker.clone());
            inner.todo.wakes.push(wake);
        }
        self.shared.finish(inner);
        is_mine
    }

    /// Notes what wakes this task. `false`: the call is over.
    #[cfg(feature = "tokio")]
    fn awaits(&self, inner: &mut Inner, waker: &Waker, until: Until) -> bool {
        let Some(entry) = inner.calls.get_mut(&self.id) else {
            return false;
        };
        if let Owner::Awaits(before, what) = &mut entry.owner
            && before.will_wake(waker)
        {
            *what = until;
            return true;
        }
        inner.set_owner(self.id, Owner::Awaits(waker.clone(), until));
        true
    }

    #[cfg(feature = "tokio")]
    fn sleep<T: Over>(
        &self,
        mut inner: std::sync::MutexGuard<'_, Inner>,
        waker: &Waker,
        until: Until,
    ) -> Poll<T> {
        let is_there = self.awaits(&mut inner, waker, until);
        inner.watcher.is_wanted |= until == Until::Result && !inner.is_watched(self.id);
        self.shared.finish(inner);
        match is_there {
            true => Poll::Pending,
            false => Poll::Ready(T::over()),
        }
    }

    /// The result, if it is there.
    fn take(&mut self, inner: &mut Inner) -> Option<Result<Payload>> {
        let entry = inner.calls.get_mut(&self.id)?;
        let unwanted = entry.arrivals.discard();
        if !unwanted.is_empty() {
            inner.todo.trash.push(Trash::Arrivals(unwanted));
        }
        let result = entry.result.take()?;
        self.answered_by = entry.worker;
        self.is_over = true;
        inner.forget(self.id);
        Some(result)
    }

    pub(crate) fn set_timeout(&mut self, limit: Duration) {
        let mut inner = self.shared.lock();
        if let Some(entry) = inner.calls.get_mut(&self.id) {
            entry.timeout = Some(limit);
        }
        self.shared.tell(&mut inner, Event::Timeout(self.id, limit));
        self.shared.finish(inner);
    }

    pub(crate) fn set_queue_timeout(&mut self, limit: Duration) {
        let event = Event::QueueTimeout(self.id, limit);
        self.shared.tell_alone(event);
    }

    pub(crate) fn detach(mut self) {
        self.is_over = true;
        let mut inner = self.shared.lock();
        match inner.calls.get_mut(&self.id) {
            Some(entry) if entry.result.is_none() => {
                let unwanted = entry.arrivals.discard();
                inner.todo.trash.push(Trash::Arrivals(unwanted));
                inner.set_owner(self.id, Owner::Gone);
                inner.watcher.is_wanted = true;
                self.shared.tell(&mut inner, Event::Detach(self.id));
            }
            _ => inner.forget(self.id),
        }
        self.shared.finish(inner);
    }

    /// Reads what has arrived.
    fn look(&self) {
        let inner = self.shared.lock();
        let worker = inner.readable_for(self.id);
        drop(inner);
        if let Some(worker) = worker {
            self.shared.read_for_owner(worker);
        }
    }
}

/// A result that has arrived is thrown away; a call that waits never runs; and the worker of
/// one that runs is killed.
impl Drop for PoolCall {
    fn drop(&mut self) {
        if self.is_over || self.shared.is_copy() {
            return;
        }
        self.look();
        let mut inner = self.shared.lock();
        match inner.calls.get(&self.id) {
            Some(entry) if entry.result.is_none() => {
                self.shared.tell(&mut inner, Event::Drop(self.id));
                inner.watcher.is_wanted |=
                    self.shared.options.gives_several && !inner.is_watched(self.id);
            }
            _ => {}
        }
        inner.forget(self.id);
        self.shared.finish(inner);
    }
}

/// The error for a call of the process that this one was forked from.
fn of_another_process() -> Error {
    let message = "the call belongs to the process from which this one was forked, and its result \
                   goes there";
    Error::new(ErrorKind::Closed, message)
}

/// Takes what is waited for out of the pool's tables.
type Take<T> = fn(&mut PoolCall, &mut Inner) -> Option<T>;
