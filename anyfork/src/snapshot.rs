//! [`Process::snapshot`]: the caller itself is forked into a template.
//! RUNS IN: caller
//!
//! The one place that names both `boot` and `caller`.

use crate::boot::double_fork;
use crate::caller::process::Process;
use crate::error::Result;

impl Process {
    /// Forks the calling process, as it is now, into a template: the template's workers have
    /// everything that `main` has built so far.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU32, Ordering};
    /// # mod doctest {
    /// # use super::*;
    /// # pub(crate) static ANSWER: AtomicU32 = AtomicU32::new(0);
    /// #[anyfork::worker]
    /// fn check(_socket: std::os::fd::OwnedFd) {
    ///     assert_eq!(ANSWER.load(Ordering::Relaxed), 42);
    /// }
    /// # pub(crate) fn run() -> anyfork::Result<()> {
    ///
    /// ANSWER.store(42, Ordering::Relaxed);
    /// let mut worker = anyfork::Process::snapshot()?.run(check::NAME).blocking()?;
    /// assert!(worker.wait()?.success());
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::run() }
    /// ```
    ///
    /// std's and the C library's output buffers are flushed first, so that buffered text appears
    /// once. Destructors of the caller's objects run in the caller only: a worker exits without
    /// them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::MultiThreaded`] if this process has more than one thread;
    /// then nothing is forked. [`ErrorKind::ForkFailed`] if the kernel refuses.
    ///
    /// # Caveats
    ///
    /// A snapshot costs two forks of a process of the caller's size (7 to 20 ms per GiB each). A
    /// worker of it costs one such fork, as from any template of that size. Objects that own a
    /// descriptor must not be used in the workers: their descriptors are closed there.
    ///
    /// AnyEvent::Fork: `AnyEvent::Fork::Template`.
    ///
    /// [`ErrorKind::MultiThreaded`]: crate::ErrorKind::MultiThreaded
    /// [`ErrorKind::ForkFailed`]: crate::ErrorKind::ForkFailed
    #[doc(alias = "AnyEvent::Fork::Template")]
    pub fn snapshot() -> Result<Process> {
        double_fork::snapshot().map(Process::from_template)
    }
}
