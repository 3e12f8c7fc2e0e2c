//! Running processes for code without a runtime.
//! RUNS IN: caller
//!
//! [`Launch::blocking`](crate::Launch::blocking) gives them; users find them in
//! [`anyfork::blocking`](crate::blocking).

pub(crate) mod handle;

use std::io::{self, Read};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{ChildStderr, ChildStdin, ChildStdout, Output};
use std::time::{Duration, Instant};

use crate::caller::child::blocking::handle::ChildHandle;
use crate::caller::child::exit_watch::ExitWatch;
use crate::caller::child::methods::{as_pidfd, child_methods, worker_methods};
use crate::caller::stdio::Streams;
use crate::caller::wait;
use crate::caller::wait::shortage::Operation;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::sys::poll;

/// A running worker: its socket and its process.
///
/// The socket is blocking, close-on-exec, and gives end-of-file when the worker has exited. The
/// fields can be moved out of the `Worker`.
///
/// When the [`Child`] and all its [handles](Child::handle) are dropped, the process is detached,
/// or, with [`kill_on_drop`](crate::Process::kill_on_drop), killed.
///
/// ```
/// # mod doctest {
/// use std::io::{BufRead, BufReader, Write};
/// use std::os::unix::net::UnixStream;
///
/// use anyfork::Process;
///
/// #[anyfork::worker]
/// fn echo(socket: UnixStream) -> std::io::Result<()> {
///     std::io::copy(&mut &socket, &mut &socket)?;
///     Ok(())
/// }
///
/// # pub fn main() -> anyfork::Result<()> {
/// let mut worker = echo::run(Process::new()?).blocking()?;
/// worker.socket.write_all(b"hello\n")?;
/// let mut line = String::new();
/// BufReader::new(&worker.socket).read_line(&mut line)?;
/// assert_eq!(line, "hello\n");
/// assert!(worker.try_wait()?.is_none(), "it waits for more");
/// worker.signal(libc::SIGTERM)?;
/// assert_eq!(worker.wait()?.signal(), Some(libc::SIGTERM));
/// # Ok(())
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
/// let handle = child.handle();
/// let waiting = std::thread::spawn(move || handle.wait());
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
    /// Writes to the process's standard input, if that is piped.
    pub stdin: Option<ChildStdin>,
    /// Reads the process's standard output, if that is piped.
    pub stdout: Option<ChildStdout>,
    /// Reads the process's standard error, if that is piped.
    pub stderr: Option<ChildStderr>,
    watch: ExitWatch,
}

impl Worker {
    pub(crate) fn new(socket: UnixStream, watch: ExitWatch, streams: Streams) -> Worker {
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
    pub fn wait(&mut self) -> Result<Exit> {
        self.child.wait()
    }

    /// Reads what the worker still sends, and waits for its exit. Before that, this shuts down
    /// the caller's direction of the socket, so that a worker that reads to end-of-file reaches
    /// it.
    ///
    /// ```
    /// # mod doctest {
    /// use std::io::{Read, Write};
    /// use anyfork::Process;
    ///
    /// #[anyfork::worker]
    /// fn shout(mut socket: std::os::unix::net::UnixStream) -> std::io::Result<()> {
    ///     let mut text = String::new();
    ///     socket.read_to_string(&mut text)?;
    ///     socket.write_all(text.to_uppercase().as_bytes())
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let mut worker = Process::new()?.run(shout::NAME).blocking()?;
    /// worker.socket.write_all(b"hello")?;
    /// let (text, exit) = worker.finish()?;
    /// exit.check()?;
    /// assert_eq!(text, b"HELLO");
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
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
    pub fn finish(self) -> Result<(Vec<u8>, Exit)> {
        let _operation = Operation::begin();
        let Worker { socket, mut child } = self;
        drop((child.stdin.take(), child.stdout.take(), child.stderr.take()));
        let sent = read_rest(socket);
        let sent = sent.map_err(|error| Error::io("read what a worker sends", error))?;
        Ok((sent, child.wait()?))
    }

    /// Waits for the process's exit, for at most this time: see [`Child::wait_timeout`].
    ///
    /// # Errors
    ///
    /// See [`Child::wait_timeout`].
    pub fn wait_timeout(&mut self, limit: Duration) -> Result<Option<Exit>> {
        self.child.wait_timeout(limit)
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
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()
    }
}

impl Child {
    pub(crate) fn new(watch: ExitWatch, streams: Streams) -> Child {
        let Streams([stdin, stdout, stderr]) = streams;
        Child {
            stdin: stdin.map(Into::into),
            stdout: stdout.map(Into::into),
            stderr: stderr.map(Into::into),
            watch,
        }
    }

