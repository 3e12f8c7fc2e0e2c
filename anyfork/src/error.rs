//! What can go wrong, by who is to blame.
//!
//! Every room makes these errors; the child's side sends kind and message over
//! the wire and the caller's side builds the same error again.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::exit::Exit;

/// A result whose error is anyfork's.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An operation of anyfork that did not succeed.
///
/// The message says what was tried, on what, and what to do; [`kind`] says it
/// to a program. An error is cheap to clone: every launch from a process whose
/// preparation failed reports the same one.
///
/// ```
/// let error = anyfork::Error::from(std::io::Error::from_raw_os_error(2));
/// assert_eq!(error.kind(), anyfork::ErrorKind::Io);
/// assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::NotFound);
/// ```
///
/// [`kind`]: Error::kind
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What kind of failure an [`Error`] reports.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The program that was asked has no worker (or init function) of that name.
    UnknownWorker,
    /// The name is the tail of more than one worker's path.
    AmbiguousName,
    /// An argument did not parse, or there were too few or too many.
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
    /// It took longer than it was allowed to.
    TimedOut,
    /// The process ended before it was ready, in the way that [`Exit`] tells.
    Died(Exit),
    /// The other side said something that the protocol does not know.
    Protocol,
    /// A system call failed; the source is the [`io::Error`].
    Io,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error(Arc::new(Inner {
            kind,
            message: message.into(),
            source: None,
        }))
    }

    /// `message` says what was tried; the operating system's reason is added.
    pub(crate) fn os(kind: ErrorKind, message: impl fmt::Display, source: io::Error) -> Error {
        Error(Arc::new(Inner {
            kind,
            message: format!("{message}: {source}"),
            source: Some(Box::new(source)),
        }))
    }

    /// The system call behind `message` failed.
    pub(crate) fn io(message: impl fmt::Display, source: impl Into<io::Error>) -> Error {
        Error::os(ErrorKind::Io, message, source.into())
    }

    /// The error that another process has described: its kind, its message
    /// (which tells the reason already) and, if the system refused, the `errno`.
    pub(crate) fn remote(kind: ErrorKind, message: String, errno: Option<i32>) -> Error {
        Error(Arc::new(Inner {
            kind,
            message,
            source: errno.map(|errno| io::Error::from_raw_os_error(errno).into()),
        }))
    }

    /// The same error, with what was being done before its message.
    pub(crate) fn during(&self, what: impl fmt::Display) -> Error {
        let message = format!("{what}: {}", self.0.message);
        Error::remote(self.kind(), message, self.errno())
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind.clone()
    }

    /// How the process ended, if the kind is [`ErrorKind::Died`].
    pub fn exit(&self) -> Option<&Exit> {
        match &self.0.kind {
            ErrorKind::Died(exit) => Some(exit),
            _ => None,
        }
    }

    pub(crate) fn errno(&self) -> Option<i32> {
        let source = self.0.source.as_deref()?.downcast_ref::<io::Error>()?;
        source.raw_os_error()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

/// The same text as [`Display`](fmt::Display) behind the kind's name, because
/// this is what a `main` that returns the error shows.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.kind {
            ErrorKind::Died(_) => f.write_str("Died")?,
            kind => write!(f, "{kind:?}")?,
        }
        write!(f, ": {}", self.0.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let source = self.0.source.as_deref()?;
        Some(source)
    }
}

/// A plain [`io::Error`], as other calls of the program give it: its message
/// is kept as it is.
impl From<io::Error> for Error {
    fn from(source: io::Error) -> Error {
        Error(Arc::new(Inner {
            kind: ErrorKind::Io,
            message: source.to_string(),
            source: Some(Box::new(source)),
        }))
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        let source = error.0.source.as_deref();
        let source = source.and_then(|source| source.downcast_ref::<io::Error>());
        let kind = source.map(io::Error::kind).unwrap_or(match error.0.kind {
            ErrorKind::UnknownWorker => io::ErrorKind::NotFound,
            ErrorKind::AmbiguousName | ErrorKind::BadArgument => io::ErrorKind::InvalidInput,
            ErrorKind::TemplateGone => io::ErrorKind::BrokenPipe,
            ErrorKind::TimedOut => io::ErrorKind::TimedOut,
            ErrorKind::Protocol => io::ErrorKind::InvalidData,
            _ => io::ErrorKind::Other,
        });
        io::Error::new(kind, error)
    }
}
