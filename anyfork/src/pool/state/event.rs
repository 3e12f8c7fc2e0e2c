//! What comes into the state of a pool, and what comes out.
//! RUNS IN: caller

use std::time::{Duration, Instant};

use crate::error::Error;

/// The number of a call, or of a lease, within its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct CallId(pub(crate) u64);

/// The number of a worker within its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct WorkerId(pub(crate) u64);

/// The number of a base: the first has 0, and each [`Event::Renew`] brings the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BaseId(pub(crate) u64);

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// Somebody makes a call. The limits are counted from now, and from when it runs.
    Call {
        id: CallId,
        to: To,
        /// It may run beside others.
        is_async: bool,
        queue_timeout: Option<Duration>,
        timeout: Option<Duration>,
    },
    /// Somebody wants a worker for itself.
    Lease {
        id: CallId,
        queue_timeout: Option<Duration>,
    },
    /// The owner of a lease has dropped it, or gives up its worker.
    Return(Return),
    /// The owner of a call lets it go on without anybody.
    Detach(CallId),
    /// The owner of a call sets another limit.
    QueueTimeout(CallId, Duration),
    /// The owner of a call sets another limit.
    Timeout(CallId, Duration),
    /// The owner of a call, or of a lease that waits, has dropped it.
    Drop(CallId),
    /// A worker is about to serve.
    Ready(WorkerId),
    /// A worker could not be started.
    StartFailed(WorkerId, Error),
    /// A worker has answered a call.
    Answer {
        worker: WorkerId,
        call: CallId,
        answer: Answer,
        then: Then,
    },
    /// A worker has exited and was collected. `entered`: which of the calls that it has had it
    /// begun?
    Died {
        worker: WorkerId,
        entered: Vec<(CallId, Entered)>,
    },
    /// A worker that takes no more calls has not begun one that it has.
    Unentered {
        worker: WorkerId,
        call: CallId,
        entered: Entered,
    },
    /// A result of this worker's does not decode.
    BadResult(WorkerId),
    /// Somebody waits for workers: there is one at least, or why not.
    Prepare,
    /// The program has other rights now: all workers have those from before, but for this
    /// one, which is about to be started.
    NewRights(WorkerId),
    /// Time has passed.
    Tick,
    /// Workers are to be forks of another base.
    Renew,
    /// Another number of workers is allowed.
    SetMax(usize),
    /// No new calls; the present ones have so long.
    Shutdown(Duration),
    /// The last handle was dropped: idle workers end, and calls finish.
    LastHandle,
}

/// Which worker a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    /// Whichever is free first.
    Any,
    /// The one of this lease.
    Lease(CallId, WorkerId),
    /// This one.
    Worker(WorkerId),
}

/// The end of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Return {
    pub(crate) lease: CallId,
    pub(crate) worker: WorkerId,
    /// The worker serves nobody else: it finishes what it has, and leaves.
    pub(crate) retires: bool,
}

/// Whether a worker that has exited had begun its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entered {
    Yes,
    No,
    /// It had not, but the call's descriptors are closed here: it cannot be sent again.
    NoAndSpent,
}

/// How an answered call went, for the sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Returned,
    Panicked,
    Other,
    /// It was undone in the worker, or not begun.
    Cancelled,
}

/// What becomes of a worker that has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// It serves on.
    Stay,
    /// It has grown too much, and is to be replaced.
    Retire,
    /// It has grown too much with calls that it still has: it gets no more before these have
    /// ended, and is looked at again.
    Drain,
    /// It takes no more calls, and exits by itself.
    Leave,
    /// It sent nonsense.
    Kill,
}

/// What the core has to do.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// Start a worker from this base.
    Start { worker: WorkerId, base: BaseId },
    /// Write a call's request to a worker. `is_ahead`: it runs after others.
    Send {
        worker: WorkerId,
        call: CallId,
        is_ahead: bool,
    },
    /// A call that was sent ahead runs now.
    Run { call: CallId },
    /// Ask a worker to drop a call, or not to begin it.
    Cancel { worker: WorkerId, call: CallId },
    /// Let a worker without a call exit by itself.
    Close { worker: WorkerId },
    /// Ask a worker to exit (SIGTERM).
    Terminate { worker: WorkerId },
    /// Kill a worker, and its start if it is not ready.
    Kill { worker: WorkerId },
    /// Tell the owner of a call, or of a lease that has waited.
    End { call: CallId, end: End },
    /// Tell the owner of a lease that it has a worker.
    Lend { worker: WorkerId, lease: CallId },
    /// A lease has lost its worker.
    LeaseLost { lease: CallId, reason: Reason },
    /// A worker was collected.
    Left {
        worker: WorkerId,
        reason: Reason,
        calls: u64,
    },
    /// The first worker of a new base is ready, or could not be started.
    Renewed(BaseId, Result<(), Error>),
}

/// How a call ended.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// By the worker's answer.
    Answered,
    /// Its worker exited after the call was entered.
    Died(WorkerId),
    /// Its workers exited before they entered it, too often.
    NeverEntered(WorkerId),
    /// The only worker that it is for left before.
    Gone,
    /// Its lease was dropped. The worker had it: maybe entered.
    LeaseDropped { was_sent: bool },
    /// Its time was over while it waited.
    TimedOutInQueue,
    /// Its time to wait was over in a worker: maybe entered.
    TimedOutAhead,
    /// Its time was over, and its worker is gone.
    TimedOut(WorkerId),
    /// Its time was over, and its worker has dropped it.
    TimedOutThere,
    /// Its owner has dropped it.
    Cancelled,
    /// Too many wait.
    Full,
    /// The pool takes no calls any more, or was shut down. A worker had it: maybe entered.
    Closed { was_sent: bool },
    /// No worker could be started.
    NoWorker(Error),
}

/// Why a worker left.
///
/// ```
/// # mod doctest {
/// use std::sync::mpsc;
///
/// use anyfork::pool::Reason;
/// use anyfork::{Pool, Process};
///
/// #[anyfork::call]
/// fn crash() {
///     std::process::exit(3);
/// }
///
/// # pub fn main() -> anyfork::Result<()> {
/// let (log, crashes) = mpsc::channel();
/// let pool = Pool::builder(Process::new()?)
///     .on_exit(move |worker| match worker.reason() {
///         Reason::Died | Reason::Nonsense => log.send(worker.exit().code()).unwrap_or_default(),
///         _ => {} // as it should be
///     })
///     .build()?;
/// crash::call(&pool).blocking().unwrap_err();
/// assert_eq!(crashes.recv(), Ok(Some(3)));
/// # Ok(())
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// It exited by itself.
    Died,
    /// It was idle for too long, or there were too many workers.
    Idle,
    /// It had served for long enough, it had panicked, or it was retired by its function or its
    /// lease.
    Retired,
    /// Its call took too long.
    TimedOut,
    /// Its call was dropped, or its lease was dropped during a call.
    Cancelled,
    /// It sent nonsense.
    Nonsense,
    /// The pool was renewed: its workers are now forks of another process.
    Renewed,
    /// The pool ended.
    ShutDown,
}

/// A worker as `Pool::workers` shows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub(crate) id: WorkerId,
    /// The first of its calls.
    pub(crate) call: Option<CallId>,
    pub(crate) has_calls: bool,
    pub(crate) is_ready: bool,
    pub(crate) is_leaving: bool,
    pub(crate) is_leased: bool,
    pub(crate) calls: u64,
    pub(crate) made: Instant,
}
