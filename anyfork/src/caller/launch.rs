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
/// A launch is finished with `.await` (feature `tokio`) or [`blocking`](Launch::blocking). It is
/// not a result yet, so `?`, `unwrap` and the fields of a [`Worker`](crate::Worker) come after
/// that.
///
/// ```
/// # fn main() -> anyfork::Result<()> {
/// let output = anyfork::Command::new("echo").arg("hello").output().blocking()?;
/// assert_eq!(output.stdout, b"hello\n");
/// # Ok(())
/// # }
/// ```
///
/// A launch of a worker resolves when the worker is about to be entered: the process exists, the
/// name was found, the arguments were decoded. A launch of an external program resolves when the
/// program is executed; a launch of its [`Exit`] or its [`Output`] resolves when the program has
/// exited.
///
/// A launch that is dropped before that, as a launch or as a future, leaves no process behind. If
/// a program leads a [process group](crate::Process::process_group), its dropped launch leaves no
/// process of that group behind either.
///
/// # Errors
///
/// Everything that goes wrong before the worker is entered:
///
/// | kind | when |
/// |---|---|
/// | [`UnknownWorker`], [`AmbiguousName`] | the name fits no worker, or several |
/// | [`BadArgument`] | an argument does not parse, or there are too few or too many |
/// | [`TemplateGone`] | the template has exited, or exits before the worker is ready |
/// | [`ExecFailed`] | a program cannot be executed |
/// | [`ForkFailed`] | the kernel refuses the template's fork, for example above `RLIMIT_NPROC` |
/// | [`InitFailed`], [`PluginFailed`] | an init function or a plugin fails |
/// | [`Died`] | the process exits before it is ready |
/// | [`TimedOut`] | the process is not ready in the time that [`timeout`] allows |
/// | [`Io`] | a system call fails, for example because the descriptor table is full, or because a setting is not allowed |
///
/// # Shortage of descriptors
///
/// A launch of a worker or a program needs up to twelve entries of the descriptor table for a
/// moment. As long as the process runs, two entries stay in use, and one for each piped stream.
/// If the table is full (`EMFILE`), the launch waits as long as other operations of this program
/// hold entries that they will give back. Such an operation is a launch, a `status` or `output`
/// of a command, or a wait for a process, if some thread or task is waiting for it at that time.
/// If there is none, the launch fails at once. [`timeout`] bounds this wait, too. In two cases a
/// full table is an error at once: when descriptors that were given to a
/// [`Command`](crate::Command) have to be duplicated, and when a template has to be made.
///
/// # Panics
///
/// A launch panics if it is awaited in a tokio runtime that was built without I/O, as tokio's own
/// types do. The runtime may be built without time.
///
/// # Caveats
///
/// While the template is stopped (SIGSTOP), a launch waits for it, for as long as
/// [`timeout`] allows.
///
/// A preload or init function may fork a process and leave it behind. That process then holds its
/// parent's sockets open. If the template is killed after that, its launches still end: a launch
/// whose request the template has not read ends after about a second; a launch whose child exists
/// already ends with that child, which gets the time that it needs to prepare itself. In three
/// cases only [`timeout`] ends a launch or a [`prepare`](crate::Process::prepare): the template
/// has left such a process behind and is killed while it is being prepared; the template was to
/// be forked from another template, which has left such a process behind and is killed before the
/// fork; or the template was handed over by another process.
///
/// [`Exit`]: crate::Exit
/// [`Output`]: std::process::Output
/// [`timeout`]: crate::Process::timeout
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
#[must_use = "a launch that is dropped is cancelled: `.await` it or call `.blocking()`"]
pub struct Launch<T: Target> {
    pending: Result<T::Pending>,
    trace: Trace,
}

/// What a [`Launch`] can lead to, and its counterpart for blocking code.
///
/// ```
/// # fn main() -> anyfork::Result<()> {
/// use anyfork::{Command, Launch, Target};
///
/// /// Finishes a launch of any kind, and says what it was.
/// fn finish<T: Target>(what: &str, launch: Launch<T>) -> Result<T::Blocking, String> {
///     launch.blocking().map_err(|error| format!("{what}: {error}"))
/// }
///
/// let output = finish("greet", Command::new("echo").arg("hello").output());
/// assert_eq!(output.expect("it is there").stdout, b"hello\n");
/// let error = finish("scan", Command::new("no-such-program").spawn()).unwrap_err();
/// assert!(error.starts_with("scan: execute"));
/// # Ok(())
/// # }
/// ```
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

    /// What is under way, and what reports its failure.
    #[cfg(feature = "pool")]
    pub(crate) fn into_pending(self) -> Result<(T::Pending, Trace)> {
        match self.pending {
            Ok(pending) => Ok((pending, self.trace)),
            Err(error) => {
                self.trace.failed(&error);
                Err(error)
            }
        }
    }

    /// What somebody writes who takes a launch for a process.
    #[doc(hidden)]
    #[deprecated(
        note = "a launch is no process yet: finish it with `.await?` or `.blocking()?`, and wait for what that gives"
    )]
    pub fn wait(self) -> Result<T::Blocking> {
        self.blocking()
    }

    /// Waits until the operation has succeeded or failed.
    ///
    /// # Errors
    ///
    /// See [`Launch`].
    ///
    /// # Caveats
    ///
    /// In async code, this blocks a thread of the runtime: `.await` the launch there.
    pub fn blocking(self) -> Result<T::Blocking> {
        let result = self.pending.and_then(T::blocking);
        result.inspect_err(|error| self.trace.failed(error))
    }
}

/// The future of a launch.
///
/// A future that is dropped before it resolves leaves no process behind.
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
