//! [`Pool`]: worker processes that serve calls.
//! RUNS IN: caller

mod ending;
mod waiting;

use std::fmt;
use std::process;
use std::sync::{Arc, Mutex, PoisonError};

use crate::caller::process::Process;
use crate::error::Result;
use crate::pool::builder::Builder;
use crate::pool::core::Shared;
use crate::pool::live::Live;
use crate::pool::recipe::Recipe;
use crate::pool::state::event::Event;
use crate::pool::stats::Stats;
use crate::pool::worker_info::{Worker, WorkerState};

/// Worker processes that serve calls of functions with [`#[anyfork::call]`](macro@crate::call).
///
/// This is a handle that can be cloned, and used from several threads at once, in any runtime or
/// in none. Workers are started when calls need them, up to [`max`](Builder::max), and leave when
/// they have had nothing to do for a while. The queue of waiting calls is in this process: a
/// deadline, a dropped call or the death of a worker costs one call.
///
/// ```
/// # mod doctest {
/// use anyfork::Pool;
///
/// #[anyfork::call]
/// fn square(n: u64) -> u64 {
///     n * n
/// }
///
/// # pub fn main() -> anyfork::Result<()> {
/// let pool = Pool::new()?;
/// // All are under way, in as many processes as the machine has CPUs:
/// let calls: Vec<_> = (0..20).map(|n| square::call(&pool, n)).collect();
/// for (n, call) in (0..).zip(calls) {
///     assert_eq!(call.blocking()?, n * n);
/// }
/// # Ok(())
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
///
/// [`lease`](Pool::lease) gives a worker to one caller alone. When the last handle is dropped,
/// idle workers end at once, and calls whose [`Call`](crate::Call) still exists finish.
///
/// # Caveats
///
/// If a call needs a new worker, the thread that makes the call asks the template for the worker,
/// and the first call of all starts the template: [`prepare`](Pool::prepare) does that in
/// advance.
///
/// Workers have the rights that the program has when they are started. A program that gives up
/// rights should do so before [`build`](Builder::build). If it does so later, the workers with
/// the old rights leave at the next start, and the process that workers are forked from is made
/// again, as when its template is gone (see [`remake`](Builder::remake)). If it is not made
/// again, it keeps its rights, and so do the workers that are forked from it.
///
/// In a process that the program has forked itself, a handle leads to a separate pool of that
/// process, with the same settings. Its workers are started at the first call.
#[derive(Clone)]
pub struct Pool(Arc<Handle>);

struct Handle {
    recipe: Recipe,
    shared: Arc<Shared>,
    /// The pool of a process that was forked from the one that has made this.
    forked: Mutex<Option<(u32, Arc<Shared>)>>,
}

impl Pool {
    /// A pool with the default settings, whose workers are forks of [`Process::new`].
    ///
    /// # Errors
    ///
    /// Those of [`Process::new`] and [`Builder::build`].
    pub fn new() -> Result<Pool> {
        Pool::builder(Process::new()?).build()
    }

    /// The builder of a pool whose workers are forks of `process`, with its settings and
    /// preparation. The process becomes their template, so its limits hold for the template, too:
    /// see [`Process`](Process#two-stages).
    ///
    /// ```
    /// # mod doctest {
    /// use std::time::Duration;
    ///
    /// use anyfork::{ErrorKind, Pool, Process};
    ///
    /// #[anyfork::call]
    /// fn sleep(millis: u64) {
    ///     std::thread::sleep(Duration::from_millis(millis));
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let pool = Pool::builder(Process::new()?)
    ///     .max(2)
    ///     .timeout(Duration::from_millis(100))
    ///     .build()?;
    /// let error = sleep::call(&pool, 60_000).blocking().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// sleep::call(&pool, 0).blocking()?;
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn builder(process: Process) -> Builder {
        Builder::new(process)
    }

    fn with(recipe: Recipe) -> Result<Pool> {
        let shared = recipe.make()?;
        Ok(Pool(Arc::new(Handle {
            recipe,
            shared,
            forked: Mutex::new(None),
        })))
    }

