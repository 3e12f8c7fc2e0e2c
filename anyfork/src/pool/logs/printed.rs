//! [`Printed`]: a line that a worker has printed, and who is told of it.
//! RUNS IN: caller

use std::borrow::Cow;
use std::fmt;
use std::panic::RefUnwindSafe;

#[cfg(feature = "tracing")]
use crate::pool::trace::Home;

/// A standard stream of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

/// A callback for lines.
pub(crate) type OnLine = Box<dyn Fn(&Printed) + Send + Sync>;

/// Who is told what workers print, and their spans and events.
#[derive(Default)]
pub(crate) struct Callbacks {
    pub(crate) stdout: Option<OnLine>,
    pub(crate) stderr: Option<OnLine>,
    /// The observer from when the pool was made.
    #[cfg(feature = "tracing")]
    pub(crate) home: Option<Home>,
}

/// A panic of a callback is caught, and leaves nothing half done here.
impl RefUnwindSafe for Callbacks {}

impl Callbacks {
    /// Whether nobody is told anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.stdout.is_none() && self.stderr.is_none() && !self.has_home()
    }

    /// Whether workers' spans and events come home.
    pub(crate) fn has_home(&self) -> bool {
        #[cfg(feature = "tracing")]
        return self.home.is_some();
        #[cfg(not(feature = "tracing"))]
        return false;
    }

    pub(crate) fn of(&self, stream: Stream) -> Option<&OnLine> {
        match stream {
            Stream::Out => self.stdout.as_ref(),
            Stream::Err => self.stderr.as_ref(),
        }
    }
}

/// A line that a worker of a pool has printed, as the callbacks of [`Builder::stdout`] and
/// [`Builder::stderr`] get it.
///
/// ```
/// # mod doctest {
/// use std::sync::mpsc;
/// use std::time::Duration;
///
/// use anyfork::{Pool, Process};
///
/// #[anyfork::call]
/// fn warn() -> u32 {
///     eprintln!("careful");
///     std::process::id()
/// }
///
/// # pub fn main() -> anyfork::Result<()> {
/// let (lines, log) = mpsc::channel();
/// let pool = Pool::builder(Process::new()?)
///     .stderr(move |line| {
///         let _ = lines.send(line.clone());
///     })
///     .build()?;
/// let call = warn::call(&pool);
/// let id = call.id();
/// let pid = call.blocking()?;
/// pool.shutdown(Duration::from_secs(60)).blocking()?;
///
/// let line = log.recv().expect("one line");
/// assert_eq!((line.pid(), line.call()), (pid, Some(id)));
/// assert_eq!((line.text(), line.bytes()), ("careful".into(), &b"careful"[..]));
/// assert_eq!((line.goes_on(), line.left_out()), (false, 0));
/// # Ok(())
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
///
/// [`Builder::stdout`]: crate::pool::Builder::stdout
/// [`Builder::stderr`]: crate::pool::Builder::stderr
#[derive(Clone, Debug)]
pub struct Printed {
    pub(crate) pid: u32,
    pub(crate) call: Option<u64>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) goes_on: bool,
    pub(crate) left_out: u64,
}

impl Printed {
    /// The process id of the worker, even if a child of the worker has printed the line.
    ///
    /// ```
    /// # mod doctest {
    /// use std::sync::mpsc;
    ///
    /// use anyfork::{Pool, Process};
    ///
    /// #[anyfork::call]
    /// fn greet() -> u32 {
    ///     println!("hello");
    ///     std::process::id()
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let (log, pids) = mpsc::channel();
    /// let pool = Pool::builder(Process::new()?)
    ///     .stdout(move |line| log.send(line.pid()).unwrap_or_default())
    ///     .build()?;
    /// let pid = greet::call(&pool).blocking()?;
    /// assert_eq!(pids.recv(), Ok(pid));
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The [`Call::id`](crate::Call::id) of the call that the worker had when the line was
    /// printed. If it had several calls, this is the call that it got first. `None` if it had no
    /// call, as in an init function, or between two calls.
    ///
    /// ```
    /// # mod doctest {
    /// use std::sync::mpsc;
    ///
    /// use anyfork::{Pool, Process};
    ///
    /// #[anyfork::call]
    /// fn greet() {
    ///     println!("hello");
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let (log, calls) = mpsc::channel();
    /// let pool = Pool::builder(Process::new()?)
    ///     .stdout(move |line| log.send(line.call()).unwrap_or_default())
    ///     .build()?;
    /// let call = greet::call(&pool);
    /// let id = call.id();
    /// call.blocking()?;
    /// assert_eq!(calls.recv(), Ok(Some(id)));
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn call(&self) -> Option<u64> {
        self.call
    }

