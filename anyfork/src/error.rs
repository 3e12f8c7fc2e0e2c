//! [`Error`]: what went wrong, and [`ErrorKind`], which says it to a program.
//! RUNS IN: any
//!
//! Every room makes these errors. A child sends kind, message and errno through
//! its reply socket, and the caller builds the same error again; the exit of a
//! process is added by the caller alone.

mod check;
mod convert;

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::process::Output;
use std::sync::Arc;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::sys::missing;

/// A result whose error is anyfork's.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation of anyfork failed.
///
/// The message says what was tried, on what, and what to do; [`kind`] is for code that has to
/// decide. An error is cheap to clone: every launch from a process whose preparation failed
/// reports the same error.
///
/// ```
/// use std::io;
///
/// use anyfork::{Error, ErrorKind, Process};
///
/// # mod doctest {
/// # use super::*;
/// # pub fn main() -> anyfork::Result<()> {
/// let error = Process::new()?.run("nobody").blocking().unwrap_err();
/// match error.kind() {
///     ErrorKind::UnknownWorker => assert!(error.to_string().contains("no worker `nobody`")),
///     kind => panic!("{kind:?}"),
/// }
///
/// // What the operating system refused has its number.
/// let error = Process::new_exec()?.current_dir("/nowhere").run("nobody").blocking().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Io);
/// assert_eq!(error.raw_os_error(), Some(2));
/// assert_eq!(io::Error::from(error).kind(), io::ErrorKind::NotFound);
/// # Ok(())
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
///
/// [`kind`]: Error::kind
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    source: Option<Source>,
    exit: Option<Exit>,
    /// What a program printed before it has reached a limit.
    output: Option<Arc<Output>>,
    /// The failure of a call whose process may go on.
    failure: Option<Failure>,
    /// The function of a call was surely not entered.
    never_entered: bool,
}

type Source = Arc<dyn StdError + Send + Sync>;