    /// What this process shares of the pool.
    pub(crate) fn shared(&self) -> Result<Arc<Shared>> {
        let handle = &*self.0;
        if !handle.shared.is_copy() {
            return Ok(Arc::clone(&handle.shared));
        }
        let mut forked = handle.forked.lock().unwrap_or_else(PoisonError::into_inner);
        let pid = process::id();
        if let Some((of, shared)) = &*forked
            && *of == pid
        {
            return Ok(Arc::clone(shared));
        }
        let shared = handle.recipe.make()?;
        // Another process's workers are not to be touched.
        std::mem::forget(forked.replace((pid, Arc::clone(&shared))));
        Ok(shared)
    }

    /// Changes the maximum number of workers. Workers in excess of it leave after their present
    /// call.
    ///
    /// This is for programs that share a machine, or that learn only later how many CPUs they may
    /// use.
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::Pool;
    ///
    /// #[anyfork::call]
    /// fn whoami() -> u32 {
    ///     std::process::id()
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let pool = Pool::new()?;
    /// pool.set_max(1);
    /// let calls: Vec<_> = (0..3).map(|_| whoami::call(&pool)).collect();
    /// let mut pids = calls.into_iter().map(|call| call.blocking());
    /// let first = pids.next().expect("a result")?;
    /// for pid in pids {
    ///     assert_eq!(pid?, first);
    /// }
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn set_max(&self, max: usize) {
        if let Ok(shared) = self.shared() {
            shared.tell_alone(Event::SetMax(max));
        }
    }

    /// The pool's numbers, all of the same moment.
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::Pool;
    ///
    /// #[anyfork::call]
    /// fn nothing() {}
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let pool = Pool::new()?;
    /// nothing::call(&pool).blocking()?;
    /// let stats = pool.stats();
    /// assert_eq!((stats.calls, stats.returned, stats.busy), (1, 1, 0));
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn stats(&self) -> Stats {
        match self.shared() {
            Ok(shared) => shared.lock().state.stats(),
            Err(_) => Stats::default(),
        }
    }

    /// The pool's present workers.
    ///
    /// This is for people who want to know which process hangs, and where. A program that bases
    /// decisions on it races with the pool.
    ///
    /// See [`Worker`] for an example.
    pub fn workers(&self) -> Vec<Worker> {
        let Ok(shared) = self.shared() else {
            return Vec::new();
        };
        let inner = shared.lock();
        let views = inner.state.workers().filter(|it| it.is_ready);
        views
            .filter_map(|view| {
                let Some(Live::Up(up)) = inner.workers.get(&view.id) else {
                    return None;
                };
                let entry = view.call.and_then(|call| inner.calls.get(&call));
                Some(Worker {
                    pid: up.watch.pid(),
                    state: match () {
                        _ if view.is_leaving => WorkerState::Leaving,
                        _ if view.is_leased => WorkerState::Leased,
                        _ if view.has_calls => WorkerState::Busy,
                        _ => WorkerState::Idle,
                    },
                    function: entry.map(|it| it.name),
                    calls: view.calls,
                    age: view.made.elapsed(),
                })
            })
            .collect()
    }
}

impl Builder {
    /// Makes the pool, and starts its [`idle`](Builder::idle) workers without waiting for them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the thread that watches pools cannot be
    /// started. [`prepare`](crate::Pool::prepare) tells whether workers can be started.
    pub fn build(self) -> Result<Pool> {
        Pool::with(self.into_recipe())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !self.shared.is_copy() {
            return self.shared.tell_alone(Event::LastHandle);
        }
        let forked = self.forked.get_mut();
        let forked = forked.unwrap_or_else(PoisonError::into_inner);
        match forked.take() {
            Some((pid, shared)) if pid == process::id() => {
                shared.tell_alone(Event::LastHandle);
            }
            other => std::mem::forget(other),
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
