//! The settings of a pool for its workers: how many there are, and how they are prepared.
//! RUNS IN: caller

use std::time::Duration;

use crate::args::Args;
use crate::pool::base;
use crate::pool::builder::Builder;

/// # Workers
impl Builder {
    /// The maximum number of workers, at least 1. Default: the number of CPUs that this
    /// process may use.
    ///
    /// Set more if calls wait for something other than the CPU, and fewer if each worker needs
    /// much memory.
    ///
    /// ```
    /// # mod doctest {
    /// use std::collections::BTreeSet;
    ///
    /// use anyfork::{Pool, Process};
    ///
    /// #[anyfork::call]
    /// fn whoami() -> u32 {
    ///     std::process::id()
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let pool = Pool::builder(Process::new()?).max(2).build()?;
    /// let pids = whoami::map(&pool, [(); 20]).blocking();
    /// assert!(pids.collect::<anyfork::Result<BTreeSet<u32>>>()?.len() <= 2);
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn max(mut self, max: usize) -> Builder {
        self.limits.max = max.max(1);
        self
    }

    /// The number of workers that are started in advance, and wait for calls. Default: 0.
    ///
    /// A call after a pause then does not wait for a start. The price is the memory of these
    /// workers.
    ///
    /// ```
    /// # fn main() -> anyfork::Result<()> {
    /// use anyfork::{Pool, Process};
    ///
    /// let pool = Pool::builder(Process::new()?).idle(2).build()?;
    /// pool.prepare().blocking()?;
    /// assert_eq!(pool.stats().idle, 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn idle(mut self, idle: usize) -> Builder {
        self.limits.idle = idle;
        self
    }

    /// The time between two starts of workers for calls that wait. Default: zero, so that a burst
    /// of calls starts as many workers as it has calls, up to [`max`](Builder::max).
    ///
    /// With a longer time, a burst of short calls starts fewer workers. A call that finds no worker
    /// at all does not wait for that time.
    ///
    /// ```
    /// # mod doctest {
    /// use std::time::Duration;
    ///
    /// use anyfork::{Pool, Process};
    ///
    /// #[anyfork::call]
    /// fn square(n: u64) -> u64 {
    ///     n * n
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let pool = Pool::builder(Process::new()?).max(8).start(Duration::from_secs(60)).build()?;
    /// let calls: Vec<_> = (0..100).map(|n| square::call(&pool, n)).collect();
    /// calls.into_iter().try_for_each(|call| call.blocking().map(drop))?;
    /// assert_eq!(pool.stats().started, 1);
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn start(mut self, interval: Duration) -> Builder {
        self.limits.start = interval;
        self
    }

    /// How long a worker beyond [`idle`](Builder::idle) stays without a call. Default: 10
    /// seconds. The worker that served last serves next, so that the others can leave.
    ///
    /// Set a longer time if a start is expensive, for example because of a long
    /// [`init`](Builder::init).
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
    /// fn rare() {}
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let (log, left) = mpsc::channel();
    /// let pool = Pool::builder(Process::new()?)
    ///     .stop(Duration::ZERO)
    ///     .on_exit(move |worker| log.send(worker.reason()).unwrap_or_default())
    ///     .build()?;
    /// rare::call(&pool).blocking()?;
    /// assert_eq!(left.recv(), Ok(Reason::Idle));
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn stop(mut self, timeout: Duration) -> Builder {
        self.limits.stop = timeout;
        self
    }

    /// Runs the init function `name` in each worker before its first call, and after the init
    /// functions that were added before. `name` is as for
    /// [`Process::init`](crate::Process::init).
    ///
    /// This is for what each worker must have for itself, such as a connection. What all workers
    /// can share is better loaded by an init function of the process that the pool is made from,
    /// which runs once.
    ///
    /// ```
    /// # mod doctest {
    /// use std::sync::OnceLock;
    ///
    /// use anyfork::{Pool, Process};
    ///
    /// static GREETING: OnceLock<String> = OnceLock::new();
    ///
    /// #[anyfork::init]
    /// fn set(greeting: String) {
    ///     GREETING.set(greeting).expect("once in each worker");
    /// }
    ///
    /// #[anyfork::call]
    /// fn greet(name: String) -> Option<String> {
    ///     Some(format!("{} {name}", GREETING.get()?))
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let pool = Pool::builder(Process::new()?)
    ///     .init(set::NAME, anyfork::args!["hello"])
    ///     .build()?;
    /// let greeting = greet::call(&pool, "Ada".into()).blocking()?;
    /// assert_eq!(greeting.as_deref(), Some("hello Ada"));
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn init(mut self, name: impl AsRef<str>, args: impl Into<Args>) -> Builder {
        let name = name.as_ref().to_owned();
        self.inits.push(base::init(name, args.into()));
        self
    }
}