/// What kind of failure an [`Error`] reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The program that was asked has no worker (or init function) of that name.
    UnknownWorker,
    /// The name is the tail of more than one worker's path.
    AmbiguousName,
    /// A value could not become an argument, an argument did not parse, or there
    /// were too few or too many.
    BadArgument,
    /// An init function returned an error, panicked, or left threads behind in
    /// a template.
    InitFailed,
    /// A plugin could not be loaded.
    PluginFailed,
    /// The template process has ended, or there is none.
    TemplateGone,
    /// The kernel refused to fork.
    ForkFailed,
    /// A program could not be executed.
    ExecFailed,
    /// A process with more than one thread cannot be forked.
    MultiThreaded,
    /// The program that was executed does not answer as one that links anyfork.
    NotAnyfork,
    /// The operation took longer than it was allowed to.
    TimedOut,
    /// The process ended before it was ready or during a call, its status is lost, or
    /// [`Exit::check`] was called on a failure: [`Error::exit`] has what is known of the
    /// process's end.
    Died,
    /// The function of a typed call has panicked: [`Error::failure`] has the message, the
    /// location and the backtrace. Whether the panic unwound or aborted makes no
    /// difference.
    Panicked,
    /// The function of a typed call has returned an error, which `?` has turned into this one:
    /// [`Error::failure`] has the function's error.
    Failed,
    /// A call was refused, because as many calls as the pool allows are waiting already.
    Full,
    /// A call, a lease or an event was refused or given up: its pool is shut down, its lease was
    /// dropped, or its call is over.
    Closed,
    /// A result or an event of a call has more bytes than its limit allows, or a program printed
    /// more than its [`output_limit`](crate::Command::output_limit).
    TooLarge,
    /// The result of a call does not encode, or a result or an event does not decode.
    BadResult,
    /// The other side sent bytes that the protocol does not know.
    Protocol,
    /// A system call failed; the source is the [`io::Error`].
    Io,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error::with(kind, message.into(), None, None)
    }

    fn with(kind: ErrorKind, message: String, source: Option<Source>, exit: Option<Exit>) -> Error {
        Error(Arc::new(Inner {
            kind,
            message,
            source,
            exit,
            output: None,
            failure: None,
            never_entered: false,
        }))
    }

    /// `message` says what was tried; the operating system's reason is added.
    pub(crate) fn os(kind: ErrorKind, message: impl fmt::Display, source: io::Error) -> Error {
        let message = format!("{message}: {source}");
        let source = Arc::new(missing::system_error(source));
        Error::with(kind, message, Some(source), None)
    }

    /// The system call behind `message` failed.
    pub(crate) fn io(message: impl fmt::Display, source: impl Into<io::Error>) -> Error {
        Error::os(ErrorKind::Io, message, source.into())
    }

    /// A process ended when it should not have, or nobody can tell how it ended.
    pub(crate) fn died(message: impl Into<String>, exit: Exit) -> Error {
        Error::with(ErrorKind::Died, message.into(), None, Some(exit))
    }

    /// A program has reached a limit. `exit`: how it ended, if that is known.
    pub(crate) fn limited(
        kind: ErrorKind,
        message: impl Into<String>,
        exit: Option<Exit>,
        output: Output,
    ) -> Error {
        let error = Error::with(kind, message.into(), None, exit);
        error.change(|inner| inner.output = Some(Arc::new(output)))
    }

    /// The function of a call has failed. `exit`: and its process has ended so.
    #[cfg(feature = "pool")]
    pub(crate) fn failed(
        kind: ErrorKind,
        message: impl Into<String>,
        failure: Failure,
        exit: Option<Exit>,
    ) -> Error {
        let error = Error::with(kind, message.into(), None, exit);
        let failure = Some(failure);
        error.change(|inner| inner.failure = failure)
    }

    /// The same error, of a call whose function was surely not entered.
    #[cfg(feature = "pool")]
    pub(crate) fn before_entry(&self) -> Error {
        self.change(|inner| inner.never_entered = true)
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) -> Error {
        let mut inner = Inner::clone(&self.0);
        change(&mut inner);
        Error(Arc::new(inner))
    }

    /// The error that another process has described: its kind, its message
    /// (which tells the reason already) and, if the system refused, the `errno`.
    pub(crate) fn remote(kind: ErrorKind, message: String, errno: Option<i32>) -> Error {
        let source = |errno| Arc::new(io::Error::from_raw_os_error(errno)) as Source;
        Error::with(kind, message, errno.map(source), None)
    }

    /// A launch was not ready at its deadline.
    pub(crate) fn too_late(what: &str) -> Error {
        let message =
            format!("`{what}` was not ready in the time that `timeout` allows, and was killed");
        Error::new(ErrorKind::TimedOut, message)
    }

    /// The same error, with what was being done before its message.
    pub(crate) fn during(&self, what: impl fmt::Display) -> Error {
        self.change(|inner| inner.message = format!("{what}: {}", inner.message))
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The number of the operating system's error (`errno`), if a system call
    /// failed, here or in the new process.
    pub fn raw_os_error(&self) -> Option<i32> {
        let source = self.0.source.as_deref()?.downcast_ref::<io::Error>()?;
        source.raw_os_error()
    }

    /// How the process ended, if the kind is [`ErrorKind::Died`], or if a program has reached a
    /// limit: see [`output`](Error::output).
    ///
    /// `None` also for a call that was not made because its lease had lost a worker whose end is
    /// not known yet: one that retires, for example, may still be finishing something else.
    ///
    /// ```standalone_crate
    /// # mod doctest {
    /// use anyfork::{ErrorKind, Process};
    ///
    /// #[anyfork::after_fork]
    /// fn reseed() {
    ///     panic!("out of entropy");
    /// }
    ///
    /// #[anyfork::worker]
    /// fn idle() {}
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let error = Process::new()?.run(idle::NAME).blocking().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Died);
    /// assert_eq!(error.exit().and_then(|exit| exit.code()), Some(101));
    /// assert_eq!(error.failure().map(|failure| failure.message()), Some("out of entropy"));
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn exit(&self) -> Option<&Exit> {
        self.0.exit.as_ref()
    }

    /// What a program printed before it reached its [`time_limit`](crate::Command::time_limit) or
    /// [`output_limit`](crate::Command::output_limit), and its status. With
    /// [`status`](crate::Command::status), which reads no streams, both texts are empty. `None`
    /// for all other errors, and if the program was not executed in time. The status has neither
    /// code nor signal if the program could not be ended.
    ///
    /// ```
    /// # fn main() -> anyfork::Result<()> {
    /// let mut command = anyfork::Command::new("yes");
    /// let error = command.output_limit(4).output().blocking().unwrap_err();
    /// let output = error.output().expect("it was executed");
    /// assert_eq!(output.stdout, b"y\ny\n");
    /// assert!(!output.status.success());
    /// # Ok(())
    /// # }
    /// ```
    pub fn output(&self) -> Option<&Output> {
        self.0.output.as_deref()
    }

    /// Why the process failed, in its own words: the panic of a call's function, or the
    /// [`Exit::failure`] of [`exit`](Error::exit).
    pub fn failure(&self) -> Option<&Failure> {
        let failure = self.0.failure.as_ref();
        failure.or_else(|| self.exit()?.failure())
    }

    /// Whether the function of a typed call was certainly not entered, so that another call
    /// repeats nothing: the call was refused, found no worker, waited too long, or its arguments
    /// did not arrive. `false` for the errors of everything that is not a call.
    pub fn never_entered(&self) -> bool {
        self.0.never_entered
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

/// The kind's name, followed by the text of [`Display`](fmt::Display), because a `main` that
/// returns the error shows this.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.kind, self.0.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let source = self.0.source.as_deref()?;
        Some(source)
    }
}

/// Takes an [`io::Error`] of any other operation of the program, and keeps its message as it is.
impl From<io::Error> for Error {
    fn from(source: io::Error) -> Error {
        let message = source.to_string();
        Error::with(ErrorKind::Io, message, Some(Arc::new(source)), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Usage;

    fn killed() -> Exit {
        Exit {
            status: libc::SIGKILL,
            usage: Usage::default(),
            failure: None,
        }
    }

    #[test]
    fn what_was_being_done_is_all_that_is_added() {
        let error = Error::died("it ended", killed()).during("start");
        assert_eq!(format!("{error:?}"), "Died: start: it ended");
        assert_eq!(error.exit(), Some(&killed()));

        let refused = io::Error::from_raw_os_error(libc::EAGAIN);
        let error = Error::os(ErrorKind::ForkFailed, "fork", refused).during("start");
        assert_eq!(error.kind(), ErrorKind::ForkFailed);
        assert_eq!(error.raw_os_error(), Some(libc::EAGAIN));
        assert!(error.source().is_some() && error.exit().is_none());
        assert!(error.to_string().starts_with("start: fork: "), "{error}");
    }
}
