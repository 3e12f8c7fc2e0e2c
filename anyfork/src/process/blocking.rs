//! Running processes for code without a runtime: what
//! [`Launch::blocking`](crate::Launch::blocking) gives.

use std::os::unix::net::UnixStream;

use super::running::Running;
use crate::error::{Error, Result};
use crate::exit::Exit;

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

/// A process that runs. Dropping it detaches the process, which leaves no
/// zombie when it ends.
#[derive(Debug)]
pub struct Child(Running);

impl Worker {
    pub(super) fn new(socket: UnixStream, running: Running) -> Worker {
        let child = Child(running);
        Worker { socket, child }
    }

    /// The process's pid.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Waits for the process's end: [`Child::wait`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn wait(&mut self) -> Result<Exit> {
        self.child.wait()
    }

    /// Looks whether the process has ended: [`Child::try_wait`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_wait(&mut self) -> Result<Option<Exit>> {
        self.child.try_wait()
    }

    /// Ends the process with SIGKILL: [`Child::start_kill`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn start_kill(&mut self) -> Result<()> {
        self.child.start_kill()
    }
}

impl Child {
    /// The process's pid. Once the process has ended the kernel may give the
    /// number to another; the methods here never reach that one.
    pub fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// Waits until the process has ended and gives its status. May be called
    /// again.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TemplateGone`](crate::ErrorKind::TemplateGone) if the
    /// template was killed, and the kernel (before Linux 6.15) has not kept the
    /// status.
    pub fn wait(&mut self) -> Result<Exit> {
        loop {
            if let Some(exit) = self.0.look()? {
                return Ok(exit);
            }
            let waited = self.0.wait();
            waited.map_err(|error| Error::io("wait for a worker", error))?;
        }
    }

    /// The status, if the process has ended.
    ///
    /// # Errors
    ///
    /// As [`wait`](Child::wait).
    pub fn try_wait(&mut self) -> Result<Option<Exit>> {
        self.0.look()
    }

    /// Sends SIGKILL, and does not wait for the end. A process that has ended
    /// already is no error.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the kernel refuses, as for a
    /// process of another user.
    pub fn start_kill(&mut self) -> Result<()> {
        self.0.kill()
    }
}
