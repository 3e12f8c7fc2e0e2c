//! [`FreshCall`]: one call in a process of its own.
//! RUNS IN: caller
//!
//! The request follows the launch without waiting for it. The worker exits after its
//! answer, and is waited for, so that no process is left when the caller has the result.

#[cfg(feature = "tokio")]
use std::future::Future;
use std::mem;
use std::os::fd::AsFd;
#[cfg(feature = "tokio")]
use std::pin::Pin;
use std::sync::Arc;
#[cfg(feature = "tokio")]
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use crate::caller::child::Worker;
use crate::caller::child::blocking::Child;
use crate::caller::child::pending::PendingChild;
use crate::caller::launch::sealed::Target;
use crate::caller::process::Process;
#[cfg(feature = "tokio")]
use crate::caller::wait::readiness;
use crate::error::{Error, Result};
use crate::pool::connection::{Connection, Progress, Request, WaitFor};
use crate::pool::entered::EnteredPage;
use crate::pool::failed;
use crate::pool::prepared::{MAX_RESULT, Prepared};
use crate::protocol::call::{Payload, Terms};
use crate::spec::name::{CALL_LOOP, CallLoop};
use crate::sys::poll::{self, Interest};
#[cfg(feature = "tokio")]
use crate::sys::time;

/// Timeout for the exit of a worker that has answered, or closed its socket.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);

/// A call, and the launch of its process. Dropped, it kills the process.
pub struct FreshCall {
    state: State,
    timeout: Option<Duration>,
}

enum State {
    Launched(Box<(PendingChild, Talk)>),
    #[cfg(feature = "tokio")]
    Awaited(Pin<Box<dyn Future<Output = Result<Payload>> + Send>>),
    Over,
}

/// The conversation with the worker.
struct Talk {
    connection: Connection,
    entered: EnteredPage,
    number: u64,
    name: &'static str,
    begun: Instant,
}

/// What to do next.
enum Next {
    Wait(WaitFor),
    /// The worker has answered.
    Done(Result<Payload>),
    /// It will not.
    AwaitExit,
}

impl FreshCall {
    /// Starts a process for the call, and sends the request after it.
    pub(crate) fn start(process: Process, call: Prepared) -> Result<FreshCall> {
        let page = EnteredPage::new();
        let (entered, page) = page.map_err(|error| Error::io("make the page of a call", error))?;
        let launch = process
            .kill_on_drop(true)
            .send_fd(page)
            .run_companion::<CallLoop>(CALL_LOOP);
        let mut pending = launch.into_pending()?;
        let socket = pending.spawn()?.socket().try_clone();
        let socket = socket.map_err(|error| Error::io("duplicate a call's socket", error))?;
        let mut connection = Connection::new(Arc::new(socket));
        connection.start(Request {
            number: call.number,
            name: call.name,
            terms: Terms {
                fingerprint: call.fingerprint,
                max_result: MAX_RESULT,
                keep_after_panic: false,
                is_last: true,
            },
            arguments: call.arguments,
        });
        // The child reads what belongs to its launch, and not a byte more.
        if pending.spawn()?.send_step()?.is_none() {
            let _ = connection.send_step()?;
        }
        Ok(FreshCall {
            state: State::Launched(Box::new((
                pending,
                Talk {
                    connection,
                    entered,
                    number: call.number,
                    name: call.name,
                    begun: Instant::now(),
                },
            ))),
            timeout: None,
        })
    }

    pub(crate) fn set_timeout(&mut self, limit: Duration) {
        self.timeout = Some(limit);
    }

    pub(crate) fn is_finished(&self) -> bool {
        match &self.state {
            State::Launched(launched) => poll::is_hung_up(launched.1.connection.socket()),
            #[cfg(feature = "tokio")]
            State::Awaited(_) => false,
            State::Over => true,
        }
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        None
    }

    /// Waits for the result in a thread of its own, and drops it.
    pub(crate) fn detach(self) {
        let _ = thread::Builder::new().spawn(move || drop(self.blocking()));
    }

    /// Waits for the result.
    pub(crate) fn blocking(mut self) -> Result<Payload> {
        let timeout = self.timeout;
        match mem::replace(&mut self.state, State::Over) {
            State::Launched(launched) => {
                let (pending, mut talk) = *launched;
                let worker = <Worker as Target>::blocking(pending);
                let worker = worker.map_err(|error| error.before_entry())?;
                drop(worker.socket);
                talk.begun = Instant::now();
                talk.blocking(worker.child, timeout)
            }
            // It was polled before: the same future goes on, in a runtime of no use here.
            #[cfg(feature = "tokio")]
            State::Awaited(_) => Err(over()),
            State::Over => Err(over()),
        }
    }

    /// Goes on in a task of the runtime.
    #[cfg(feature = "tokio")]
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Payload>> {
        let timeout = self.timeout;
        let mut future = match mem::replace(&mut self.state, State::Over) {
            State::Launched(launched) => Box::pin(awaited(launched.0, launched.1, timeout)),
            State::Awaited(future) => future,
            State::Over => return Poll::Ready(Err(over())),
        };
        let polled = future.as_mut().poll(context);
        if polled.is_pending() {
            self.state = State::Awaited(future);
        }
        polled
    }
}

