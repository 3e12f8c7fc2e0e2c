//! [`Launch`]: a worker on its way, finished with `.await` or `.blocking()`.
//!
//! What happens on the way is in [`Flight`], which never waits; here are the
//! two ways of waiting for it.

#[cfg(feature = "tokio")]
mod asynchronous;
mod flight;

use std::fmt;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use super::blocking;
use super::builder::Process;
use super::child::Worker;
use super::origin::Origin;
use crate::error::{Error, Result};
use crate::protocol::request::{Body, Then};

#[cfg(feature = "tokio")]
pub(super) use asynchronous::news;
pub(super) use flight::Flight;
use flight::{Step, Unanswered};

/// An operation under way.
///
/// Finished with `.await` (feature `tokio`) or [`blocking`](Launch::blocking).
/// Either resolves when the worker is about to be entered: the process exists,
/// the name was found, the arguments were decoded.
///
/// Dropped before, directly or as a future, it leaves no process behind.
///
/// # Errors
///
/// Everything that goes wrong before the worker is entered:
///
/// | kind | when |
/// |---|---|
/// | [`UnknownWorker`], [`AmbiguousName`] | the name fits no worker, or several |
/// | [`BadArgument`] | an argument does not parse, or there are too few or too many |
/// | [`TemplateGone`] | the template has ended, or ends before the worker is ready |
/// | [`ForkFailed`] | the kernel refuses the template's fork, as over `RLIMIT_NPROC` |
/// | [`Died`] | the process ends before it is ready |
/// | [`Io`] | a system call fails, as when the descriptor table is full |
///
/// [`UnknownWorker`]: crate::ErrorKind::UnknownWorker
/// [`AmbiguousName`]: crate::ErrorKind::AmbiguousName
/// [`BadArgument`]: crate::ErrorKind::BadArgument
/// [`TemplateGone`]: crate::ErrorKind::TemplateGone
/// [`ForkFailed`]: crate::ErrorKind::ForkFailed
/// [`Died`]: crate::ErrorKind::Died
/// [`Io`]: crate::ErrorKind::Io
#[must_use = "a launch that is dropped is called off: `.await` it or call `.blocking()`"]
pub struct Launch<T: Target> {
    pending: Result<T::Pending>,
}

/// What a [`Launch`] can lead to, and its counterpart for blocking code.
pub trait Target: Sized + sealed::Target {
    /// What [`Launch::blocking`] gives.
    type Blocking;
}

impl Target for Worker {
    type Blocking = blocking::Worker;
}

impl Target for Process {
    type Blocking = Process;
}

impl<T: Target> Launch<T> {
    pub(super) fn failed(error: Error) -> Launch<T> {
        let pending = Err(error);
        Launch { pending }
    }

    /// Waits until the operation has succeeded or failed.
    ///
    /// # Errors
    ///
    /// See [`Launch`].
    pub fn blocking(self) -> Result<T::Blocking> {
        T::blocking(self.pending?)
    }
}

impl Launch<Worker> {
    /// Asks the template for a worker. The message is sent, or will be when
    /// there is room for it.
    pub(super) fn start(origin: &Arc<Origin>, body: Body) -> Launch<Worker> {
        let started = Flight::start(origin, Then::Worker, body, None);
        let pending = started.map(|(mine, flight)| WorkerPending {
            flight,
            socket: Unanswered::new(mine),
        });
        Launch { pending }
    }
}

impl Launch<Process> {
    /// Waits for a process that has been asked for.
    pub(super) fn preparing(process: Process) -> Launch<Process> {
        Launch {
            pending: Ok(process),
        }
    }
}

impl<T: Target> fmt::Debug for Launch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = self.pending.as_ref().err();
        f.debug_struct("Launch")
            .field("error", &error)
            .finish_non_exhaustive()
    }
}

/// The two ways of waiting for each target.
mod sealed {
    use super::*;

    pub trait Target: Sized {
        /// What is under way.
        type Pending: Send;

        fn blocking(pending: Self::Pending) -> Result<<Self as super::Target>::Blocking>
        where
            Self: super::Target;

        #[cfg(feature = "tokio")]
        fn asynchronous(pending: Self::Pending) -> impl Future<Output = Result<Self>> + Send;
    }
}

/// A worker that is under way, and where its answer comes.
///
/// Wherever these two are dropped, the flight must go first: its descriptors
/// make room for the pidfd by which a worker is called off.
pub struct WorkerPending {
    flight: Flight,
    socket: Unanswered<UnixStream>,
}

impl sealed::Target for Worker {
    type Pending = WorkerPending;

    fn blocking(pending: WorkerPending) -> Result<blocking::Worker> {
        let WorkerPending { socket, mut flight } = pending;
        loop {
            match flight.step(socket.as_fd())? {
                Step::Ready(running) => return Ok(blocking::Worker::new(socket.settle(), running)),
                Step::Wait(wait) => {
                    flight
                        .wait_blocking(wait, socket.as_fd())
                        .map_err(|error| Error::io("wait for a worker to be ready", error))?;
                }
            }
        }
    }

    #[cfg(feature = "tokio")]
    async fn asynchronous(pending: WorkerPending) -> Result<Worker> {
        asynchronous::worker(pending).await
    }
}

impl sealed::Target for Process {
    type Pending = Process;

    fn blocking(process: Process) -> Result<Process> {
        let (base, error) = process.base();
        error.map_or(Ok(()), Err)?;
        base.wait_prepared()?;
        Ok(process)
    }

    #[cfg(feature = "tokio")]
    async fn asynchronous(process: Process) -> Result<Process> {
        let (base, error) = process.base();
        error.map_or(Ok(()), Err)?;
        while let Some(socket) = base.prepared()? {
            asynchronous::answered(socket).await?;
        }
        Ok(process)
    }
}
