//! [`Course`]: a call in a fresh process, from launch to exit, as steps that never block.
//! RUNS IN: caller
//!
//! The worker exits after its answer, and the pidfd reports the exit: so no process is left
//! when the caller has the result, and normally no timer is waited for. A worker that does
//! not exit by itself is killed.

mod ends;

use std::mem;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::caller::child::exit_watch::ExitWatch;
use crate::caller::spawn::wait_for;
use crate::caller::spawn::{self, Spawn};
use crate::caller::stdio::Streams;
use crate::caller::trace::Trace;
use crate::caller::wait::sources;
use crate::error::{Error, Result};
use crate::pool::arrivals::Arrivals;
use crate::pool::connection::{self, Connection, Progress};
use crate::pool::entered::EnteredPage;
use crate::pool::failed;
use crate::protocol::call::Payload;
use crate::sys::pidfd;
use crate::sys::poll::Interest;
use crate::sys::tools;

/// Timeout for the exit of a worker that has answered: it has nothing left to do, and has
/// written out its buffers.
const TIMEOUT_AFTER_ANSWER: Duration = Duration::from_secs(1);

/// The same where tools write what they have counted, and look for leaks.
const TIMEOUT_WITH_TOOLS: Duration = Duration::from_secs(60);

/// Timeout for the exit of a worker that has closed its socket.
const TIMEOUT_AFTER_END: Duration = Duration::from_secs(1);

/// Timeout for the exit of a worker that has answered and was killed: the kernel may be busy
/// with it.
const TIMEOUT_AFTER_KILL: Duration = Duration::from_secs(1);

/// Interval between two attempts where no descriptor reports the event.
const INTERVAL: Duration = Duration::from_millis(1);

/// A call, and its process. Dropped, it kills the process.
pub(crate) struct Course {
    phase: Phase,
    connection: Connection,
    entered: EnteredPage,
    trace: Trace,
    number: u64,
    name: &'static str,
    /// Maximum time of the call.
    limit: Option<Duration>,
    pid: Option<u32>,
    arrivals: Arrivals,
}

/// A launch, and the caller's ends of the streams.
type Launch = (Spawn<UnixStream>, Streams);

/// How far a call is.
enum Phase {
    Launching(Box<Launch>),
    /// The worker has the call, or will read it next.
    Running(Running),
    /// The result is known, and the worker is to exit until then.
    Leaving(Running, Result<Payload>, Deadline),
    /// It was killed because its time was over.
    Late(Running),
    /// No answer will come, and the worker is to exit until then.
    Dying(Running, Deadline),
    /// `None`: somebody has taken the result.
    Over(Option<Result<Payload>>),
}

/// A worker that was ready.
struct Running {
    watch: ExitWatch,
    /// Nobody reads them, and nobody is to find them closed.
    _streams: Streams,
    begun: Instant,
}

/// The time until which a worker has to exit.
enum Deadline {
    KillAt(Instant),
    /// It was killed.
    GiveUpAt(Instant),
}

/// The events that make a step worth it.
pub(crate) struct Wait {
    event: Event,
    /// Also at this time.
    pub(crate) until: Option<Instant>,
}

enum Event {
    Launch(wait_for::WaitFor),
    Answer(connection::WaitFor),
    /// Events have arrived, and more may have.
    Arrived,
    Exit,
    /// The record of an exit.
    Record,
}

impl Course {
    pub(crate) fn new(
        launch: Launch,
        trace: Trace,
        connection: Connection,
        entered: EnteredPage,
        number: u64,
        name: &'static str,
    ) -> Course {
        Course {
            phase: Phase::Launching(Box::new(launch)),
            connection,
            entered,
            trace,
            number,
            name,
            limit: None,
            pid: None,
            arrivals: Arrivals::default(),
        }
    }

    /// Limits the time from when the worker is ready.
    pub(crate) fn set_timeout(&mut self, limit: Duration) {
        self.limit = Some(limit);
    }

    /// The worker, once it is ready.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Whether the request is sent.
    pub(crate) fn is_sent(&self) -> bool {
        self.connection.is_sent()
    }

