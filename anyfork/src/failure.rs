//! [`Failure`]: why a worker failed, in its own words.
//! RUNS IN: any
//!
//! Plain data: the child makes it, and the caller gives it to the user.

use std::fmt;
use std::sync::Arc;

/// Why a worker failed: the panic that ended it, or the error that it returned.
/// Cheap to clone.
///
/// ```
/// # mod doctest {
/// use anyfork::Process;
///
/// #[anyfork::worker]
/// fn fail(why: std::os::fd::OwnedFd) {
///     drop(why);
///     panic!("out of {}", "luck");
/// }
///
/// #[anyfork::worker]
/// fn refuse() -> Result<(), String> {
///     Err("no work today".into())
/// }
///
/// # pub fn main() -> anyfork::Result<()> {
/// let exit = Process::new()?.run(fail::NAME).blocking()?.wait()?;
/// let failure = exit.failure().expect("it has panicked");
/// assert_eq!((exit.code(), failure.message()), (Some(101), "out of luck"));
/// assert!(failure.location().is_some_and(|location| location.contains(".rs:")));
/// assert!(failure.backtrace().is_some());
///
/// let exit = Process::new()?.run(refuse::NAME).blocking()?.wait()?;
/// let failure = exit.failure().expect("it has returned an error");
/// assert_eq!((exit.code(), failure.message()), (Some(1), "no work today"));
/// assert!(!failure.is_panic());
/// # Ok(())
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
///
/// # Caveats
///
/// Long texts are cut, and end in `…` then: a message after 16 KiB, a backtrace
/// where the pipe that it comes through is full (some 60 KiB; 4 KiB for a user
/// who has very many pipes). A program that sets a panic hook of its own, and
/// does not call the one that was there, loses location and backtrace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(Arc<Inner>);

#[derive(Debug, PartialEq, Eq)]
struct Inner {
    panicked: bool,
    message: String,
    /// Empty: none. The same holds for the texts below.
    location: String,
    thread: String,
    backtrace: String,
}

impl Failure {
    pub(crate) fn new(
        panicked: bool,
        message: String,
        location: String,
        thread: String,
        backtrace: String,
    ) -> Failure {
        Failure(Arc::new(Inner {
            panicked,
            message,
            location,
            thread,
            backtrace,
        }))
    }

    /// The panic's message, or the error's text. If other threads had panicked
    /// before, their messages follow.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Whether it was a panic.
    pub fn is_panic(&self) -> bool {
        self.0.panicked
    }

    /// Where the worker panicked: `src/main.rs:12:5`.
    #[doc(alias = "place")]
    pub fn location(&self) -> Option<&str> {
        some(&self.0.location)
    }

    /// The name of the thread that panicked (`unnamed` if it has none), if it was
    /// not the one that the worker was entered in.
    pub fn thread(&self) -> Option<&str> {
        some(&self.0.thread)
    }

    /// The stack at the time of the panic, whatever `RUST_BACKTRACE` is set to.
    /// Names and lines are there as far as the program has them.
    pub fn backtrace(&self) -> Option<&str> {
        some(&self.0.backtrace)
    }
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// `panicked at src/main.rs:12:5: out of luck`, or the error's text.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_panic() {
            if let Some(thread) = self.thread() {
                write!(f, "thread `{thread}` ")?;
            }
            f.write_str("panicked")?;
            if let Some(location) = self.location() {
                write!(f, " at {location}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(self.message())
    }
}
