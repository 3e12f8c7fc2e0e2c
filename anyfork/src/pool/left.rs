//! [`Left`]: a worker that has left its pool.
//! RUNS IN: caller

use std::fmt;

use crate::exit::Exit;
use crate::pool::state::event::Reason;

/// A worker that has left its pool, as the callback of
/// [`Builder::on_exit`](crate::pool::Builder::on_exit) gets it.
///
/// ```
/// # mod doctest {
/// use std::sync::mpsc;
/// use std::time::Duration;
///
/// use anyfork::pool::Reason;
/// use anyfork::{Pool, Process};
///
/// #[anyfork::call]
/// fn whoami() -> u32 {
///     std::process::id()
/// }
///
/// # pub fn main() -> anyfork::Result<()> {
/// let (log, left) = mpsc::channel();
/// let pool = Pool::builder(Process::new()?)
///     .on_exit(move |worker| {
///         let _ = log.send(worker.clone());
///     })
///     .build()?;
/// let pid = whoami::call(&pool).blocking()?;
/// pool.shutdown(Duration::from_secs(60)).blocking()?;
///
/// let worker = left.recv().expect("one worker");
/// assert_eq!((worker.pid(), worker.calls()), (pid, 1));
/// assert_eq!(worker.reason(), Reason::ShutDown);
/// println!("{}", worker.exit());
/// # Ok(())
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
#[derive(Clone, Debug)]
pub struct Left {
    pid: u32,
    exit: Exit,
    reason: Reason,
    calls: u64,
}

impl Left {
    pub(crate) fn new(pid: u32, exit: Exit, reason: Reason, calls: u64) -> Left {
        Left {
            pid,
            exit,
            reason,
            calls,
        }
    }

    /// Its process id.
    ///
    /// ```
    /// # mod doctest {
    /// use std::sync::mpsc;
    ///
    /// use anyfork::{Pool, Process};
    ///
    /// #[anyfork::call]
    /// fn whoami() -> u32 {
    ///     std::process::id()
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let (log, left) = mpsc::channel();
    /// let pool = Pool::builder(Process::new()?)
    ///     .on_exit(move |worker| log.send(worker.pid()).unwrap_or_default())
    ///     .build()?;
    /// let pid = whoami::call(&pool).blocking()?;
    /// drop(pool);
    /// assert_eq!(left.recv(), Ok(pid));
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// How it exited.
    ///
    /// ```
    /// # mod doctest {
    /// use std::sync::mpsc;
    ///
    /// use anyfork::{Pool, Process};
    ///
    /// #[anyfork::call]
    /// fn crash() {
    ///     std::process::exit(3);
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let (log, left) = mpsc::channel();
    /// let pool = Pool::builder(Process::new()?)
    ///     .on_exit(move |worker| log.send(worker.exit().code()).unwrap_or_default())
    ///     .build()?;
    /// crash::call(&pool).blocking().unwrap_err();
    /// assert_eq!(left.recv(), Ok(Some(3)));
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn exit(&self) -> &Exit {
        &self.exit
    }

    /// Why it left.
    ///
    /// ```
    /// # mod doctest {
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    ///
    /// use anyfork::pool::Reason;
    /// use anyfork::{Pool, Process};
    ///
    /// #[anyfork::call]
    /// fn hang() {
    ///     std::thread::park();
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let (log, left) = mpsc::channel();
    /// let pool = Pool::builder(Process::new()?)
    ///     .on_exit(move |worker| log.send(worker.reason()).unwrap_or_default())
    ///     .build()?;
    /// hang::call(&pool).timeout(Duration::from_millis(10)).blocking().unwrap_err();
    /// assert_eq!(left.recv(), Ok(Reason::TimedOut));
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// How many calls it was given.
    ///
    /// ```
    /// # mod doctest {
    /// use std::sync::mpsc;
    ///
    /// use anyfork::{Pool, Process};
    ///
    /// #[anyfork::call]
    /// fn nothing() {}
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let (log, left) = mpsc::channel();
    /// let pool = Pool::builder(Process::new()?)
    ///     .on_exit(move |worker| log.send(worker.calls()).unwrap_or_default())
    ///     .build()?;
    /// for _ in 0..3 {
    ///     nothing::call(&pool).blocking()?;
    /// }
    /// drop(pool);
    /// assert_eq!(left.recv(), Ok(3));
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn calls(&self) -> u64 {
        self.calls
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Left {
            pid,
            exit,
            reason,
            calls,
        } = self;
        let noun = match calls {
            1 => "call",
            _ => "calls",
        };
        write!(
            f,
            "worker {pid} left after {calls} {noun} ({reason:?}): {exit}"
        )
    }
}
