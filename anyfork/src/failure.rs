//! [`Failure`]: why a worker failed, in its own words.
//! RUNS IN: any
//!
//! Plain data: the child makes it, and the caller gives it to the user. The names of a
//! backtrace are found when somebody asks for them.

mod names;

use std::fmt;
use std::sync::{Arc, OnceLock};

/// Why a worker failed: the panic that ended it, the error that it returned, or that it had no
/// memory (`memory allocation failed`) or stack (`stack overflow`) left. Cheap to clone.
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
/// Long texts are cut, and then end in `…`: a message after 16 KiB, or after 4 KiB if the worker
/// had no memory left. A backtrace has at most 100 frames, and fewer if the pipe that carries it
/// is full (4 KiB for a user who has very many pipes). If a program sets a panic hook of its own
/// that does not call the previous hook, location and backtrace are lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    panicked: bool,
    message: String,
    /// Empty: none. The same holds for the texts below.
    location: String,
    thread: String,
    /// A backtrace, or the addresses of one behind [`RAW_STACK`].
    stack: String,
    /// The backtrace with its names, once somebody has asked.
    backtrace: OnceLock<String>,
}

/// What the addresses of a stack begin with, so that no text is taken for them. A line
/// for each image follows: `@`, its fingerprint, a blank, its path; and behind it a line
/// for each address in it, less the image's base. All numbers are hexadecimal.
pub(crate) const RAW_STACK: &str = "\u{1}stack";

impl PartialEq for Inner {
    fn eq(&self, other: &Inner) -> bool {
        let parts = |it: &Inner| {
            let texts = [&it.message, &it.location, &it.thread, &it.stack];
            (it.panicked, texts.map(String::clone))
        };
        parts(self) == parts(other)
    }
}

impl Eq for Inner {}

impl Failure {
    pub(crate) fn new(
        panicked: bool,
        message: String,
        location: String,
        thread: String,
        stack: String,
    ) -> Failure {
        Failure(Arc::new(Inner {
            panicked,
            message,
            location,
            thread,
            stack,
            backtrace: OnceLock::new(),
        }))
    }

    /// The panic's message, or the error's text with its sources: `a: b: c`. If other
    /// threads had panicked before, their messages follow.
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

    /// The name of the thread that panicked (`unnamed` if it has none), if that was not the
    /// thread in which the worker was entered.
    pub fn thread(&self) -> Option<&str> {
        some(&self.0.thread)
    }

    /// The stack at the time of the panic, or of the allocation that failed, whatever
    /// `RUST_BACKTRACE` is set to. It has names and lines as far as the program has them.
    ///
    /// The worker sends only addresses. The first call of this method looks the names up, in this
    /// process, which takes some milliseconds. A frame in a program or library that this process
    /// does not have is shown as the file's path and the address in the file:
    /// `/usr/bin/other+0x1f20`, for `addr2line(1)`.
    pub fn backtrace(&self) -> Option<&str> {
        let backtrace = &self.0.backtrace;
        some(backtrace.get_or_init(|| names::resolve(&self.0.stack)))
    }

    /// The backtrace as it came.
    pub(crate) fn stack(&self) -> &str {
        &self.0.stack
    }
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// The text is `panicked at src/main.rs:12:5: out of luck`, or the error's own. `?` passes the
/// failure on, here as the error of a function whose errors cross as text:
///
/// ```
/// # #[cfg(feature = "pool")]
/// # mod doctest {
/// use std::error::Error;
///
/// #[anyfork::call(text_errors)]
/// fn parse(number: String) -> Result<u32, Box<dyn Error>> {
///     Ok(number.parse()?)
/// }
///
/// fn parsed(number: &str) -> Result<u32, Box<dyn Error>> {
///     let call = parse::call(anyfork::Process::new()?, number.into());
///     Ok(call.blocking()??) // of the process; of the function
/// }
///
/// # pub fn main() {
/// assert_eq!(parsed("12").unwrap(), 12);
/// assert_eq!(parsed("x").unwrap_err().to_string(), "invalid digit found in string");
/// # }
/// # }
/// # #[cfg(feature = "pool")]
/// # fn main() { doctest::main() }
/// # #[cfg(not(feature = "pool"))]
/// # fn main() {}
/// ```
impl std::error::Error for Failure {}

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
