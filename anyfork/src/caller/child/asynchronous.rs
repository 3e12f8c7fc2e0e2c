//! [`Worker`] and [`Child`]: running processes for async code.
//! RUNS IN: caller

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::pin;
use std::process::Output;
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};

use crate::caller::child::exit_watch::ExitWatch;
use crate::caller::child::handle::ChildHandle;
use crate::caller::child::methods::{as_pidfd, child_methods, worker_methods};
use crate::caller::stdio::registered::RegisteredStreams;
use crate::caller::wait;
use crate::caller::wait::shortage::Operation;
use crate::error::{Error, Result};
use crate::exit::Exit;

/// A running worker: its socket and its process.
///
/// The socket is close-on-exec, and gives end-of-file when the worker has exited. The fields can
/// be moved out of the `Worker`. In code without async,
/// [`Launch::blocking`](crate::Launch::blocking) gives a
/// [`blocking::Worker`](crate::blocking::Worker).
///
/// When the [`Child`] and all its [handles](Child::handle) are dropped, the process is detached,
/// or, with [`kill_on_drop`](crate::Process::kill_on_drop), killed.
///
/// ```
/// # mod doctest {
/// use anyfork::Process;
/// use tokio::io::AsyncWriteExt;
/// use tokio::net::UnixStream;
///
/// #[anyfork::worker]
/// async fn echo(mut socket: UnixStream) -> std::io::Result<()> {
///     let (mut read, mut write) = socket.split();
///     tokio::io::copy(&mut read, &mut write).await?;
///     Ok(())
/// }
///
/// # pub fn main() -> anyfork::Result<()> {
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// # runtime.block_on(async {
/// let mut worker = echo::run(Process::new()?).await?;
/// worker.socket.write_all(b"hello").await?;
/// assert!(worker.try_wait()?.is_none(), "it waits for more");
/// let (text, exit) = worker.finish().await?; // ends what it reads, reads, and waits
/// assert_eq!((&text[..], exit.success()), (&b"hello"[..], true));
///
/// let mut worker = echo::run(Process::new()?).await?;
/// assert_eq!(worker.pid(), worker.handle().pid());
/// worker.signal(libc::SIGTERM)?;
/// assert_eq!(worker.wait().await?.signal(), Some(libc::SIGTERM));
/// worker.kill().await?; // no error, though it has exited
/// # Ok(())
/// # })
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Worker {
    /// Connected to the worker's first parameter.
    pub socket: UnixStream,
    /// The process.
    pub child: Child,
}

/// A running process, and the caller's ends of its piped streams.
///
/// When the [`Child`] and all its [handles](Child::handle) are dropped, the process is detached,
/// and leaves no zombie when it exits. With [`kill_on_drop`](crate::Process::kill_on_drop), it is
/// killed instead.
///
/// ```
/// # mod doctest {
/// use anyfork::{Command, Stdio};
/// use tokio::io::AsyncReadExt;
///
///
///
/// # pub fn main() -> anyfork::Result<()> {
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// # runtime.block_on(async {
/// let mut command = Command::new("sh");
/// command.args(["-c", "echo here; sleep 60"]).stdout(Stdio::piped()).process_group(0);
/// let mut child = command.spawn().await?;
/// let mut text = [0; 5];
/// child.stdout.as_mut().expect("piped").read_exact(&mut text).await?;
/// assert_eq!(&text, b"here\n");
/// assert!(child.pid() > 0 && child.try_wait()?.is_none());
///
/// let handle = child.handle();
/// let waiting = tokio::spawn(async move { handle.wait().await });
/// child.signal_group(libc::SIGTERM)?; // also to `sleep`
/// assert_eq!(waiting.await.expect("no panic")?.signal(), Some(libc::SIGTERM));
/// assert_eq!(child.wait().await?.signal(), Some(libc::SIGTERM));
///
/// let output = Command::new("true").spawn().await?.wait_with_output().await?;
/// assert!(output.status.success());
/// # Ok(())
/// # })
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
#[derive(Debug)]
pub struct Child {
    /// Writes to the process's standard input, if that is piped.
    pub stdin: Option<ChildStdin>,
    /// Reads the process's standard output, if that is piped.
    pub stdout: Option<ChildStdout>,
    /// Reads the process's standard error, if that is piped.
    pub stderr: Option<ChildStderr>,
    watch: ExitWatch,
}

impl Worker {
    pub(crate) fn new(socket: UnixStream, watch: ExitWatch, streams: RegisteredStreams) -> Worker {
        let child = Child::new(watch, streams);
        Worker { socket, child }
    }

    worker_methods!();

    /// Waits for the process's exit: see [`Child::wait`].
    ///
    /// The socket stays open, so that what the worker has sent can be read afterwards.
    ///
    /// # Errors
    ///
    /// See [`Child::wait`].
    ///
    /// # Caveats
    ///
    /// Read first. A worker that has more to send than the socket holds (some 200 KiB), or that
    /// reads until its caller shuts the socket down, does not exit while its caller waits here.
    /// [`finish`](Worker::finish) does all of this in an order that cannot deadlock.
    pub async fn wait(&mut self) -> Result<Exit> {
        self.child.wait().await
    }

