//! [`Stats`]: the numbers of a pool.
//! RUNS IN: caller

use std::time::Duration;

/// The numbers of a pool, read together by [`Pool::stats`](crate::Pool::stats).
///
/// At any moment `calls` equals the sum of the outcomes (`returned`, `panicked`, `died`,
/// `timed_out`, `cancelled`, `refused`, `other`) plus `queued` and `busy`.
///
/// ```
/// # mod doctest {
/// use anyfork::Pool;
/// use anyfork::pool::Stats;
///
/// #[anyfork::call]
/// fn parse(text: String) -> u32 {
///     text.parse().expect("a number")
/// }
///
/// # pub fn main() -> anyfork::Result<()> {
/// let pool = Pool::new()?;
/// assert_eq!(parse::call(&pool, "7".into()).blocking()?, 7);
/// parse::call(&pool, "x".into()).blocking().unwrap_err();
///
/// let Stats { calls, returned, panicked, .. } = pool.stats();
/// assert_eq!((calls, returned, panicked), (2, 1, 1));
/// # Ok(())
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Processes that are there now: idle, busy, leased, or about to leave.
    pub workers: u64,
    /// Processes that are being started.
    pub starting: u64,
    /// Workers that wait for a call.
    pub idle: u64,
    /// Calls that a worker has.
    pub busy: u64,
    /// Workers that one caller has for itself.
    pub leased: u64,
    /// Calls that wait for a worker.
    pub queued: u64,

    /// Calls that were made, including the refused ones.
    pub calls: u64,
    /// Calls whose function has returned, be it an error.
    pub returned: u64,
    /// Calls whose function has panicked, even if the panic aborted the worker.
    pub panicked: u64,
    /// Calls whose worker exited.
    pub died: u64,
    /// Calls whose time was up, in the queue or in a worker.
    pub timed_out: u64,
    /// Calls that were dropped, or ended with their pool.
    pub cancelled: u64,
    /// Calls for which there was no room, no pool or no worker.
    pub refused: u64,
    /// Calls that failed otherwise: an argument or a result that does not decode, or is too
    /// large.
    pub other: u64,
    /// How often a call was sent to another worker, because the first one exited before it
    /// entered the call.
    pub resent: u64,
    /// Workers that were started.
    pub started: u64,
    /// Workers that could not be started.
    pub start_failures: u64,
    /// Workers that were replaced because of their number of calls, their age, their growth or a
    /// panic, or that called `anyfork::retire`.
    pub retired: u64,

    /// The total time that calls have waited for a worker.
    pub waited: Duration,
    /// The total time that workers have had calls.
    pub ran: Duration,
    /// The longest time that a call has waited before a worker got it.
    pub max_waited: Duration,
    /// The largest number of workers that had a call at the same time.
    pub max_busy: u64,
    /// The largest number of calls that waited at the same time.
    pub max_queued: u64,
}
