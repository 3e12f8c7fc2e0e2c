//! ExitWatch processes for async code: what awaiting a launch gives.

pub mod blocking;
pub(crate) mod handle;
pub(crate) mod methods;
pub(crate) mod status;

#[cfg(feature = "tokio")]
use std::future::poll_fn;
#[cfg(feature = "tokio")]
use std::io;
#[cfg(feature = "tokio")]
use std::pin::pin;
#[cfg(feature = "tokio")]
use std::process::Output;
#[cfg(feature = "tokio")]
use std::task::Poll;

#[cfg(feature = "tokio")]
use tokio::io::{AsyncRead, AsyncReadExt};
#[cfg(feature = "tokio")]
use tokio::net::UnixStream;
#[cfg(feature = "tokio")]
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};

#[cfg(feature = "tokio")]
use crate::caller::child::handle::ExitState;
use crate::caller::child::handle::ExitWatch;
use crate::caller::child::methods::{child_methods, worker_methods};
#[cfg(feature = "tokio")]
use crate::caller::launch::news;
#[cfg(feature = "tokio")]
use crate::caller::stdio::Streams;
#[cfg(feature = "tokio")]
use crate::error::Error;
use crate::error::Result;
#[cfg(feature = "tokio")]
use crate::exit::Exit;

/// A worker that runs: its socket and its process.
///
/// The socket is close-on-exec, and gives end-of-file when the worker is gone.
/// Without the feature `tokio` none of these can be had: see
/// [`blocking::Worker`].
#[derive(Debug)]
pub struct Worker {
    /// Connected to the worker's first parameter.
    #[cfg(feature = "tokio")]
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
/// can wait, also at the same time in another task, and gets the same
/// `Exit`.
#[derive(Debug)]
pub struct Child {
    /// What the process reads, if its standard input is piped.
    #[cfg(feature = "tokio")]
    pub stdin: Option<ChildStdin>,
    /// What the process prints, if its standard output is piped.
    #[cfg(feature = "tokio")]
    pub stdout: Option<ChildStdout>,
    /// The same of its standard error.
    #[cfg(feature = "tokio")]
    pub stderr: Option<ChildStderr>,
    running: ExitWatch,
}

impl Worker {
    worker_methods!();
}

impl Child {
    child_methods!();
}

#[cfg(feature = "tokio")]
impl Worker {
    pub(crate) fn new(socket: UnixStream, running: ExitWatch, streams: Registered) -> Worker {
        let child = Child::new(running, streams);
        Worker { socket, child }
    }

    /// Waits for the process's end: [`Child::wait`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn wait(&mut self) -> Result<Exit> {
        self.child.wait().await
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
    pub async fn kill(&mut self) -> Result<()> {
        self.child.kill().await
    }
}

#[cfg(feature = "tokio")]
impl Child {
    pub(crate) fn new(running: ExitWatch, streams: Registered) -> Child {
        let Registered {
            stdin,
            stdout,
            stderr,
        } = streams;
        Child {
            stdin,
            stdout,
            stderr,
            running,
        }
    }

    /// Waits until the process has ended and gives its status. May be called
    /// again. A piped standard input is closed before, as tokio does it.
    ///
    /// Dropping the future loses nothing.
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
    pub async fn wait(&mut self) -> Result<Exit> {
        drop(self.stdin.take());
        loop {
            match self.running.look()? {
                ExitState::Ended(exit) => return Ok(exit),
                ExitState::Running(awaits) => news(&self.running, awaits).await?,
            }
        }
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
    /// behind may hold them open. Dropping the future drops this handle.
    pub async fn wait_with_output(mut self) -> Result<Output> {
        drop(self.stdin.take());
        let (stdout, stderr) = (self.stdout.take(), self.stderr.take());
        let (stdout, stderr) = both(read_to_end(stdout), read_to_end(stderr)).await;
        let failed = |error| Error::io("read what a process prints", error);
        Ok(Output {
            status: self.wait().await?.status(),
            stdout: stdout.map_err(failed)?,
            stderr: stderr.map_err(failed)?,
        })
    }

    /// Sends SIGKILL, and waits until the process has ended. One that has ended
    /// already is no error.
    ///
    /// Dropping the future loses nothing: the signal is sent when it is first
    /// polled.
    ///
    /// # Errors
    ///
    /// As [`start_kill`](Child::start_kill) and [`wait`](Child::wait).
    pub async fn kill(&mut self) -> Result<()> {
        self.start_kill()?;
        self.wait().await.map(drop)
    }
}

/// All that comes through a stream, if there is one.
#[cfg(feature = "tokio")]
async fn read_to_end(stream: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    if let Some(mut stream) = stream {
        stream.read_to_end(&mut all).await?;
    }
    Ok(all)
}

/// Waits for both.
#[cfg(feature = "tokio")]
async fn both<A: Future, B: Future>(one: A, other: B) -> (A::Output, B::Output) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let (mut first, mut second) = (None, None);
    poll_fn(|context| {
        if first.is_none()
            && let Poll::Ready(done) = one.as_mut().poll(context)
        {
            first = Some(done);
        }
        if second.is_none()
            && let Poll::Ready(done) = other.as_mut().poll(context)
        {
            second = Some(done);
        }
        match (first.take(), second.take()) {
            (Some(one), Some(other)) => Poll::Ready((one, other)),
            early => {
                (first, second) = early;
                Poll::Pending
            }
        }
    })
    .await
}

impl Clone for Child {
    fn clone(&self) -> Child {
        Child {
            #[cfg(feature = "tokio")]
            stdin: None,
            #[cfg(feature = "tokio")]
            stdout: None,
            #[cfg(feature = "tokio")]
            stderr: None,
            running: self.running.clone(),
        }
    }
}

/// The caller's ends of a process's streams, as tokio's types: before there is
/// a process, so that a failure leaves none.
#[cfg(feature = "tokio")]
#[derive(Default)]
pub(crate) struct Registered {
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
}

#[cfg(feature = "tokio")]
impl Registered {
    pub(crate) fn new(streams: Streams) -> Result<Registered> {
        let failed = |error| Error::io("register a standard stream with tokio", error);
        let Streams([stdin, stdout, stderr]) = streams;
        let stdin = stdin.map(|fd| ChildStdin::from_std(fd.into()));
        let stdout = stdout.map(|fd| ChildStdout::from_std(fd.into()));
        let stderr = stderr.map(|fd| ChildStderr::from_std(fd.into()));
        Ok(Registered {
            stdin: stdin.transpose().map_err(failed)?,
            stdout: stdout.transpose().map_err(failed)?,
            stderr: stderr.transpose().map_err(failed)?,
        })
    }
}