    /// Reads what the worker still sends, and waits for its exit. Before that, this shuts down
    /// the caller's direction of the socket, so that a worker that reads to end-of-file reaches
    /// it. [`blocking::Worker::finish`](crate::blocking::Worker::finish) has an example.
    ///
    /// Dropping the future drops the worker.
    ///
    /// # Errors
    ///
    /// Those of [`Child::wait`], and a failure to read. It is no error here if the worker has
    /// failed: see [`Exit::check`].
    ///
    /// # Caveats
    ///
    /// Closes the piped streams that are still in [`child`](Worker::child), because nobody can
    /// read them any more, and a worker that prints would wait for a reader. Reads until the
    /// socket is at its end: a process that the worker leaves behind may hold the socket open.
    pub async fn finish(self) -> Result<(Vec<u8>, Exit)> {
        let _operation = Operation::begin();
        let Worker { socket, mut child } = self;
        drop((child.stdin.take(), child.stdout.take(), child.stderr.take()));
        let sent = read_rest(socket).await;
        let sent = sent.map_err(|error| Error::io("read what a worker sends", error))?;
        Ok((sent, child.wait().await?))
    }

    /// The exit, if the process has exited: see [`Child::try_wait`].
    ///
    /// # Errors
    ///
    /// See [`Child::try_wait`].
    pub fn try_wait(&mut self) -> Result<Option<Exit>> {
        self.child.try_wait()
    }

    /// Sends SIGKILL, and waits for the exit: see [`Child::kill`].
    ///
    /// # Errors
    ///
    /// See [`Child::kill`].
    pub async fn kill(&mut self) -> Result<()> {
        self.child.kill().await
    }
}

impl Child {
    pub(crate) fn new(watch: ExitWatch, streams: RegisteredStreams) -> Child {
        let RegisteredStreams {
            stdin,
            stdout,
            stderr,
        } = streams;
        Child {
            stdin,
            stdout,
            stderr,
            watch,
        }
    }

    /// The watch and the streams.
    pub(crate) fn into_parts(self) -> (ExitWatch, RegisteredStreams) {
        let streams = RegisteredStreams {
            stdin: self.stdin,
            stdout: self.stdout,
            stderr: self.stderr,
        };
        (self.watch, streams)
    }

    child_methods!();

    /// Another handle of the process, without the streams: for other tasks that wait for
    /// the process, signal it, or keep it from being detached.
    pub fn handle(&self) -> ChildHandle {
        ChildHandle::new(self.watch.clone())
    }

    /// Waits for the process's exit. May be called again. A piped standard input is closed first,
    /// as in tokio; a worker's socket stays open.
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Died`](crate::ErrorKind::Died), with an [`Exit`] that has
    /// neither code nor signal, if the template was killed, the process did not exit by
    /// itself, and the kernel (before Linux 6.15) has not kept the status.
    ///
    /// # Caveats
    ///
    /// Read first. A process that has more to print or send than a pipe or a socket holds, or
    /// that reads until its caller shuts the socket down, does not exit while its caller waits
    /// here. [`Worker::finish`] and [`wait_with_output`](Child::wait_with_output) do all of this
    /// in an order that cannot deadlock.
    ///
    /// While the template is stopped (SIGSTOP), the exit of a process that was killed is not
    /// reported.
    pub async fn wait(&mut self) -> Result<Exit> {
        drop(self.stdin.take());
        wait::tokio::exit(&self.watch).await
    }

    /// The exit, if the process has exited.
    ///
    /// # Errors
    ///
    /// See [`Child::wait`].
    pub fn try_wait(&mut self) -> Result<Option<Exit>> {
        self.watch.try_exit()
    }

    /// Reads the piped streams, and waits for the process's exit. Both streams are read at the
    /// same time, so that the process never waits for its reader. A stream that is not piped
    /// gives no bytes. A piped standard input is closed first.
    ///
    /// # Errors
    ///
    /// Those of [`Child::wait`], and a failure to read.
    ///
    /// # Caveats
    ///
    /// Reads until the streams are at their end: a process that the child leaves
    /// behind may hold them open. Dropping the future drops the [`Child`].
    pub async fn wait_with_output(mut self) -> Result<Output> {
        let _operation = Operation::begin();
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

    /// Sends SIGKILL to the process, and to the process group that it leads, and does not wait
    /// for the exit. It is no error if the process has exited already.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the kernel refuses, for example because the
    /// process belongs to another user.
    pub fn start_kill(&mut self) -> Result<()> {
        self.watch.kill()
    }

    /// Sends SIGKILL to the process, and to the process group that it leads, and waits for the
    /// exit. It is no error if the process has exited already.
    ///
    /// Dropping the future loses nothing: the signal is sent when the future is first polled.
    ///
    /// # Errors
    ///
    /// See [`Child::start_kill`] and [`Child::wait`].
    pub async fn kill(&mut self) -> Result<()> {
        self.start_kill()?;
        self.wait().await.map(drop)
    }
}

as_pidfd!(Child);

/// Shuts down this direction of a worker's socket, and reads to the end of the other.
async fn read_rest(mut socket: UnixStream) -> io::Result<Vec<u8>> {
    // A worker that is gone has ended both directions.
    let _ = socket.shutdown().await;
    let mut sent = Vec::new();
    match socket.read_to_end(&mut sent).await {
        // The worker has left bytes unread. Its exit tells whether that is a failure.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(sent),
        read => read.map(|_| sent),
    }
}

/// Reads a stream to its end, if there is one.
async fn read_to_end(stream: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    if let Some(mut stream) = stream {
        stream.read_to_end(&mut all).await?;
    }
    Ok(all)
}

/// Waits until both are done.
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
