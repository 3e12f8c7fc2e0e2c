//! The methods that bound what `status` and `output` wait for and read.
//! RUNS IN: caller

use std::sync::Arc;
use std::time::Duration;

use crate::caller::command::Command;
use crate::caller::stdio::Stdio;

/// # Input and limits
///
/// These methods are for [`status`](Command::status) and [`output`](Command::output), which wait
/// for the program's end. [`spawn`](Command::spawn) refuses [`input`](Command::input),
/// [`time_limit`](Command::time_limit) and [`output_limit`](Command::output_limit): its caller
/// has the streams and the [`Child`](crate::Child), and can limit them itself.
///
/// None of them needs a thread, be it with `.await` or with `.blocking()`.
///
/// ```
/// # fn main() -> anyfork::Result<()> {
/// use std::time::Duration;
/// use anyfork::{Command, ErrorKind};
///
/// let output = Command::new("tr")
///     .args(["a-z", "A-Z"])
///     .input("hello")
///     .time_limit(Duration::from_secs(10))
///     .output_limit(1 << 20)
///     .output()
///     .blocking()?;
/// assert_eq!(output.stdout, b"HELLO");
///
/// let error = Command::new("sh")
///     .args(["-c", "echo so far; sleep 1000"])
///     .time_limit(Duration::from_millis(200))
///     .output()
///     .blocking()
///     .unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::TimedOut);
/// # if error.output().is_none() { return Ok(()) } // On a busy machine.
/// let output = error.output().expect("it was executed");
/// # if output.stdout.is_empty() { return Ok(()) } // On a busy machine.
/// assert_eq!(output.stdout, b"so far\n");
/// # Ok(())
/// # }
/// ```
impl Command {
    /// Sets what the program reads from its standard input, which is then a pipe. The bytes are
    /// written while the output is read, so that neither side waits for the other for ever. It is
    /// no error if the program reads none or only some of the bytes, and this program gets no
    /// SIGPIPE.
    ///
    /// If both this and [`stdin`](Command::stdin) are called, the last call counts.
    ///
    /// ```
    /// # fn main() -> anyfork::Result<()> {
    /// use anyfork::Command;
    ///
    /// let mut sort = Command::new("sort");
    /// let output = sort.input("two\none\n").output().blocking()?;
    /// assert_eq!(output.stdout, b"one\ntwo\n");
    /// // Ten million bytes for a program that reads none of them.
    /// let exit = Command::new("true").input(vec![0; 10_000_000]).status().blocking()?;
    /// assert!(exit.success());
    /// # Ok(())
    /// # }
    /// ```
    pub fn input(&mut self, bytes: impl Into<Vec<u8>>) -> &mut Command {
        self.stdin(Stdio::piped());
        self.bounds.input = Some(Arc::new(bytes.into()));
        self
    }

    /// Limits the time from the beginning of the launch until the program has exited, and, for
    /// [`output`](Command::output), until its streams are at their end.
    ///
    /// A program that takes longer is ended together with its process group: by SIGKILL, or, with
    /// a [`grace`](Command::grace), by SIGTERM first. The launch fails with
    /// [`ErrorKind::TimedOut`](crate::ErrorKind::TimedOut).
    /// [`Error::output`](crate::Error::output) has what the program printed until then, and
    /// [`Error::exit`](crate::Error::exit) how it ended.
    ///
    /// [`timeout`](Command::timeout) limits only the time until the program is executed.
    ///
    /// ```
    /// # fn main() -> anyfork::Result<()> {
    /// use std::time::Duration;
    ///
    /// use anyfork::{Command, ErrorKind};
    ///
    /// let mut sleep = Command::new("sleep");
    /// sleep.arg("1000").time_limit(Duration::from_millis(10));
    /// let error = sleep.status().blocking().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Caveats
    ///
    /// The program leads a process group of its own, unless
    /// [`process_group`](Command::process_group) is set. So Ctrl-C in a terminal does not reach
    /// the program, and the program may not read from that terminal. If a group is set that the
    /// program does not lead, only the program itself is ended. A process that has left the group
    /// (a daemon, a shell's job) is not ended.
    ///
    /// This program may have no permission to end a program of another user, such as `sudo`. Then
    /// the other program goes on, and the launch fails all the same. The same holds if the kernel
    /// has not ended the program some seconds after SIGKILL, for example because a file system
    /// hangs.
    pub fn time_limit(&mut self, limit: Duration) -> &mut Command {
        self.bounds.time_limit = Some(limit);
        self
    }

    /// Sets how long a program that has reached a limit may take to end by itself: its process
    /// group gets SIGTERM (and SIGCONT, should it be stopped), and after this time SIGKILL. The
    /// default is zero: SIGKILL comes at once.
    ///
    /// When the program has exited, the other processes of its group have the rest of this time.
    /// What they print in that time is still read.
    ///
    /// ```
    /// # fn main() -> anyfork::Result<()> {
    /// use std::time::Duration;
    /// use anyfork::Command;
    ///
    /// let script = "trap 'echo tidied up; exit' TERM; while :; do sleep 0.01; done";
    /// let error = Command::new("sh")
    ///     .args(["-c", script])
    ///     .time_limit(Duration::from_millis(500))
    ///     .grace(Duration::from_secs(10))
    ///     .output()
    ///     .blocking()
    ///     .unwrap_err();
    /// let output = error.output().expect("it was executed");
    /// # if output.stdout.is_empty() { return Ok(()) } // On a busy machine.
    /// assert_eq!(output.stdout, b"tidied up\n");
    /// # Ok(())
    /// # }
    /// ```
    pub fn grace(&mut self, grace: Duration) -> &mut Command {
        self.bounds.grace = grace;
        self
    }

    /// Limits how many bytes [`output`](Command::output) reads from each of the program's two
    /// streams. A program that prints more to one of them is ended as by
    /// [`time_limit`](Command::time_limit), whose caveats apply. The launch fails with
    /// [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge);
    /// [`Error::output`](crate::Error::output) has the bytes up to the limit.
    ///
    /// ```
    /// # fn main() -> anyfork::Result<()> {
    /// use anyfork::{Command, ErrorKind};
    ///
    /// let error = Command::new("yes").output_limit(5).output().blocking().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TooLarge);
    /// assert_eq!(error.output().expect("it was executed").stdout, b"y\ny\ny");
    /// # Ok(())
    /// # }
    /// ```
    pub fn output_limit(&mut self, bytes: usize) -> &mut Command {
        self.bounds.output_limit = Some(bytes);
        self
    }

    /// Limits how long [`output`](Command::output) goes on reading after the program's exit,
    /// while a process that the program has left behind holds the streams open. After this time,
    /// the launch succeeds with what was read. Without this, there is no limit, as with std. With
    /// zero, `output` has only what the program itself has printed.
    ///
    /// The process that is left behind goes on, and gets SIGPIPE when it prints.
    ///
    /// ```
    /// # fn main() -> anyfork::Result<()> {
    /// use std::time::Duration;
    /// use anyfork::Command;
    ///
    /// let output = Command::new("sh")
    ///     .args(["-c", "sleep 2 & echo started"])
    ///     .drain_limit(Duration::ZERO)
    ///     .output()
    ///     .blocking()?;
    /// assert_eq!(output.stdout, b"started\n");
    /// # Ok(())
    /// # }
    /// ```
    pub fn drain_limit(&mut self, limit: Duration) -> &mut Command {
        self.bounds.drain_limit = Some(limit);
        self
    }
}
