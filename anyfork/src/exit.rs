//! How a process ended. Plain data, made by the caller's side from the record
//! that a template writes.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

/// How a process ended, and what it used.
///
/// The raw status is kept as `waitpid(2)` gave it, so that real-time signals
/// and the core-dump bit survive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    pub(crate) status: i32,
    pub(crate) usage: Usage,
}

/// What a process and the children that it waited for have used
/// (`getrusage(2)`). All zero if the process's template was killed: then only the
/// status is known.
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

impl Exit {
    /// Whether the process returned with code 0.
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

    /// The same as std's type.
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
        self.status().fmt(f)
    }
}

impl From<Exit> for ExitStatus {
    fn from(exit: Exit) -> ExitStatus {
        exit.status()
    }
}
