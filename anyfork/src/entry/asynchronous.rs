//! The tokio runtime of an `async fn` worker, and its socket.
//! RUNS IN: child
//!
//! The attributes' code makes the runtime in the worker's own process, after the
//! fork, because a runtime does not survive one.

#[cfg(feature = "pool")]
use std::cell::OnceCell;
use std::future::Future;
use std::io;
#[cfg(feature = "pool")]
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
#[cfg(feature = "pool")]
use std::task::{Context, Poll, ready};

#[cfg(feature = "pool")]
use tokio::io::Interest;
#[cfg(feature = "pool")]
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;
#[cfg(feature = "pool")]
use tokio::runtime::Handle;
use tokio::runtime::{Builder, Runtime as Tokio};

use crate::entry::{Entry, Socket};
use crate::error::{Error, Result};

/// Which of tokio's runtimes the attribute asked for.
pub enum Flavor {
    /// All tasks in one thread: the default.
    CurrentThread,
    /// A pool of this many threads; `None`: as many as there are processors.
    MultiThread(Option<usize>),
}

/// A tokio runtime that does not wait for its blocking tasks when it is dropped:
/// a worker that returns has ended, whatever its threads do.
pub struct Runtime(Option<Tokio>);

/// Makes the runtime.
pub fn runtime(flavor: Flavor) -> Result<Runtime> {
    let mut builder = match flavor {
        Flavor::CurrentThread => Builder::new_current_thread(),
        Flavor::MultiThread(threads) => {
            let mut builder = Builder::new_multi_thread();
            threads.map(|threads| builder.worker_threads(threads));
            builder
        }
    };
    let runtime = builder.enable_all().build();
    let runtime = runtime.map_err(|error| Error::io("build the worker's tokio runtime", error))?;
    Ok(Runtime(Some(runtime)))
}

impl Runtime {
    /// Runs the worker.
    pub fn block_on<F: Future>(&self, worker: F) -> F::Output {
        let runtime = self.0.as_ref().expect("taken only by drop");
        runtime.block_on(worker)
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Runs an `async fn` of a typed call, in the one runtime that its process has.
#[cfg(feature = "pool")]
pub fn block_on_call<F: Future>(call: F) -> F::Output {
    thread_local! {
        static RUNTIME: OnceCell<Runtime> = const { OnceCell::new() };
    }
    RUNTIME.with(|cell| {
        let made = || runtime(Flavor::CurrentThread).unwrap_or_else(|error| panic!("{error}"));
        cell.get_or_init(made).block_on(call)
    })
}

/// The room of a socket, as this task's runtime sees it.
#[cfg(feature = "pool")]
pub(crate) struct Room(AsyncFd<OwnedFd>);

#[cfg(feature = "pool")]
impl Room {
    /// `None` outside of a runtime, and where the socket cannot be watched.
    pub(crate) fn new(socket: BorrowedFd<'_>) -> Option<Room> {
        Handle::try_current().ok()?;
        let socket = socket.try_clone_to_owned().ok()?;
        #[allow(
            deprecated,
            reason = "the replacement asks for a promise that every type keeps its descriptor, \
                      which an owned one does anyway; and tokio 1.49 does not have it"
        )]
        let socket = AsyncFd::with_interest(socket, Interest::WRITABLE).ok()?;
        Some(Room(socket))
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

/// The types that the first parameter of an `async fn` worker can have.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the socket of a worker",
    label = "the first parameter is the communication socket",
    note = "use `tokio::net::UnixStream`, `std::os::unix::net::UnixStream` or `std::os::fd::OwnedFd`"
)]
pub trait AsyncSocket: Sized {
    /// Takes the worker's end, inside the runtime.
    fn from_fd(fd: OwnedFd) -> io::Result<Self>;
}

impl AsyncSocket for UnixStream {
    fn from_fd(fd: OwnedFd) -> io::Result<UnixStream> {
        let socket = std::os::unix::net::UnixStream::from(fd);
        socket.set_nonblocking(true)?;
        UnixStream::from_std(socket)
    }
}

impl AsyncSocket for std::os::unix::net::UnixStream {
    fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        Socket::from_fd(fd)
    }
}

impl AsyncSocket for OwnedFd {
    fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        Ok(fd)
    }
}

impl Entry {
    /// [`enter`](Entry::enter), with the socket as the type of an async worker's
    /// parameter.
    pub fn enter_async<T: AsyncSocket>(&mut self) -> Result<T> {
        T::from_fd(self.enter()?).map_err(|error| Error::io("set the socket up", error))
    }
}
