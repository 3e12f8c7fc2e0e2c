//! The settings of a pool for its calls: how many may wait, how long each may take, and how much it may return.
//! RUNS IN: caller

use std::time::Duration;

use crate::pool::builder::Builder;

/// # Calls
impl Builder {
    /// The number of calls that may wait for a worker; the next one fails at once with
    /// [`ErrorKind::Full`](crate::ErrorKind::Full). Default: no limit.
    ///
    /// With a limit, a server can tell its client to come back later, and does not fill its
    /// memory with work that nobody waits for any more.
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::{ErrorKind, Pool, Process};
    ///
    /// #[anyfork::call]
    /// fn forever() {
    ///     std::thread::park();
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let pool = Pool::builder(Process::new()?).max(1).queue(1).build()?;
    /// let [_runs, _waits] = [forever::call(&pool), forever::call(&pool)];
    /// let error = forever::call(&pool).blocking().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Full);
    /// assert!(error.never_entered());
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn queue(mut self, calls: usize) -> Builder {
        self.limits.queue = Some(calls);
        self
    }

    /// How long a call may wait for a worker, unless it has a
    /// [`queue_timeout`](crate::Call::queue_timeout) of its own. Default: no limit.
    ///
    /// This is for work whose result is useless later, such as the answer to a request.
    ///
    /// ```
    /// # mod doctest {
    /// use std::time::Duration;
    ///
    /// use anyfork::{ErrorKind, Pool, Process};
    ///
    /// #[anyfork::call]
    /// fn hang() {
    ///     std::thread::park();
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let limit = Duration::from_millis(10);
    /// let pool = Pool::builder(Process::new()?).max(1).queue_timeout(limit).build()?;
    /// pool.prepare().blocking()?;
    /// let _has_the_worker = hang::call(&pool);
    /// let error = hang::call(&pool).blocking().unwrap_err();
    /// assert_eq!((error.kind(), error.never_entered()), (ErrorKind::TimedOut, true));
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn queue_timeout(mut self, limit: Duration) -> Builder {
        self.options.queue_timeout = Some(limit);
        self
    }

    /// How long a worker may have a call before the worker is killed, unless the call has a
    /// [`timeout`](crate::Call::timeout) of its own. Default: no limit.
    ///
    /// This is for functions that may hang, or may take longer than anybody waits.
    ///
    /// ```
    /// # mod doctest {
    /// use std::time::Duration;
    ///
    /// use anyfork::{ErrorKind, Pool, Process};
    ///
    /// #[anyfork::call]
    /// fn hang() {
    ///     std::thread::park();
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let limit = Duration::from_millis(10);
    /// let pool = Pool::builder(Process::new()?).timeout(limit).build()?;
    /// let error = hang::call(&pool).blocking().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn timeout(mut self, limit: Duration) -> Builder {
        self.options.timeout = Some(limit);
        self
    }

    /// The time between SIGTERM and SIGKILL when a worker is killed because of its call. Default:
    /// zero, so SIGKILL comes at once.
    ///
    /// This is for workers that handle SIGTERM and clean something up.
    ///
    /// ```
    /// # mod doctest {
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    ///
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
    ///     .timeout(Duration::from_millis(10))
    ///     .grace(Duration::from_secs(60))
    ///     .on_exit(move |worker| log.send(worker.exit().signal()).unwrap_or_default())
    ///     .build()?;
    /// hang::call(&pool).blocking().unwrap_err();
    /// assert_eq!(left.recv(), Ok(Some(libc::SIGTERM)), "it did not need SIGKILL");
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn grace(mut self, grace: Duration) -> Builder {
        self.limits.grace = grace;
        self
    }

    /// Keeps a worker in use after its function has panicked, if the panic has unwound. Default:
    /// the worker is replaced, because a panic may leave anything half done.
    ///
    /// This is for functions that panic often, and keep nothing between calls.
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::{Pool, Process};
    ///
    /// #[anyfork::call]
    /// fn check(n: u32) -> u32 {
    ///     assert!(n < 10, "too large");
    ///     std::process::id()
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let pool = Pool::builder(Process::new()?).max(1).keep_after_panic(true).build()?;
    /// let pid = check::call(&pool, 1).blocking()?;
    /// check::call(&pool, 99).blocking().unwrap_err();
    /// assert_eq!(check::call(&pool, 2).blocking()?, pid);
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn keep_after_panic(mut self, keep: bool) -> Builder {
        self.options.keep_after_panic = keep;
        self
    }

    /// The maximum number of bytes of a result or an event. Default: 1 GiB. A larger one fails
    /// with [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge).
    ///
    /// This keeps a worker that misbehaves from filling this process's memory.
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::{ErrorKind, Pool, Process};
    ///
    /// #[anyfork::call]
    /// fn zeros(count: usize) -> Vec<u8> {
    ///     vec![0; count]
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let pool = Pool::builder(Process::new()?).max_result(1000).build()?;
    /// assert_eq!(zeros::call(&pool, 10).blocking()?.len(), 10);
    /// let error = zeros::call(&pool, 2000).blocking().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TooLarge);
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn max_result(mut self, bytes: u64) -> Builder {
        self.options.max_result = bytes;
        self
    }
}
