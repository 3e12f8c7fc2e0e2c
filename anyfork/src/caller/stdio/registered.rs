//! [`RegisteredStreams`]: the caller's ends of a process's streams, as tokio's types.
//! RUNS IN: caller

use tokio::process::{ChildStderr, ChildStdin, ChildStdout};

use crate::caller::stdio::Streams;
use crate::caller::wait::readiness::check_runtime;
use crate::error::{Error, Result};

/// The caller's ends of the pipes that a process has for standard streams, registered
/// with the runtime.
#[derive(Default)]
pub(crate) struct RegisteredStreams {
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) stdout: Option<ChildStdout>,
    pub(crate) stderr: Option<ChildStderr>,
}

impl Streams {
    /// Registers the streams. It is done before the process is waited for, so that a
    /// failure leaves no process.
    pub(crate) fn registered(self) -> Result<RegisteredStreams> {
        check_runtime()?;
        let failed = |error| Error::io("register a standard stream with tokio", error);
        let Streams([stdin, stdout, stderr]) = self;
        let stdin = stdin.map(|fd| ChildStdin::from_std(fd.into()));
        let stdout = stdout.map(|fd| ChildStdout::from_std(fd.into()));
        let stderr = stderr.map(|fd| ChildStderr::from_std(fd.into()));
        Ok(RegisteredStreams {
            stdin: stdin.transpose().map_err(failed)?,
            stdout: stdout.transpose().map_err(failed)?,
            stderr: stderr.transpose().map_err(failed)?,
        })
    }
}
