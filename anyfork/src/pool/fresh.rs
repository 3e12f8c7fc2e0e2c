//! [`FreshCall`]: one call in a process of its own.
//! RUNS IN: caller
//!
//! The request goes with the launch, or follows it when the process is ready. What happens
//! then is [`course`]'s; only the waiting is here.

pub(crate) mod course;

use std::io;
use std::mem;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
#[cfg(feature = "tokio")]
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::caller::process::Process;
#[cfg(feature = "tokio")]
use crate::caller::wait::events::Events;
use crate::error::{Error, Result};
use crate::pool::connection::Connection;
use crate::pool::entered::EnteredPage;
use crate::pool::fresh::course::Course;
use crate::pool::prepared::{MAX_RESULT, Prepared};
use crate::pool::request::Request;
use crate::protocol::call::{Payload, Terms};
use crate::spec::name::{CALL_LOOP, CallLoop, ONE_CALL};
use crate::sys::epoll::Epoll;
use crate::sys::poll::{self, Interest};
use crate::sys::signal::BlockedSignals;

/// Interval between two looks whether somebody waits for the call.
const INTERVAL_BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// A call, and its process. Dropped, it kills the process.
pub struct FreshCall(Arc<Mutex<Inner>>);

struct Inner {
    course: Course,
    /// Somebody waits for the call, or has begun to: then nobody else takes its steps.
    is_waited_for: bool,
    /// What a task waits for, and the task.
    #[cfg(feature = "tokio")]
    awaited: Option<(Events, Waker)>,
}

impl FreshCall {
    /// Starts a process for the call. A short request is among the arguments of the worker.
    /// A long one is sent when the process is ready, and not before: a process that prepares
    /// itself is killed by whatever happens on its socket, which is how it dies with its
    /// caller.
    pub(crate) fn start(process: Process, call: Prepared) -> Result<FreshCall> {
        let (number, name) = (call.number, call.name);
        let page = EnteredPage::new();
        let (entered, page) = page.map_err(|error| Error::io("make the page of a call", error))?;
        let terms = Terms {
            fingerprint: call.fingerprint,
            max_result: MAX_RESULT,
            keep_after_panic: false,
            is_last: true,
            at_once: 0,
            is_ahead: false,
        };
        let request = Request {
            number,
            name,
            terms,
            arguments: call.arguments,
            items: None,
        };
        let process = process.kill_on_drop(true);
        let (launch, rest) = match request.into_piece() {
            Ok((piece, fds)) => {
                let process = process.send_fds(fds).send_arg(piece).send_fd(page);
                (process.run_companion::<CallLoop>(ONE_CALL), None)
            }
            Err(request) => {
                let process = process.send_fd(page);
                (process.run_companion::<CallLoop>(CALL_LOOP), Some(request))
            }
        };
        let (pending, trace) = launch.into_pending()?;
        let (spawn, streams) = pending.into_started()?;
        let socket = spawn.socket().try_clone();
        let socket = socket.map_err(|error| Error::io("duplicate a call's socket", error))?;
        let mut connection = Connection::new(Arc::new(socket));
        match rest {
            None => connection.expect(number, name, terms),
            Some(request) => connection.start(*request),
        }
        let course = Course::new((spawn, streams), trace, connection, entered, number, name);
        let is_sent = course.is_sent();
        let call = FreshCall(Arc::new(Mutex::new(Inner {
            course,
            is_waited_for: false,
            #[cfg(feature = "tokio")]
            awaited: None,
        })));
        if !is_sent {
            call.send_rest();
        }
        Ok(call)
    }

    /// Sends a long request in a thread of its own, as long as nobody waits for the call.
    /// Without a thread, it is sent when somebody does.
    fn send_rest(&self) {
        let call = Arc::downgrade(&self.0);
        let send = move || {
            while let Some(call) = call.upgrade() {
                let (set, until) = {
                    let mut inner = lock(&call);
                    if inner.is_waited_for || inner.course.is_sent() {
                        return;
                    }
                    let Some(wait) = inner.course.step() else {
                        return;
                    };
                    (inner.course.with_sources(&wait, Epoll::of), wait.until)
                };
                // Whoever drops the call meanwhile kills its process.
                drop(call);
                let look = Instant::now() + INTERVAL_BETWEEN_LOOKS;
                let until = until.map_or(look, |until| until.min(look));
                match set.map(OwnedFd::from) {
                    Ok(set) => drop(poll::wait(set.as_fd(), Interest::Readable, Some(until))),
                    Err(_) => thread::sleep(INTERVAL_BETWEEN_LOOKS),
                }
            }
        };
        let _ = start_thread(send);
    }

