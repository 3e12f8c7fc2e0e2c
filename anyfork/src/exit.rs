//! [`Exit`]: how a process ended.
//! RUNS IN: any
//!
//! Plain data: the caller makes it from the record that the template (or the
//! monitor) writes into the status pipe, or from the kernel's.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use crate::failure::Failure;

/// How a process ended, what it used, and, in its own words, why it failed. Cheap to clone.
///
/// The raw status is kept as `waitpid(2)` gave it, so that real-time signals
/// and the core-dump bit survive.
///
/// ```
/// # mod doctest {
/// use anyfork::{Command, Process};
///
/// #[anyfork::worker]
/// fn refuse() -> Result<(), String> {
///     Err("no work today".into())
/// }
///
/// # pub fn main() -> anyfork::Result<()> {
/// let exit = refuse::run(Process::new()?).blocking()?.wait()?;
/// assert!(!exit.success());
/// assert_eq!((exit.code(), exit.signal()), (Some(1), None));
/// assert_eq!(exit.failure().expect("an error").message(), "no work today");
/// assert!(exit.usage().peak_memory > 0); // in bytes
/// assert_eq!(exit.to_string(), "exit status: 1");
/// assert!(exit.check().is_err());
///
/// let exit = Command::new("true").status().blocking()?;
/// assert!(exit.success() && exit.status().success());
/// # Ok(())
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a process that failed is no `Err` yet: `.check()?` makes it one"]
pub struct Exit {
    pub(crate) status: i32,
    pub(crate) usage: Usage,
    pub(crate) failure: Option<Failure>,
}

/// The time and memory that a process, and the children that it waited for, have
/// used (`getrusage(2)`), as the process's template reports it. All zero if the
/// template was killed, or is stopped: then only the status is known.
///
/// ```
/// # mod doctest {
/// use anyfork::{Process, Usage};
///
/// #[anyfork::worker]
/// fn load(bytes: usize) {
///     std::hint::black_box(vec![1_u8; bytes]);
/// }
///
/// # pub fn main() -> anyfork::Result<()> {
/// let exit = load::run(Process::new()?, 10 << 20).blocking()?.wait()?;
/// let usage: &Usage = exit.usage();
/// assert!(usage.peak_memory > 10 << 20);
/// println!("{:?} of CPU time", usage.user_time + usage.system_time);
/// # Ok(())
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Time spent in user mode.
    pub user_time: Duration,
    /// Time spent in the kernel.
    pub system_time: Duration,
    /// The largest resident set, in bytes.
    pub peak_memory: u64,
}

impl Usage {
    pub(crate) fn new(user_micros: u64, system_micros: u64, peak_memory: u64) -> Usage {
        Usage {
            user_time: Duration::from_micros(user_micros),
            system_time: Duration::from_micros(system_micros),
            peak_memory,
        }
    }
}

/// A status that `waitpid(2)` never gives: no code, no signal, and no success.
const UNKNOWN: i32 = -1;

impl Exit {
    /// The end of a process whose status is lost.
    pub(crate) fn unknown(failure: Option<Failure>) -> Exit {
        Exit {
            status: UNKNOWN,
            usage: Usage::default(),
            failure,
        }
    }

    /// Whether the process exited with code 0.
    pub fn success(&self) -> bool {
        self.status().success()
    }

    /// The exit code, unless a signal ended the process.
    pub fn code(&self) -> Option<i32> {
        self.status().code()
    }

    /// The signal that ended the process, if one did.
    pub fn signal(&self) -> Option<i32> {
        self.status().signal()
    }

    /// Why the process failed, in its own words: the panic or the error that ended its worker, an
    /// allocation that failed, or a stack overflow. `None` after success, for external programs,
    /// and for a process that could not report anything, such as one that was killed.
    ///
    /// A panic in another thread or task of the worker is included if the worker then failed; as
    /// in any Rust program, such a panic alone is not a failure.
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref().filter(|_| !self.success())
    }

    /// The status as std's type. It has neither code nor signal if the status is
    /// lost, which happens only in the [`Error::exit`](crate::Error::exit) of an
    /// [`ErrorKind::Died`](crate::ErrorKind::Died).
    pub fn status(&self) -> ExitStatus {
        ExitStatus::from_raw(self.status)
    }

    /// The time and memory that the process used.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }
}

/// As std prints it: `exit status: 3`, `signal: 9 (SIGKILL)`.
impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            UNKNOWN => f.write_str("unknown status"),
            _ => self.status().fmt(f),
        }
    }
}

impl From<Exit> for ExitStatus {
    fn from(exit: Exit) -> ExitStatus {
        exit.status()
    }
}
