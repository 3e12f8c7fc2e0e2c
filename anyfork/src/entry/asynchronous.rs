//! The tokio runtime of an `async fn` worker, and its socket.
//! RUNS IN: child
//!
//! The attributes' code makes the runtime in the worker's own process, after the
//! fork, because a runtime does not survive one.

#[cfg(feature = "pool")]
pub(crate) mod calls;

use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;

use tokio::net::UnixStream;
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