    /// Goes on as far as possible. `None`: the call is over.
    pub(crate) fn step(&mut self) -> Option<Wait> {
        loop {
            let phase = mem::replace(&mut self.phase, Phase::Over(None));
            let (next, wait) = match phase {
                Phase::Launching(launch) => self.launch(launch),
                Phase::Running(worker) => self.run(worker),
                Phase::Leaving(worker, result, deadline) => leave(worker, result, deadline),
                Phase::Late(worker) => self.end_late(worker),
                Phase::Dying(worker, deadline) => self.die(worker, deadline),
                over @ Phase::Over(_) => (over, None),
            };
            self.phase = next;
            if wait.is_some() || matches!(self.phase, Phase::Over(_)) {
                return wait;
            }
        }
    }

    /// Whether the result is known, and the worker is gone.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over(_))
    }

    /// The next event. `Some(None)`: there are no more.
    pub(crate) fn take_arrival(&mut self) -> Option<Option<Result<Payload>>> {
        match self.arrivals.take() {
            None if self.is_over() => Some(None),
            None => None,
            arrival => Some(arrival),
        }
    }

    /// Nobody takes events any more.
    pub(crate) fn discard_arrivals(&mut self) {
        self.arrivals.discard();
    }

    /// The result of a call that is over.
    pub(crate) fn take_result(&mut self) -> Result<Payload> {
        let result = match &mut self.phase {
            Phase::Over(result) => result.take(),
            _ => None,
        };
        result.unwrap_or_else(|| {
            let message = "wait for a call whose result was taken";
            Err(Error::io(message, std::io::ErrorKind::InvalidInput))
        })
    }

    /// Gives `look` the descriptors that report the events.
    pub(crate) fn with_sources<T>(
        &self,
        wait: &Wait,
        look: impl FnOnce(&[(BorrowedFd<'_>, Interest)]) -> T,
    ) -> T {
        let socket = self.connection.socket();
        match (&self.phase, &wait.event) {
            (Phase::Launching(launch), Event::Launch(wait)) => {
                sources::with_sources(&launch.0, *wait, look)
            }
            (Phase::Running(worker), Event::Answer(wait)) => {
                let exit = (worker.watch.pidfd(), Interest::Readable);
                let readable = (socket, Interest::Readable);
                match wait.writable {
                    true => look(&[readable, exit, (socket, Interest::Writable)]),
                    false => look(&[readable, exit]),
                }
            }
            (Phase::Dying(worker, _), Event::Record) => look(&[
                (worker.watch.status(), Interest::Readable),
                (worker.watch.pidfd(), Interest::HungUp),
            ]),
            (
                Phase::Running(worker)
                | Phase::Leaving(worker, ..)
                | Phase::Late(worker)
                | Phase::Dying(worker, _),
                Event::Exit,
            ) => look(&[(worker.watch.pidfd(), Interest::Readable)]),
            _ => look(&[]),
        }
    }

    fn launch(&mut self, mut launch: Box<Launch>) -> (Phase, Option<Wait>) {
        let spawn = &mut launch.0;
        let deadline = spawn.deadline();
        let error = match spawn.step() {
            Ok(spawn::Progress::Ready(watch)) => {
                let (spawn, streams) = *launch;
                drop(spawn.into_socket());
                self.pid = Some(watch.pid());
                let worker = Running {
                    watch,
                    _streams: streams,
                    begun: Instant::now(),
                };
                return (Phase::Running(worker), None);
            }
            Ok(spawn::Progress::WaitFor(_)) if deadline.is_some_and(is_over) => {
                Error::too_late(spawn.what())
            }
            Ok(spawn::Progress::WaitFor(wait)) => {
                let later = (wait == wait_for::WaitFor::Later).then(|| Instant::now() + INTERVAL);
                let wait = Wait {
                    event: Event::Launch(wait),
                    until: later.into_iter().chain(deadline).min(),
                };
                return (Phase::Launching(launch), Some(wait));
            }
            Err(error) => error,
        };
        self.trace.failed(&error);
        let error = error.during(format_args!("call `{}`", self.name));
        let was_never_ready = launch.0.give_up();
        let error = match was_never_ready {
            true => error.before_entry(),
            false => error,
        };
        (Phase::Over(Some(Err(error))), None)
    }

    fn run(&mut self, worker: Running) -> (Phase, Option<Wait>) {
        let has_exited = pidfd::has_exited(worker.watch.pidfd());
        let deadline = self.limit.and_then(|it| worker.begun.checked_add(it));
        if self.arrivals.is_full() && !has_exited && !deadline.is_some_and(is_over) {
            // The worker waits until somebody takes its events.
            let wait = Wait {
                event: Event::Exit,
                until: deadline,
            };
            return (Phase::Running(worker), Some(wait));
        }
        match self.advance() {
            Ok(Progress::Arrived(_)) if has_exited => return (Phase::Running(worker), None),
            Ok(Progress::Arrived(_)) if !deadline.is_some_and(is_over) => {
                let wait = Wait {
                    event: Event::Arrived,
                    until: Some(Instant::now()),
                };
                return (Phase::Running(worker), Some(wait));
            }
            Ok(Progress::Reply(reply)) => {
                let result = failed::result(self.name, reply.outcome);
                let timeout = match tools::are_there() {
                    true => TIMEOUT_WITH_TOOLS,
                    false => TIMEOUT_AFTER_ANSWER,
                };
                let kill_at = Instant::now() + timeout;
                return (
                    Phase::Leaving(worker, result, Deadline::KillAt(kill_at)),
                    None,
                );
            }
            Err(error) => {
                let error = error.during(format_args!("call `{}`", self.name));
                let at_once = Deadline::KillAt(Instant::now());
                return (Phase::Leaving(worker, Err(error), at_once), None);
            }
            Ok(Progress::WaitFor(wait) | Progress::Arrived(wait)) if !has_exited => {
                if deadline.is_some_and(is_over) {
                    let _ = worker.watch.kill();
                    return (Phase::Late(worker), None);
                }
                let later = wait.later.then(|| Instant::now() + INTERVAL);
                let wait = Wait {
                    event: Event::Answer(wait),
                    until: later.into_iter().chain(deadline).min(),
                };
                return (Phase::Running(worker), Some(wait));
            }
            Ok(Progress::WaitFor(_) | Progress::Arrived(_) | Progress::Ended) => {}
        }
        let kill_at = Instant::now() + TIMEOUT_AFTER_END;
        (Phase::Dying(worker, Deadline::KillAt(kill_at)), None)
    }

    /// Sends and receives as much as possible.
    fn advance(&mut self) -> Result<Progress> {
        let progress = self.connection.step();
        let arrived = self.connection.take_arrived();
        self.arrivals.extend(self.name, arrived);
        progress
    }
}

/// A worker whose call has its result.
fn leave(worker: Running, result: Result<Payload>, deadline: Deadline) -> (Phase, Option<Wait>) {
    if pidfd::has_exited(worker.watch.pidfd()) {
        return over(&worker, result);
    }
    let (deadline, until) = match deadline {
        Deadline::KillAt(at) if is_over(at) => {
            let _ = worker.watch.kill();
            let until = Instant::now() + TIMEOUT_AFTER_KILL;
            (Deadline::GiveUpAt(until), until)
        }
        Deadline::GiveUpAt(at) if is_over(at) => return over(&worker, result),
        Deadline::KillAt(at) => (Deadline::KillAt(at), at),
        Deadline::GiveUpAt(at) => (Deadline::GiveUpAt(at), at),
    };
    let wait = Wait {
        event: Event::Exit,
        until: Some(until),
    };
    (Phase::Leaving(worker, result, deadline), Some(wait))
}

/// A call whose worker is gone.
fn over(worker: &Running, result: Result<Payload>) -> (Phase, Option<Wait>) {
    // Reports the exit to whoever observes, and reaps a worker that nobody else does.
    let _ = worker.watch.try_wait();
    (Phase::Over(Some(result)), None)
}

fn is_over(at: Instant) -> bool {
    Instant::now() >= at
}
