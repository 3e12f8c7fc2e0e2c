//! [`take_args`]: an init function takes the arguments that its process has collected.
//! RUNS IN: child
//!
//! The child puts the arguments here while it runs an init function, and takes back
//! those that are left.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::args::Args;

/// Filled while an init function runs.
static COLLECTED: Mutex<Option<Args>> = Mutex::new(None);

/// Inside an init function, takes the arguments that this process was given so far. The worker
/// then does not get them.
///
/// Outside an init function there are none.
///
/// ```
/// # mod doctest {
/// use anyfork::{Args, Process};
///
/// /// Uses up what was sent before.
/// #[anyfork::init]
/// fn count(expected: usize) -> Result<(), String> {
///     let taken = anyfork::take_args().len();
///     if taken == expected { Ok(()) } else { Err(format!("{taken} arguments")) }
/// }
///
/// #[anyfork::worker]
/// fn done(_socket: std::os::fd::OwnedFd, rest: Args) {
///     assert_eq!(rest.len(), 1);
/// }
///
/// # pub fn main() -> anyfork::Result<()> {
/// let process = Process::new()?.send_args(["a", "b"]).init(count::NAME, anyfork::args![2]);
/// let mut worker = process.send_arg("c").run(done::NAME).blocking()?;
/// assert!(worker.wait()?.success());
/// # Ok(())
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
///
/// AnyEvent::Fork::Serve: `run_args`.
#[doc(alias = "run_args")]
pub fn take_args() -> Args {
    let mut collected = lock();
    collected.as_mut().map(mem::take).unwrap_or_default()
}

/// Runs `init` while [`take_args`] can take `args`, and returns the arguments that
/// are left.
pub(crate) fn with_collected<T>(args: Args, init: impl FnOnce() -> T) -> (T, Args) {
    *lock() = Some(args);
    let result = init();
    (result, lock().take().unwrap_or_default())
}

fn lock() -> MutexGuard<'static, Option<Args>> {
    COLLECTED.lock().unwrap_or_else(PoisonError::into_inner)
}
