//! The settings by which a worker has several calls.
//! RUNS IN: caller

use crate::pool::builder::Builder;

/// # Several calls in a worker
impl Builder {
    /// Calls that a worker may have, the one that runs included: 1, unless set. The others wait
    /// in its socket, so that it has the next one without a way to this process and back.
    ///
    /// For many tiny calls on few workers, where that way is a good part of the time. A call is
    /// sent ahead only if no worker is free, and none may be started: all of
    /// [`max`](Builder::max) are there, or [`start`](Builder::start) puts a start off. It goes to
    /// the worker with the fewest calls.
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
    /// A worker that dies, or is killed for a call that was dropped or took too long, costs the
    /// call that it had entered. Those that were sent ahead go to another worker, and nobody
    /// notices. One that is dropped itself never runs. A [`timeout`](Builder::timeout) counts
    /// from when the call before it was answered; until then a
    /// [`queue_timeout`](Builder::queue_timeout) holds, whose error does not claim that the call
    /// was never entered.
    ///
    /// # Caveats
    ///
    /// A call that was sent ahead waits for the one before it, however long that takes, also
    /// when another worker becomes free meanwhile. So it is not for calls that take long, or
    /// whose lengths differ much. If a worker goes on to the next call in the very moment in
    /// which it is killed for the one before, that next call dies, too, and its error says so.
    ///
    /// In a [`Lease`](crate::pool::Lease), calls still come one at a time.
    pub fn load(mut self, calls: usize) -> Builder {
        self.limits.load = calls.max(1);
        self
    }

    /// Calls of `async fn`s that run at once in one worker: 1, unless set, and 65,535 at most.
    ///
    /// For calls that wait more than they compute: requests to other servers, timers, pipes.
    /// One process then serves as many as a server's task does, at a fraction of the memory of
    /// as many workers. It is one thread, in a tokio runtime: while one of them computes, the
    /// others wait. As with [`load`](Builder::load), a worker has several only if no worker is
    /// free, and none may be started.
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
    /// A call that is dropped, or whose [`timeout`](Builder::timeout) is over, is dropped in the
    /// worker as any future is, and the others go on. A worker that has not done so after
    /// [`grace`](Builder::grace), and at least a second, because a function blocks it, is
    /// killed. The death of a worker takes all calls that it had entered, and the error of each
    /// says so. After a panic the call fails, and the worker finishes the others before it
    /// leaves.
    ///
    /// What else a worker runs, it runs alone, between these: functions that are not `async`,
    /// the messages of a [`Map`](crate::pool::Map) with several items, and functions of plugins.
    /// They wait until it has no other call, and so do the calls that come after them.
    ///
    /// # Caveats
    ///
    /// All calls of a worker share its socket: a caller that does not take the events of one
    /// (see [`recv`](crate::Call::recv)) has the others wait once 256 KiB of them are kept.
    /// Lines and events of the workers (see [`stdout`](Builder::stdout)) are those of the call
    /// that has been there for longest.
    ///
    /// Without the feature `tokio` there are no `async` calls, and it changes nothing.
    pub fn concurrency(mut self, calls: usize) -> Builder {
        self.limits.concurrency = calls.clamp(1, usize::from(u16::MAX));
        self
    }
}