/// Waits for the result in a task.
#[cfg(feature = "tokio")]
async fn awaited(
    pending: PendingChild,
    mut talk: Talk,
    timeout: Option<Duration>,
) -> Result<Payload> {
    let worker = <Worker as Target>::asynchronous(pending).await;
    let worker = worker.map_err(|error| error.before_entry())?;
    drop(worker.socket);
    let mut child = worker.child;
    talk.begun = Instant::now();
    let deadline = timeout.and_then(|limit| talk.begun.checked_add(limit));
    let timer = deadline.map(time::timer).transpose();
    let timer = timer.map_err(|error| Error::io("set the timer of a call", error))?;
    let mut has_exited = false;
    loop {
        let is_late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let wait = match talk.next() {
            Next::Done(result) => {
                drop(talk.connection);
                let soon = Some(Instant::now() + EXIT_TIMEOUT);
                let exited = async { child.wait().await };
                let _ = readiness::within(soon, talk.name, exited).await;
                return result;
            }
            Next::Wait(wait) if !has_exited && !is_late => wait,
            Next::Wait(_) if is_late && !has_exited => {
                let _ = child.kill().await;
                let has_entered = talk.entered.has_entered(talk.number);
                return Err(failed::too_late(
                    talk.name,
                    child.pid(),
                    timeout,
                    has_entered,
                ));
            }
            Next::Wait(_) | Next::AwaitExit => {
                let soon = Some(Instant::now() + EXIT_TIMEOUT);
                let exited = async { child.wait().await };
                if readiness::within(soon, talk.name, exited).await.is_err() {
                    child.start_kill()?;
                }
                let (pid, exit) = (child.pid(), child.wait().await);
                return Err(talk.died(pid, exit));
            }
        };
        if wait.later {
            readiness::sleep(Duration::from_millis(1)).await?;
            continue;
        }
        let socket = talk.connection.socket();
        let room = async {
            match wait.writable {
                true => readiness::writable(socket).await,
                false => std::future::pending().await,
            }
        };
        let answered = readiness::either(readiness::readable(socket), room);
        let exited = readiness::readable(child.as_fd());
        let late = readiness::readable_if_any(timer.as_ref().map(AsFd::as_fd));
        readiness::either(readiness::either(answered, exited), late).await?;
        has_exited = poll::is_any_ready(&[(child.as_fd(), Interest::Readable)], Duration::ZERO);
    }
}

fn over() -> Error {
    Error::io(
        "wait for a call that is over",
        std::io::ErrorKind::InvalidInput,
    )
}

impl Talk {
    /// Goes on as far as possible.
    fn next(&mut self) -> Next {
        match self.connection.step() {
            Err(error) => Next::Done(Err(error.during(format_args!("call `{}`", self.name)))),
            Ok(Progress::WaitFor(wait)) => Next::Wait(wait),
            Ok(Progress::Ended) => Next::AwaitExit,
            Ok(Progress::Reply(reply)) => Next::Done(failed::result(self.name, reply.outcome)),
        }
    }

    /// The error for a worker that has exited without an answer.
    fn died(&self, pid: u32, exit: Result<crate::exit::Exit>) -> Error {
        let has_entered = self.entered.has_entered(self.number);
        failed::died(self.name, pid, exit, self.begun.elapsed(), has_entered)
    }

    fn blocking(mut self, mut child: Child, timeout: Option<Duration>) -> Result<Payload> {
        let deadline = timeout.and_then(|limit| self.begun.checked_add(limit));
        let mut has_exited = false;
        loop {
            let is_late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            let wait = match self.next() {
                Next::Done(result) => {
                    drop(self.connection);
                    let _ = child.wait_timeout(EXIT_TIMEOUT);
                    return result;
                }
                Next::Wait(wait) if !has_exited && !is_late => wait,
                Next::Wait(_) if is_late && !has_exited => {
                    let _ = child.kill();
                    let has_entered = self.entered.has_entered(self.number);
                    return Err(failed::too_late(
                        self.name,
                        child.pid(),
                        timeout,
                        has_entered,
                    ));
                }
                Next::Wait(_) | Next::AwaitExit => {
                    if child.wait_timeout(EXIT_TIMEOUT)?.is_none() {
                        child.start_kill()?;
                    }
                    let (pid, exit) = (child.pid(), child.wait());
                    return Err(self.died(pid, exit));
                }
            };
            if wait.later {
                thread::sleep(Duration::from_millis(1));
                continue;
            }
            let socket = self.connection.socket();
            let mut fds = vec![
                (socket, Interest::Readable),
                (child.as_fd(), Interest::Readable),
            ];
            fds.extend(wait.writable.then_some((socket, Interest::Writable)));
            let waited = poll::wait_any(&fds, deadline);
            waited.map_err(|error| Error::io("wait for a call", error))?;
            has_exited = poll::is_any_ready(&[(child.as_fd(), Interest::Readable)], Duration::ZERO);
        }
    }
}