    /// The watch and the streams.
    pub(crate) fn into_parts(
        self,
    ) -> (
        ExitWatch,
        Option<ChildStdin>,
        Option<ChildStdout>,
        Option<ChildStderr>,
    ) {
        (self.watch, self.stdin, self.stdout, self.stderr)
    }

    child_methods!();

    /// Another handle of the process, without the streams: for other threads that wait
    /// for the process, signal it, or keep it from being detached.
    pub fn handle(&self) -> ChildHandle {
        ChildHandle::new(self.watch.clone())
    }

    /// Waits for the process's exit. May be called again. A piped standard input is closed first,
    /// as in std; a worker's socket stays open.
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
    pub fn wait(&mut self) -> Result<Exit> {
        drop(self.stdin.take());
        let exit = wait::blocking::exit(&self.watch, None)?;
        Ok(exit.expect("without a deadline there is an exit"))
    }

    /// As [`wait`](Child::wait), but waits for at most this time: `None` if the process is still
    /// running then. A piped standard input is closed in any case, even if the process is still
    /// running: to go on writing, take it out of [`stdin`](Child::stdin) first.
    ///
    /// # Errors
    ///
    /// See [`Child::wait`].
    pub fn wait_timeout(&mut self, limit: Duration) -> Result<Option<Exit>> {
        drop(self.stdin.take());
        // None: longer than a clock can tell.
        wait::blocking::exit(&self.watch, Instant::now().checked_add(limit))
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
    /// ```
    /// # fn main() -> anyfork::Result<()> {
    /// use anyfork::{Command, Stdio};
    ///
    /// let mut command = Command::new("sh");
    /// command.args(["-c", "echo out; echo err >&2; exit 3"]);
    /// command.stdout(Stdio::piped()).stderr(Stdio::piped());
    /// let output = command.spawn().blocking()?.wait_with_output()?;
    /// assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
    /// assert_eq!(output.status.code(), Some(3));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Child::wait`], and a failure to read.
    ///
    /// # Caveats
    ///
    /// Reads until the streams are at their end: a process that the child leaves
    /// behind may hold them open.
    pub fn wait_with_output(mut self) -> Result<Output> {
        let _operation = Operation::begin();
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

    /// Sends SIGKILL to the process, and to the process group that it leads, and does not wait
    /// for the exit. It is no error if the process has exited already.
    ///
    /// ```
    /// # fn main() -> anyfork::Result<()> {
    /// use std::time::Duration;
    ///
    /// use anyfork::Command;
    ///
    /// let mut child = Command::new("sleep").arg("60").process_group(0).spawn().blocking()?;
    /// assert!(child.pid() > 0);
    /// assert!(child.try_wait()?.is_none());
    /// child.signal_group(libc::SIGSTOP)?; // to it, and to what it has started
    /// child.start_kill()?;
    /// let exit = child.wait_timeout(Duration::from_secs(60))?.expect("it is killed");
    /// assert_eq!(exit.signal(), Some(libc::SIGKILL));
    /// # Ok(())
    /// # }
    /// ```
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
    /// # Errors
    ///
    /// See [`Child::start_kill`] and [`Child::wait`].
    pub fn kill(&mut self) -> Result<()> {
        self.start_kill()?;
        self.wait().map(drop)
    }
}

as_pidfd!(Child);

/// Shuts down this direction of a worker's socket, and reads to the end of the other.
fn read_rest(mut socket: UnixStream) -> io::Result<Vec<u8>> {
    // What the user may have set would end the reading early.
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(None)?;
    // A worker that is gone has ended both directions.
    let _ = socket.shutdown(Shutdown::Write);
    let mut sent = Vec::new();
    match socket.read_to_end(&mut sent) {
        // The worker has left bytes unread. Its exit tells whether that is a failure.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(sent),
        read => read.map(|_| sent),
    }
}
