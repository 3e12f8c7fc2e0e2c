//! The settings by which a worker has several calls.
//! RUNS IN: caller

use crate::pool::builder::Builder;

/// # Several calls in a worker
impl Builder {
    /// The maximum number of calls that a worker has, including the one that runs. Default: 1.
    /// The others wait in the worker's socket, so that the worker gets the next call without a
    /// round trip to this process.
    ///
    /// This is for many tiny calls on few workers, where the round trip is a good part of the
    /// time. A call is sent ahead only if no worker is free and none may be started: because
    /// there are [`max`](Builder::max) workers, or because [`start`](Builder::start) delays the
    /// next start. The call goes to the worker with the fewest calls.
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::{Pool, Process};
    ///
    /// #[anyfork::call]
    /// fn square(n: u64) -> u64 {
    ///     n * n
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let pool = Pool::builder(Process::new()?).max(1).load(8).build()?;
    /// let calls: Vec<_> = (0..100).map(|n| square::call(&pool, n)).collect();
    /// for (n, call) in (0..).zip(calls) {
    ///     assert_eq!(call.blocking()?, n * n);
    /// }
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    ///
    /// If a worker dies, or is killed because a call was dropped or took too long, the call that
    /// it had entered is lost. Calls that were sent ahead go to another worker, and nobody
    /// notices. A call that was sent ahead and is then dropped never runs. Its
    /// [`timeout`](Builder::timeout) counts from the answer to the call before it. Until then its
    /// [`queue_timeout`](Builder::queue_timeout) holds, whose error does not claim that the call
    /// was never entered.
    ///
    /// # Caveats
    ///
    /// A call that was sent ahead waits for the call before it, however long that takes, even if
    /// another worker becomes free meanwhile. So `load` is not for calls that take long, or whose
    /// durations differ much. If a worker enters the next call at the very moment when it is
    /// killed for the call before, the next call dies, too, and its error says so.
    ///
    /// In a [`Lease`](crate::pool::Lease), calls still come one at a time.
    pub fn load(mut self, calls: usize) -> Builder {
        self.limits.load = calls.max(1);
        self
    }

    /// The maximum number of calls of `async fn`s that run at once in one worker. Default: 1; at
    /// most 65,535.
    ///
    /// This is for calls that wait more than they compute: for other servers, timers or pipes.
    /// One process then serves many calls, with a fraction of the memory of as many workers. They
    /// run in one thread, in a tokio runtime: while one of them computes, the others wait. As
    /// with [`load`](Builder::load), a worker gets several calls only if no worker is free and
    /// none may be started.
    ///
    /// ```
    /// # mod doctest {
    /// use std::time::Duration;
    ///
    /// use anyfork::{Pool, Process};
    ///
    /// #[anyfork::call]
    /// async fn fetch(n: u32) -> (u32, u32) {
    ///     // In place of a server's answer.
    ///     tokio::time::sleep(Duration::from_millis(20)).await;
    ///     (n, std::process::id())
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let pool = Pool::builder(Process::new()?).max(1).concurrency(100).build()?;
    /// // 2 seconds, one after the other:
    /// let calls: Vec<_> = (0..100).map(|n| fetch::call(&pool, n)).collect();
    /// let pid = pool.workers().first().map(|worker| worker.pid());
    /// for (n, call) in (0..).zip(calls) {
    ///     let (answered, served_by) = call.blocking()?;
    ///     assert_eq!(answered, n);
    ///     assert!(pid.is_none_or(|pid| pid == served_by));
    /// }
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    ///
    /// If a call is dropped, or its [`timeout`](Builder::timeout) is over, its future is dropped
    /// in the worker, and the other calls go on. If a function blocks the worker's thread, so
    /// that the future is not dropped in time, the worker is killed: after
    /// [`grace`](Builder::grace), but not before a second has passed. When a worker dies, all
    /// calls that it had entered are lost, and the error of each says so. After a panic, the call
    /// fails, and the worker finishes the others before it leaves.
    ///
    /// Everything else runs alone in a worker: functions that are not `async`, the messages of a
    /// [`Map`](crate::pool::Map) with several items, and functions of plugins. They wait until
    /// the worker has no other call, and the calls that come after them wait, too.
    ///
    /// # Caveats
    ///
    /// All calls of a worker share its socket: if a caller does not receive the events of its
    /// call (see [`recv`](crate::Call::recv)), the other calls wait once 256 KiB of these events
    /// are kept. Lines and `tracing` events of a worker (see [`stdout`](Builder::stdout)) count
    /// as those of the call that it has had for longest.
    ///
    /// Without the feature `tokio`, there are no `async` calls, and `concurrency` changes
    /// nothing.
    pub fn concurrency(mut self, calls: usize) -> Builder {
        self.limits.concurrency = calls.clamp(1, usize::from(u16::MAX));
        self
    }
}
