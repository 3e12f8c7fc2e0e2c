//! [`Launch`]: a worker on its way, finished with `.await` or `.blocking()`.
//!
//! What happens on the way is in [`Flight`], which never waits; here are the
//! two ways of waiting for it.

#[cfg(feature = "tokio")]
mod asynchronous;
mod flight;

use std::fmt;
use std::marker::PhantomData;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use super::blocking;
use super::child::Worker;
use super::origin::Origin;
use super::running::Running;
use crate::args::Args;
use crate::error::{Error, Result};
use crate::protocol::request::Then;
use crate::sys::poll;

#[cfg(feature = "tokio")]
pub(super) use asynchronous::readable;
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
pub struct Launch<T> {
    started: Result<Started>,
    target: PhantomData<fn() -> T>,
}

/// A request under way, and where its answer comes.
///
/// Wherever these two are dropped, the flight must go first: its descriptors
/// make room for the pidfd by which a worker is called off.
struct Started {
    flight: Flight,
    socket: Unanswered<UnixStream>,
}

/// What a [`Launch`] can lead to, and its counterpart for blocking code.
pub trait Target: Sized + sealed::Target {
    /// What [`Launch::blocking`] gives.
    type Blocking;
}

impl Target for Worker {
    type Blocking = blocking::Worker;
}

impl<T> Launch<T> {
    pub(super) fn failed(error: Error) -> Launch<T> {
        Launch {
            started: Err(error),
            target: PhantomData,
        }
    }
}

impl Launch<Worker> {
    /// Asks the template for a worker. The message is sent, or will be when
    /// there is room for it.
    pub(super) fn start(origin: &Arc<Origin>, name: &str, args: Args) -> Launch<Worker> {
        let started = Flight::start(origin, Then::Worker, name, args, None);
        Launch {
            started: started.map(|(mine, flight)| Started {
                flight,
                socket: Unanswered::new(mine),
            }),
            target: PhantomData,
        }
    }
}

impl<T: Target> Launch<T> {
    /// Waits until the operation has succeeded or failed.
    ///
    /// # Errors
    ///
    /// See [`Launch`].
    pub fn blocking(self) -> Result<T::Blocking> {
        let Started { socket, mut flight } = self.started?;
        loop {
            match flight.step(socket.as_fd())? {
                Step::Wait(wait) => {
                    let (fd, interest) = flight.source(wait, socket.as_fd());
                    poll::wait(fd, interest, None)
                        .map_err(|error| Error::io("wait for a worker to be ready", error))?;
                }
                Step::Ready(running) => return Ok(T::blocking(socket.settle(), running)),
            }
        }
    }
}

impl<T> fmt::Debug for Launch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = self.started.as_ref().err();
        f.debug_struct("Launch")
            .field("error", &error)
            .finish_non_exhaustive()
    }
}

/// What a launch's way of waiting hands over to its target.
mod sealed {
    use super::*;

    pub trait Target: Sized {
        fn blocking(socket: UnixStream, running: Running) -> <Self as super::Target>::Blocking
        where
            Self: super::Target;

        #[cfg(feature = "tokio")]
        fn asynchronous(socket: tokio::net::UnixStream, running: Running) -> Self;
    }

    impl Target for Worker {
        fn blocking(socket: UnixStream, running: Running) -> blocking::Worker {
            blocking::Worker::new(socket, running)
        }

        #[cfg(feature = "tokio")]
        fn asynchronous(socket: tokio::net::UnixStream, running: Running) -> Worker {
            Worker::new(socket, running)
        }
    }
}
