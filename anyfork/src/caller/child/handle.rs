//! [`ChildHandle`]: one of many handles of a process, for async code.
//! RUNS IN: caller

use std::os::fd::{AsFd, BorrowedFd};

use crate::caller::child::exit_watch::ExitWatch;
use crate::caller::child::methods::{as_pidfd, child_methods};
use crate::caller::wait;
use crate::error::Result;
use crate::exit::Exit;

/// Another handle of a [`Child`](crate::Child), without its streams.
///
/// Each handle can wait, even while others wait in other tasks, and all get the same [`Exit`].
/// When the [`Child`](crate::Child) and all its handles are dropped, the process is detached, or,
/// with [`kill_on_drop`](crate::Process::kill_on_drop), killed.
///
/// ```
/// # mod doctest {
/// #[anyfork::worker]
/// fn stay(_socket: std::os::fd::OwnedFd) {
///     std::thread::park();
/// }
///
/// # pub fn main() -> anyfork::Result<()> {
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// # runtime.block_on(async {
/// let mut worker = anyfork::Process::new()?.run(stay::NAME).await?;
/// let handle = worker.handle();
/// let waiting = tokio::spawn(async move { handle.wait().await });
/// worker.kill().await?;
/// assert_eq!(waiting.await.expect("no panic")?.signal(), Some(9));
/// # Ok(())
/// # })
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
#[derive(Clone, Debug)]
pub struct ChildHandle {
    watch: ExitWatch,
}

impl ChildHandle {
    pub(crate) fn new(watch: ExitWatch) -> ChildHandle {
        ChildHandle { watch }
    }

    child_methods!();

    /// Waits for the process's exit: see [`Child::wait`](crate::Child::wait).
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// See [`Child::wait`](crate::Child::wait).
    pub async fn wait(&self) -> Result<Exit> {
        wait::tokio::exit(&self.watch).await
    }

    /// The exit, if the process has exited.
    ///
    /// # Errors
    ///
    /// See [`Child::wait`](crate::Child::wait).
    pub fn try_wait(&self) -> Result<Option<Exit>> {
        self.watch.try_exit()
    }

    /// Sends SIGKILL, and does not wait: see [`Child::start_kill`](crate::Child::start_kill).
    ///
    /// # Errors
    ///
    /// See [`Child::start_kill`](crate::Child::start_kill).
    pub fn start_kill(&self) -> Result<()> {
        self.watch.kill()
    }

    /// Sends SIGKILL, and waits for the exit: see [`Child::kill`](crate::Child::kill).
    ///
    /// Dropping the future loses nothing: the signal is sent when the future is first polled.
    ///
    /// # Errors
    ///
    /// See [`Child::kill`](crate::Child::kill).
    pub async fn kill(&self) -> Result<()> {
        self.start_kill()?;
        self.wait().await.map(drop)
    }
}

as_pidfd!(ChildHandle);
