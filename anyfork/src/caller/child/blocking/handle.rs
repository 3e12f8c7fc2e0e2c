//! [`ChildHandle`]: one of many handles of a process, for code without a runtime.
//! RUNS IN: caller

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use crate::caller::child::exit_watch::ExitWatch;
use crate::caller::child::methods::{as_pidfd, child_methods};
use crate::caller::wait;
use crate::error::Result;
use crate::exit::Exit;

/// Another handle of a [`Child`](crate::blocking::Child), without its streams.
///
/// Each handle can wait, even while others wait in other threads, and all get the same [`Exit`].
/// When the [`Child`](crate::blocking::Child) and all its handles are dropped, the process is
/// detached, or, with [`kill_on_drop`](crate::Process::kill_on_drop), killed.
///
/// ```
/// # fn main() -> anyfork::Result<()> {
/// use std::time::Duration;
///
/// use anyfork::Command;
///
/// let child = Command::new("sleep").arg("60").process_group(0).spawn().blocking()?;
/// let handle = child.handle();
/// assert_eq!(handle.pid(), child.pid());
/// let waiting = std::thread::spawn(move || handle.wait()); // `child` can be used meanwhile
///
/// let handle = child.handle();
/// assert!(handle.try_wait()?.is_none());
/// assert!(handle.wait_timeout(Duration::from_millis(1))?.is_none());
/// handle.signal(libc::SIGCONT)?;
/// handle.signal_group(libc::SIGTERM)?;
/// let exit = waiting.join().expect("no panic")?;
/// assert_eq!(exit.signal(), Some(libc::SIGTERM));
/// handle.kill()?; // no error, though it has exited
/// handle.start_kill()?;
/// # Ok(())
/// # }
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

    /// Waits for the process's exit: see [`Child::wait`](crate::blocking::Child::wait).
    ///
    /// # Errors
    ///
    /// See [`Child::wait`](crate::blocking::Child::wait).
    pub fn wait(&self) -> Result<Exit> {
        let exit = wait::blocking::exit(&self.watch, None)?;
        Ok(exit.expect("without a deadline there is an exit"))
    }

    /// As [`wait`](ChildHandle::wait), but waits for at most this time: `None` if the process is
    /// still running then.
    ///
    /// # Errors
    ///
    /// See [`Child::wait`](crate::blocking::Child::wait).
    pub fn wait_timeout(&self, limit: Duration) -> Result<Option<Exit>> {
        // None: longer than a clock can tell.
        wait::blocking::exit(&self.watch, Instant::now().checked_add(limit))
    }

    /// The exit, if the process has exited.
    ///
    /// # Errors
    ///
    /// See [`Child::wait`](crate::blocking::Child::wait).
    pub fn try_wait(&self) -> Result<Option<Exit>> {
        self.watch.try_exit()
    }

    /// Sends SIGKILL, and does not wait: see
    /// [`Child::start_kill`](crate::blocking::Child::start_kill).
    ///
    /// # Errors
    ///
    /// See [`Child::start_kill`](crate::blocking::Child::start_kill).
    pub fn start_kill(&self) -> Result<()> {
        self.watch.kill()
    }

    /// Sends SIGKILL, and waits for the exit: see
    /// [`Child::kill`](crate::blocking::Child::kill).
    ///
    /// # Errors
    ///
    /// See [`Child::kill`](crate::blocking::Child::kill).
    pub fn kill(&self) -> Result<()> {
        self.start_kill()?;
        self.wait().map(drop)
    }
}

as_pidfd!(ChildHandle);