    /// The line, without its end. Bytes that are not UTF-8 are replaced: see
    /// [`bytes`](Printed::bytes).
    ///
    /// ```
    /// # mod doctest {
    /// use std::sync::mpsc;
    ///
    /// use anyfork::{Pool, Process};
    ///
    /// #[anyfork::call]
    /// fn greet() {
    ///     println!("hello");
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let (log, texts) = mpsc::channel();
    /// let pool = Pool::builder(Process::new()?)
    ///     .stdout(move |line| log.send(line.text().into_owned()).unwrap_or_default())
    ///     .build()?;
    /// greet::call(&pool).blocking()?;
    /// assert_eq!(texts.recv().as_deref(), Ok("hello"));
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }

    /// The line as it was printed, without its end: 64 KiB at most.
    ///
    /// ```
    /// # mod doctest {
    /// use std::io::Write;
    /// use std::sync::mpsc;
    ///
    /// use anyfork::{Pool, Process};
    ///
    /// #[anyfork::call(text_errors)]
    /// fn write() -> std::io::Result<()> {
    ///     std::io::stdout().write_all(b"\xff\n") // no UTF-8
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let (log, lines) = mpsc::channel();
    /// let pool = Pool::builder(Process::new()?)
    ///     .stdout(move |line| log.send(line.bytes().to_vec()).unwrap_or_default())
    ///     .build()?;
    /// write::call(&pool).blocking()?.expect("it is written");
    /// assert_eq!(lines.recv(), Ok(vec![0xff]));
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the line is longer than 64 KiB, and goes on in the next line of its worker.
    ///
    /// ```
    /// # mod doctest {
    /// use std::sync::mpsc;
    ///
    /// use anyfork::{Pool, Process};
    ///
    /// #[anyfork::call]
    /// fn print() {
    ///     println!("{}", "x".repeat(100_000));
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let (log, lines) = mpsc::channel();
    /// let pool = Pool::builder(Process::new()?)
    ///     .stdout(move |line| log.send(line.clone()).unwrap_or_default())
    ///     .build()?;
    /// print::call(&pool).blocking()?;
    /// let [first, last] = [lines.recv(), lines.recv()].map(|line| line.expect("a piece"));
    /// assert!(first.goes_on() && !last.goes_on());
    /// assert_eq!(first.bytes().len() + last.bytes().len(), 100_000);
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// How many lines of the pool were left out between the line before and this one: see
    /// [`Builder::stdout`](crate::pool::Builder::stdout).
    ///
    /// ```
    /// # mod doctest {
    /// use std::sync::mpsc;
    ///
    /// use anyfork::{Pool, Process};
    ///
    /// #[anyfork::call]
    /// fn print() {
    ///     (0..100).for_each(|n| println!("{n}"));
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let (log, numbers) = mpsc::channel();
    /// let pool = Pool::builder(Process::new()?)
    ///     .stdout(move |line| log.send(line.left_out()).unwrap_or_default())
    ///     .build()?;
    /// print::call(&pool).blocking()?;
    /// let lost: u64 = numbers.iter().take(100).sum();
    /// assert_eq!(lost, 0, "the callback was fast enough");
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}

/// The line's text.
impl fmt::Display for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}
