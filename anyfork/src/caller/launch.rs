//! [`Launch`]: an operation under way, finished with `.await` or `.blocking()`.
//! RUNS IN: caller
//!
//! It knows no target: each type that a launch can lead to implements the sealed trait
//! where it is defined, and that says how to wait for it.

use std::fmt;
#[cfg(feature = "tokio")]
use std::pin::Pin;

use crate::caller::trace::Trace;
use crate::error::{Error, Result};

/// An operation under way.
///
/// Finished with `.await` (feature `tokio`) or [`blocking`](Launch::blocking).
/// Either resolves when the worker is about to be entered: the process exists,
/// the name was found, the arguments were decoded.
///
/// A launch of an external program resolves when it is executed; one that is to
/// give its [`Exit`] or its [`Output`], when it has ended.
///
/// Dropped before, directly or as a future, it leaves no process behind; nor, if
/// a program leads a [process group](Process::process_group), one of the group.
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
/// | [`ExecFailed`] | a program cannot be executed |
/// | [`ForkFailed`] | the kernel refuses the template's fork, as over `RLIMIT_NPROC` |
/// | [`InitFailed`], [`PluginFailed`] | an init function or a plugin refuses |
/// | [`Died`] | the process ends before it is ready |
/// | [`TimedOut`] | it is not ready in the time that [`Process::timeout`] allows |
/// | [`Io`] | a system call fails, as when the descriptor table is full, or for a setting that is not allowed |
///
/// # Panics
///
/// Awaited in a tokio runtime that was built without I/O, as tokio's own types do.
/// One without time is enough.
///
/// # Caveats
///
/// While the template is stopped (SIGSTOP), a launch waits for it, for as long as
/// [`Process::timeout`] allows.
///
/// A process that a preload or init function has forked and left behind holds the
/// sockets that its parent had. If the template is killed then, its launches end
/// all the same: those whose request it has not read after about a second, and
/// those whose child was forked already with that child, which is waited for as
/// long as it prepares itself. Only `timeout` ends a launch, or a
/// [`prepare`](Process::prepare), if a template is killed while it is still being
/// prepared, and has left such a process behind; if its own template is killed so
/// before it was forked; or if it was handed over by another process.
///
/// [`UnknownWorker`]: crate::ErrorKind::UnknownWorker
/// [`AmbiguousName`]: crate::ErrorKind::AmbiguousName
/// [`BadArgument`]: crate::ErrorKind::BadArgument
/// [`TemplateGone`]: crate::ErrorKind::TemplateGone
/// [`ExecFailed`]: crate::ErrorKind::ExecFailed
/// [`ForkFailed`]: crate::ErrorKind::ForkFailed
/// [`InitFailed`]: crate::ErrorKind::InitFailed
/// [`PluginFailed`]: crate::ErrorKind::PluginFailed
/// [`Died`]: crate::ErrorKind::Died
/// [`TimedOut`]: crate::ErrorKind::TimedOut
/// [`Io`]: crate::ErrorKind::Io
#[must_use = "a launch that is dropped is called off: `.await` it or call `.blocking()`"]
pub struct Launch<T: Target> {
    pending: Result<T::Pending>,
    trace: Trace,
}

/// What a [`Launch`] can lead to, and its counterpart for blocking code.
pub trait Target: Sized + sealed::Target {
    /// What [`Launch::blocking`] gives.
    type Blocking;
}

/// The two ways of waiting for a target.
pub(crate) mod sealed {
    use crate::error::Result;

    pub trait Target: Sized {
        /// What is under way. Dropped, it leaves no process behind.
        type Pending: Send;

        fn blocking(
            pending: Self::Pending,
        ) -> Result<<Self as crate::caller::launch::Target>::Blocking>
        where
            Self: crate::caller::launch::Target;

        #[cfg(feature = "tokio")]
        fn asynchronous(pending: Self::Pending) -> impl Future<Output = Result<Self>> + Send;
    }
}

impl<T: Target> Launch<T> {
    pub(crate) fn new(pending: Result<T::Pending>, trace: Trace) -> Launch<T> {
        Launch { pending, trace }
    }

    /// A launch that fails before there is a template to ask.
    pub(crate) fn failed(error: Error) -> Launch<T> {
        Launch::new(Err(error), Trace::refused())
    }

    /// Waits until the operation has succeeded or failed.
    ///
    /// # Errors
    ///
    /// See [`Launch`].
    pub fn blocking(self) -> Result<T::Blocking> {
        let result = self.pending.and_then(T::blocking);
        result.inspect_err(|error| self.trace.failed(error))
    }
}

/// The future of a launch.
///
/// Dropped before it resolves, it leaves no process behind.
#[cfg(feature = "tokio")]
impl<T: Target + 'static> IntoFuture for Launch<T> {
    type Output = Result<T>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let result = match self.pending {
                Ok(pending) => T::asynchronous(pending).await,
                Err(error) => Err(error),
            };
            result.inspect_err(|error| self.trace.failed(error))
        })
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
