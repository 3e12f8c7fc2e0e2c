//! [`Worker`]: a worker of a pool, as it is at one moment.
//! RUNS IN: caller

use std::time::Duration;

/// A worker of a pool, as it was when [`workers`](crate::Pool::workers) was called.
///
/// ```
/// # mod doctest {
/// use std::time::Duration;
///
/// use anyfork::Pool;
/// use anyfork::pool::WorkerState;
///
/// #[anyfork::call]
/// fn whoami() -> u32 {
///     std::process::id()
/// }
///
/// # pub fn main() -> anyfork::Result<()> {
/// let pool = Pool::new()?;
/// let pid = whoami::call(&pool).blocking()?;
/// let workers = pool.workers();
/// let worker = &workers[0];
/// assert_eq!((worker.pid(), worker.calls()), (pid, 1));
/// assert_eq!((worker.state(), worker.function()), (WorkerState::Idle, None));
/// assert!(worker.age() > Duration::ZERO);
/// # Ok(())
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
#[derive(Clone, Debug)]
pub struct Worker {
    pub(crate) pid: u32,
    pub(crate) state: WorkerState,
    pub(crate) function: Option<&'static str>,
    pub(crate) calls: u64,
    pub(crate) age: Duration,
}

/// What a worker is doing.
///
/// ```
/// # mod doctest {
/// use anyfork::pool::WorkerState;
/// use anyfork::{Pool, Sender};
///
/// #[anyfork::call]
/// fn hang(started: Sender<()>) {
///     let _ = started.send(()).blocking();
///     std::thread::park();
/// }
///
/// # pub fn main() -> anyfork::Result<()> {
/// let pool = Pool::new()?;
/// let mut call = hang::call(&pool);
/// call.recv().blocking();
/// let workers = pool.workers();
/// assert_eq!(workers[0].state(), WorkerState::Busy);
/// assert_eq!(workers[0].function(), Some(hang::NAME));
/// # Ok(())
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WorkerState {
    /// It waits for a call.
    Idle,
    /// It has a call.
    Busy,
    /// One caller has it for itself, as a [`Lease`](crate::pool::Lease).
    /// [`function`](Worker::function) tells whether it has a call.
    Leased,
    /// It takes no more calls.
    Leaving,
}

impl Worker {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What it is doing.
    pub fn state(&self) -> WorkerState {
        self.state
    }

    /// The name of the function that it is running, if it has a call. If it has several calls,
    /// this is the call that it has had for longest.
    pub fn function(&self) -> Option<&str> {
        self.function
    }

    /// How many calls it was given.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// The time since its start began.
    pub fn age(&self) -> Duration {
        self.age
    }
}
