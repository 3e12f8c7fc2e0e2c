//! [`Events`]: the wait of a future for one of several descriptors, or for a time.
//! RUNS IN: caller
//!
//! In a tokio runtime, the runtime waits. Outside of one a thread does, so that a call can
//! be awaited with any executor. The descriptors are watched by a set of their own, so that
//! whoever owns them may go on using them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::Interest as TokioInterest;
use tokio::io::unix::AsyncFd;

use crate::caller::wait::readiness::check_runtime;
use crate::error::{Error, Result};
use crate::sys::epoll::Epoll;
use crate::sys::poll::{self, Interest};
use crate::sys::signal::BlockedSignals;
use crate::sys::time;

/// Interval between two looks if the descriptor table has no room for the set.
const INTERVAL_WITHOUT_SET: Duration = Duration::from_millis(10);

/// A wait for the first of several events. It is over once: then it must be dropped.
/// Dropped earlier, it is given up.
pub(crate) struct Events {
    watcher: Watcher,
    /// Reports the time.
    _timer: Option<OwnedFd>,
}

enum Watcher {
    Runtime(AsyncFd<OwnedFd>),
    Thread(Waiting),
}

/// A thread that waits. Dropped, it lets the thread end.
struct Waiting {
    shared: Arc<Mutex<Shared>>,
    /// The thread sees its end.
    _end: Option<io::PipeWriter>,
}

#[derive(Default)]
struct Shared {
    is_over: bool,
    waker: Option<Waker>,
}

impl Events {
    /// Waits for these descriptors, and until `until`.
    pub(crate) fn of(fds: &[(BorrowedFd<'_>, Interest)], until: Option<Instant>) -> Result<Events> {
        let watcher = match set_of(fds, until) {
            Ok((set, timer)) => return Events::of_set(set, timer),
            // The descriptor table is full.
            Err(error) if is_shortage(&error) => Waiting::start(None),
            Err(error) => Err(error),
        };
        Ok(Events {
            watcher: Watcher::Thread(watcher.map_err(failed)?),
            _timer: None,
        })
    }

    fn of_set(set: OwnedFd, timer: Option<OwnedFd>) -> Result<Events> {
        let watcher = match check_runtime() {
            #[allow(
                deprecated,
                reason = "the replacement asks for a promise that every type keeps its descriptor, \
                          which an `OwnedFd` does anyway; and tokio 1.49 does not have it"
            )]
            Ok(()) => AsyncFd::with_interest(set, TokioInterest::READABLE).map(Watcher::Runtime),
            Err(_) => Waiting::start(Some(set)).map(Watcher::Thread),
        };
        Ok(Events {
            watcher: watcher.map_err(failed)?,
            _timer: timer,
        })
    }

    /// Whether one of the events has come. Several may, and none may be left by now.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        match &mut self.watcher {
            Watcher::Runtime(set) => {
                // A runtime that has been shut down reports nothing: whoever polls looks.
                let _ = ready!(set.poll_read_ready(context));
                Poll::Ready(Ok(()))
            }
            Watcher::Thread(waiting) => {
                let mut shared = lock(&waiting.shared);
                if shared.is_over {
                    return Poll::Ready(Ok(()));
                }
                match &mut shared.waker {
                    Some(waker) => waker.clone_from(context.waker()),
                    none => *none = Some(context.waker().clone()),
                }
                Poll::Pending
            }
        }
    }
}

impl Waiting {
    /// Starts a thread that waits for the set; without one, for an interval.
    fn start(set: Option<OwnedFd>) -> io::Result<Waiting> {
        let shared = Arc::new(Mutex::new(Shared::default()));
        let pipe = set.as_ref().map(|_| io::pipe()).transpose();
        let (set, end, writer) = match (set, pipe) {
            (Some(set), Ok(Some((reader, writer)))) => (Some(set), Some(reader), Some(writer)),
            (None, _) => (None, None, None),
            (_, Err(error)) if is_shortage(&error) => (None, None, None),
            (_, Err(error)) => return Err(error),
            (Some(_), Ok(None)) => (None, None, None),
        };
        let theirs = Arc::clone(&shared);
        let wait = move || {
            match (&set, &end) {
                (Some(set), Some(end)) => {
                    let fds = [
                        (set.as_fd(), Interest::Readable),
                        (end.as_fd(), Interest::HungUp),
                    ];
                    if poll::wait_any(&fds, None).is_err() {
                        thread::sleep(INTERVAL_WITHOUT_SET);
                    }
                }
                _ => thread::sleep(INTERVAL_WITHOUT_SET),
            }
            let waker = {
                let mut shared = lock(&theirs);
                shared.is_over = true;
                shared.waker.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        };
        // The program's signal handlers are to run in the program's threads.
        let blocked = BlockedSignals::all()?;
        let thread = thread::Builder::new().name("anyfork wait".to_owned());
        let started = thread.spawn(wait);
        drop(blocked);
        started?;
        Ok(Waiting {
            shared,
            _end: writer,
        })
    }
}

/// A set of the descriptors and of a timer, and the timer.
fn set_of(
    fds: &[(BorrowedFd<'_>, Interest)],
    until: Option<Instant>,
) -> io::Result<(OwnedFd, Option<OwnedFd>)> {
    let timer = until.map(time::timer).transpose()?;
    let mut fds = fds.to_vec();
    fds.extend(timer.as_ref().map(|it| (it.as_fd(), Interest::Readable)));
    let set = Epoll::of(&fds)?;
    Ok((set.into(), timer))
}

/// Whether the descriptor table, or the system's, is full.
fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(error: io::Error) -> Error {
    Error::io("wait for a call", error)
}
