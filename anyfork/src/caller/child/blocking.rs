//! ExitWatch processes for code without a runtime: what
//! [`Launch::blocking`](crate::Launch::blocking) gives.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{ChildStderr, ChildStdin, ChildStdout, Output};
use std::time::{Duration, Instant};

use crate::caller::child::handle::{ExitState, ExitWatch};
use crate::caller::child::methods::{child_methods, worker_methods};
use crate::caller::stdio::Streams;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::sys::poll;

/// A worker that runs: its socket and its process.
///
/// The socket is blocking, close-on-exec, and gives end-of-file when the worker
/// is gone.
#[derive(Debug)]
pub struct Worker {
    /// Connected to the worker's first parameter.
    pub socket: UnixStream,
    /// The process.
    pub child: Child,
}

/// A process that runs.
///
/// Dropping the last handle detaches the process, which leaves no zombie when it
/// ends; with [`kill_on_drop`](crate::Process::kill_on_drop) it is killed.
///
/// A clone is a second handle of the same process, without the streams: each
/// can wait, also at the same time in another thread, and gets the same
/// [`Exit`].
///
/// ```
/// # mod doctest {
/// use std::io::Read;
/// use std::time::Duration;
/// use anyfork::{Process, Stdio};
///
/// #[anyfork::worker]
/// fn stay(_socket: std::os::fd::OwnedFd) {
///     println!("here");
///     std::thread::park();
/// }
///
/// # pub fn main() -> anyfork::Result<()> {
/// let process = Process::new()?.stdout(Stdio::piped());
/// let mut child = process.run(stay::NAME).blocking()?.child;
/// let mut stdout = child.stdout.take().expect("piped");
///
/// let mut other = child.clone();
/// let waiting = std::thread::spawn(move || other.wait());
/// assert!(child.wait_timeout(Duration::from_millis(1))?.is_none());
/// child.kill()?;
/// assert_eq!(child.wait()?.signal(), Some(9));
/// assert_eq!(waiting.join().expect("no panic")?, child.wait()?);
///
/// let mut text = String::new();
/// stdout.read_to_string(&mut text)?;
/// assert!(text.is_empty() || text == "here\n");
/// # Ok(())
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
#[derive(Debug)]
pub struct Child {
    /// What the process reads, if its standard input is piped.
    pub stdin: Option<ChildStdin>,
    /// What the process prints, if its standard output is piped.
    pub stdout: Option<ChildStdout>,
    /// The same of its standard error.
    pub stderr: Option<ChildStderr>,
    running: ExitWatch,
}

impl Worker {
    pub(crate) fn new(socket: UnixStream, running: ExitWatch, streams: Streams) -> Worker {
        let child = Child::new(running, streams);
        Worker { socket, child }
    }

    worker_methods!();

    /// Waits for the process's end: [`Child::wait`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn wait(&mut self) -> Result<Exit> {
        self.child.wait()
    }

    /// Waits for the process's end for so long: [`Child::wait_timeout`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn wait_timeout(&mut self, limit: Duration) -> Result<Option<Exit>> {
        self.child.wait_timeout(limit)
    }

    /// Looks whether the process has ended: [`Child::try_wait`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_wait(&mut self) -> Result<Option<Exit>> {
        self.child.try_wait()
    }

    /// Ends the process with SIGKILL, and waits for its end: [`Child::kill`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()
    }
}

impl Child {
    pub(crate) fn new(running: ExitWatch, streams: Streams) -> Child {
        let Streams([stdin, stdout, stderr]) = streams;
        Child {
            stdin: stdin.map(Into::into),
            stdout: stdout.map(Into::into),
            stderr: stderr.map(Into::into),
            running,
        }
    }

    child_methods!();

    /// Waits until the process has ended and gives its status. May be called
    /// again. A piped standard input is closed before, as std does it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Died`](crate::ErrorKind::Died), with an [`Exit`] that has
    /// neither code nor signal, if the template was killed, the process did not come
    /// to its own end, and the kernel (before Linux 6.15) has not kept the status.
    ///
    /// # Caveats
    ///
    /// While its template is stopped (SIGSTOP), the end of a process that was killed
    /// is not told.
    pub fn wait(&mut self) -> Result<Exit> {
        drop(self.stdin.take());
        let exit = self.running.wait(None)?;
        Ok(exit.expect("without a deadline there is an end"))
    }

    /// As [`wait`](Child::wait), but for so long at most: `None` if the process
    /// still runs then.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn wait_timeout(&mut self, limit: Duration) -> Result<Option<Exit>> {
        drop(self.stdin.take());
        // None: longer than a clock can tell.
        self.running.wait(Instant::now().checked_add(limit))
    }

    /// The status, if the process has ended.
    ///
    /// # Errors
    ///
    /// As [`wait`](Child::wait).
    pub fn try_wait(&mut self) -> Result<Option<Exit>> {
        match self.running.look()? {
            ExitState::Ended(exit) => Ok(Some(exit)),
            ExitState::Running(_) => Ok(None),
        }
    }

    /// Waits for the process's end, and collects what comes through its piped
    /// streams until then: both at the same time, so that however much it is the
    /// process never waits for its reader. A stream that is not piped gives
    /// nothing. A piped standard input is closed before.
    ///
    /// # Errors
    ///
    /// As [`wait`](Child::wait), or if reading fails.
    ///
    /// # Caveats
    ///
    /// Reads until the streams are at their end: a process that the child leaves
    /// behind may hold them open.
    pub fn wait_with_output(mut self) -> Result<Output> {
        drop(self.stdin.take());
        let (stdout, stderr) = (self.stdout.take(), self.stderr.take());
        let streams = [stdout.map(OwnedFd::from), stderr.map(OwnedFd::from)];
        let read = poll::read_both(streams);
        let [stdout, stderr] =
            read.map_err(|error| Error::io("read what a process prints", error))?;
        Ok(Output {
            status: self.wait()?.status(),
            stdout,
            stderr,
        })
    }

    /// Sends SIGKILL, and waits until the process has ended. One that has ended
    /// already is no error.
    ///
    /// # Errors
    ///
    /// As [`start_kill`](Child::start_kill) and [`wait`](Child::wait).
    pub fn kill(&mut self) -> Result<()> {
        self.start_kill()?;
        self.wait().map(drop)
    }
}

impl Clone for Child {
    fn clone(&self) -> Child {
        Child::new(self.running.clone(), Streams::default())
    }
}