    pub(crate) fn set_timeout(&mut self, limit: Duration) {
        lock(&self.0).course.set_timeout(limit);
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.look(|course| course.step().is_none())
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.look(|course| {
            if course.pid().is_none() {
                course.step();
            }
            course.pid()
        })
    }

    /// Waits for the result in a thread of its own, and drops it.
    pub(crate) fn detach(self) {
        let call = Arc::new(Mutex::new(Some(self)));
        let take = |call: &Mutex<Option<FreshCall>>| {
            call.lock().unwrap_or_else(PoisonError::into_inner).take()
        };
        let theirs = Arc::clone(&call);
        let started = start_thread(move || drop(take(&theirs).map(FreshCall::blocking)));
        if started.is_err() {
            // Forget: dropped, it would kill the process.
            mem::forget(take(&call));
        }
    }

    /// Waits for the result.
    pub(crate) fn blocking(self) -> Result<Payload> {
        let mut inner = lock(&self.0);
        inner.is_waited_for = true;
        let course = &mut inner.course;
        course.discard_arrivals();
        while let Some(wait) = course.step() {
            let until = wait.until;
            course
                .with_sources(&wait, |fds| poll::wait_any(fds, until))
                .map_err(failed)?;
        }
        course.take_result()
    }

    /// Waits for an event. `None`: there are no more.
    pub(crate) fn blocking_arrival(&mut self) -> Option<Result<Payload>> {
        let mut inner = lock(&self.0);
        inner.is_waited_for = true;
        let course = &mut inner.course;
        loop {
            if let Some(arrival) = course.take_arrival() {
                return arrival;
            }
            let Some(wait) = course.step() else {
                continue;
            };
            let until = wait.until;
            let waited = course.with_sources(&wait, |fds| poll::wait_any(fds, until));
            if let Err(error) = waited {
                return Some(Err(failed(error)));
            }
        }
    }

    /// Waits for an event in a task.
    #[cfg(feature = "tokio")]
    pub(crate) fn poll_arrival(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Payload>>> {
        let mut inner = lock(&self.0);
        if let Some(arrival) = inner.course.take_arrival() {
            return Poll::Ready(arrival);
        }
        inner
            .poll(context, Course::take_arrival)
            .map(|it| it.unwrap_or_else(|error| Some(Err(error))))
    }

    /// Waits for the result in a task.
    #[cfg(feature = "tokio")]
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Payload>> {
        let mut inner = lock(&self.0);
        inner.course.discard_arrivals();
        let taken = inner.poll(context, |course| {
            course.is_over().then(|| course.take_result())
        });
        taken.map(|taken| taken.and_then(|result| result))
    }

    /// Looks at the course, which may go on by that: then a task that waits for it has to
    /// wait for something else.
    fn look<T>(&self, look: impl FnOnce(&mut Course) -> T) -> T {
        let mut inner = lock(&self.0);
        let seen = look(&mut inner.course);
        #[cfg(feature = "tokio")]
        if let Some((_, waker)) = inner.awaited.take() {
            waker.wake();
        }
        seen
    }
}

#[cfg(feature = "tokio")]
impl Inner {
    /// Takes steps in a task, until there is something to take.
    fn poll<T>(
        &mut self,
        context: &mut Context<'_>,
        take: impl Fn(&mut Course) -> Option<T>,
    ) -> Poll<Result<T>> {
        self.is_waited_for = true;
        let Inner {
            course, awaited, ..
        } = self;
        loop {
            if let Some((events, waker)) = awaited {
                waker.clone_from(context.waker());
                std::task::ready!(events.poll(context))?;
                *awaited = None;
            }
            let wait = course.step();
            if let Some(taken) = take(course) {
                return Poll::Ready(Ok(taken));
            }
            let Some(wait) = wait else {
                continue;
            };
            let until = wait.until;
            let events = course.with_sources(&wait, |fds| Events::of(fds, until))?;
            *awaited = Some((events, context.waker().clone()));
        }
    }
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a thread in which no signal handler of the program's runs.
fn start_thread(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let blocked = BlockedSignals::all()?;
    let thread = thread::Builder::new().name("anyfork call".to_owned());
    let started = thread.spawn(work);
    drop(blocked);
    started.map(drop)
}

fn failed(error: io::Error) -> Error {
    Error::io("wait for a call", error)
}
