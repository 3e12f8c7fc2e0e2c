//! The tokio runtime of typed calls: all of them run in one thread.
//! RUNS IN: child
//!
//! What the worker's loop waits by is here, so that the loop itself knows no runtime.

use std::any::Any;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, Id, JoinSet, LocalSet};
use tokio::time::timeout;

use crate::entry::asynchronous::{Flavor, Runtime, runtime};
use crate::error::{Error, Result};

/// Runs an `async fn` of a typed call, in the one runtime that its process has.
pub fn block_on_call<F: Future>(call: F) -> F::Output {
    thread_local! {
        static RUNTIME: OnceCell<Runtime> = const { OnceCell::new() };
    }
    RUNTIME.with(|cell| {
        let made = || runtime(Flavor::CurrentThread).unwrap_or_else(|error| panic!("{error}"));
        cell.get_or_init(made).block_on(call)
    })
}

/// Runs what spawns [`LocalTasks`], in the same runtime. What they leave running is dropped.
pub(crate) fn block_on_local<F: Future>(main: F) -> F::Output {
    block_on_call(LocalSet::new().run_until(main))
}

/// Waits for a future, but no longer than the limit.
pub(crate) async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    timeout(limit, future).await.ok()
}

/// Futures that run beside each other in this thread, each with a value that tells which it
/// is.
pub(crate) struct LocalTasks<K, T> {
    set: JoinSet<T>,
    running: HashMap<Id, (K, AbortHandle)>,
}

/// How a task has ended.
pub(crate) enum Ended<T> {
    Returned(T),
    Panicked(Box<dyn Any + Send>),
    /// It was dropped before its end.
    Dropped,
}

impl<K, T: 'static> LocalTasks<K, T> {
    pub(crate) fn new() -> LocalTasks<K, T> {
        LocalTasks {
            set: JoinSet::new(),
            running: HashMap::new(),
        }
    }

    /// Number of tasks that run, or whose end nobody has taken.
    pub(crate) fn len(&self) -> usize {
        self.running.len()
    }

    /// Begins a task. Called within [`block_on_local`].
    pub(crate) fn spawn(&mut self, which: K, future: impl Future<Output = T> + 'static) {
        let task = self.set.spawn_local(future);
        self.running.insert(task.id(), (which, task));
    }

    /// Drops the task, if it has not ended.
    pub(crate) fn drop_one(&self, is_it: impl Fn(&K) -> bool) {
        if let Some((_, task)) = self.running.values().find(|(which, _)| is_it(which)) {
            task.abort();
        }
    }

    /// The next task that has ended.
    pub(crate) fn poll_ended(&mut self, context: &mut Context<'_>) -> Poll<(K, Ended<T>)> {
        while let Some(joined) = ready!(self.set.poll_join_next_with_id(context)) {
            let (id, ended) = match joined {
                Ok((id, value)) => (id, Ended::Returned(value)),
                Err(error) => {
                    let id = error.id();
                    let panic = error.try_into_panic();
                    (id, panic.map_or(Ended::Dropped, Ended::Panicked))
                }
            };
            if let Some((which, _)) = self.running.remove(&id) {
                return Poll::Ready((which, ended));
            }
        }
        Poll::Pending
    }
}

/// The bytes that arrive on a socket, as this thread's runtime sees them.
pub(crate) struct Arrivals(AsyncFd<OwnedFd>);

impl Arrivals {
    pub(crate) fn new(socket: BorrowedFd<'_>) -> Result<Arrivals> {
        let watched = watch(socket, Interest::READABLE);
        let watched = watched.map_err(|error| Error::io("watch a worker's socket", error))?;
        Ok(Arrivals(watched))
    }

    /// Waits until there may be bytes that have not been read.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<Result<()>> {
        let ready = ready!(self.0.poll_read_ready(context));
        Poll::Ready(match ready {
            Ok(mut guard) => {
                guard.clear_ready();
                Ok(())
            }
            Err(error) => Err(Error::io("wait for a call", error)),
        })
    }
}

/// The room of a socket, as this task's runtime sees it.
pub(crate) struct Room(AsyncFd<OwnedFd>);

impl Room {
    /// `None` outside of a runtime, and where the socket cannot be watched.
    pub(crate) fn new(socket: BorrowedFd<'_>) -> Option<Room> {
        Handle::try_current().ok()?;
        watch(socket, Interest::WRITABLE).ok().map(Room)
    }

    /// Waits until there may be room.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<Result<()>> {
        let ready = ready!(self.0.poll_write_ready(context));
        Poll::Ready(match ready {
            Ok(mut guard) => {
                guard.clear_ready();
                Ok(())
            }
            Err(error) => Err(Error::io("wait for room for an event", error)),
        })
    }
}

/// A duplicate, because a runtime watches a descriptor once.
fn watch(socket: BorrowedFd<'_>, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    let socket = socket.try_clone_to_owned()?;
    #[allow(
        deprecated,
        reason = "the replacement asks for a promise that every type keeps its descriptor, which \
                  an owned one does anyway; and tokio 1.49 does not have it"
    )]
    AsyncFd::with_interest(socket, interest)
}
