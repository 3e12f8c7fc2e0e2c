//! The arguments that a process has collected so far, where an init function
//! can take them.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::args::Args;

/// Filled while an init function runs.
static COLLECTED: Mutex<Option<Args>> = Mutex::new(None);

/// Takes the arguments that were given to this process so far, inside an init
/// function: it can use them up, or put others in their place by giving them to
/// the process later.
///
/// What it does not take, the worker gets. Elsewhere than in an init function
/// there are none.
///
/// ```
/// # mod doctest {
/// use anyfork::{Args, Process};
///
/// /// Opens the log that the caller sent the descriptor of.
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
/// Seed: `run_args` of AnyEvent::Fork::Serve.
#[doc(alias = "run_args")]
pub fn take_args() -> Args {
    let mut collected = lock();
    collected.as_mut().map(mem::take).unwrap_or_default()
}

/// Runs `init` with `args` for [`take_args`] to take, and gives back what it
/// left.
pub(crate) fn with_collected<T>(args: Args, init: impl FnOnce() -> T) -> (T, Args) {
    *lock() = Some(args);
    let result = init();
    (result, lock().take().unwrap_or_default())
}

fn lock() -> MutexGuard<'static, Option<Args>> {
    COLLECTED.lock().unwrap_or_else(PoisonError::into_inner)
}
