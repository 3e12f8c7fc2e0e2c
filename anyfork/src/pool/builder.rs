//! [`Builder`]: the settings of a pool.
//! RUNS IN: caller

mod printed;

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::args::Args;
use crate::caller::process::Process;
use crate::error::Result;
use crate::pool::base::{self, Base, Init, Remake};
use crate::pool::core::Options;
use crate::pool::left::Left;
use crate::pool::limits::Limits;
use crate::pool::logs::printed::Callbacks;
use crate::pool::prepared::MAX_RESULT;
use crate::pool::recipe::Recipe;

/// The settings of a pool, from [`Pool::builder`](crate::Pool::builder).
#[must_use = "`build` makes the pool"]
pub struct Builder {
    process: Process,
    limits: Limits,
    options: Options,
    printed: Callbacks,
    inits: Vec<Init>,
    remake: Option<Remake>,
}

impl Builder {
    pub(crate) fn new(process: Process) -> Builder {
        let cpus = thread::available_parallelism();
        Builder {
            process,
            limits: Limits {
                max: cpus.map_or(1, usize::from),
                ..Limits::default()
            },
            options: Options {
                max_result: MAX_RESULT,
                ..Options::default()
            },
            printed: Callbacks::default(),
            inits: Vec::new(),
            remake: None,
        }
    }

    /// Workers at most, at least 1. The number of CPUs that this process may use, unless
    /// set.
    ///
    /// More, where calls wait for something else than the CPU; fewer, where each needs much
    /// memory.
    pub fn max(mut self, max: usize) -> Builder {
        self.limits.max = max.max(1);
        self
    }

    /// Workers that wait for calls at least, started ahead. None, unless set.
    ///
    /// A call that comes after a pause then waits for no start, at the price of their memory.
    pub fn idle(mut self, idle: usize) -> Builder {
        self.limits.idle = idle;
        self
    }

    /// The time between two starts for calls that wait. None, unless set: a burst starts as
    /// many workers as it has calls, up to [`max`](Builder::max).
    ///
    /// With short calls, fewer workers are started for a burst that a few can serve.
    pub fn start(mut self, interval: Duration) -> Builder {
        self.limits.start = interval;
        self
    }

    /// Workers beyond [`idle`](Builder::idle) leave when they have had nothing to do for so
    /// long: 10 seconds, unless set. The worker that has served last serves next, so that the
    /// others can leave.
    ///
    /// Longer, where a start is dear, as with a long [`init`](Builder::init).
    pub fn stop(mut self, timeout: Duration) -> Builder {
        self.limits.stop = timeout;
        self
    }

    /// Calls that may wait for a worker; the next one fails at once with
    /// [`ErrorKind::Full`](crate::ErrorKind::Full). No limit, unless set.
    ///
    /// A server tells its client to come back later, and does not fill its memory with work
    /// that nobody waits for any more.
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

    /// How long a call may wait for a worker. No limit, unless set, here or with
    /// [`Call::queue_timeout`](crate::Call::queue_timeout).
    ///
    /// For work whose result is of no use later, such as a request's.
    pub fn queue_timeout(mut self, limit: Duration) -> Builder {
        self.options.queue_timeout = Some(limit);
        self
    }

    /// How long a worker may have a call; then the worker is killed. No limit, unless set,
    /// here or with [`Call::timeout`](crate::Call::timeout).
    ///
    /// For functions that may hang, or take longer than anybody waits.
    pub fn timeout(mut self, limit: Duration) -> Builder {
        self.options.timeout = Some(limit);
        self
    }

    /// The time between SIGTERM and SIGKILL when a call is killed. None, unless set: SIGKILL
    /// at once.
    ///
    /// For workers that have something to put in order, and handle SIGTERM.
    pub fn grace(mut self, grace: Duration) -> Builder {
        self.limits.grace = grace;
        self
    }

    /// Runs an init function in each worker before its first call, after those that were set
    /// before: its name, as for [`Process::init`].
    ///
    /// For what each worker must have of its own, such as a connection. What all can share is
    /// better an init function of the process that the pool is made of: it runs once.
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

    /// Replaces a worker after so many calls, 10 % more or less at random, so that not all
    /// go at once. The replacement is there before the old one leaves. Never, unless set.
    ///
    /// For functions that leak, in libraries that nobody can repair.
    pub fn retire_after(mut self, calls: u64) -> Builder {
        self.limits.retire_after = Some(calls);
        self
    }

    /// Replaces a worker of this age, 10 % more or less at random, after its present call.
    /// Never, unless set.
    ///
    /// For state that grows stale, such as a cache or a connection.
    pub fn retire_age(mut self, age: Duration) -> Builder {
        self.limits.retire_age = Some(age);
        self
    }

    /// Replaces a worker whose private memory has grown by more than so many bytes since its
    /// init. It is looked at after each call. Never, unless set.
    ///
    /// Counted from what the worker began with, however large that is: no worker is replaced
    /// for what its template has loaded.
    pub fn retire_growth(mut self, bytes: u64) -> Builder {
        self.options.retire_growth = Some(bytes);
        self
    }

    /// Leaves a worker in use whose function has panicked, if the panic has unwound. It is
    /// replaced, unless set: a panic may have left anything half done.
    ///
    /// For functions that panic often, and keep nothing between calls.
    pub fn keep_after_panic(mut self, keep: bool) -> Builder {
        self.options.keep_after_panic = keep;
        self
    }

    /// Maximum number of bytes of a result: 1 GiB, unless set. A larger one fails with
    /// [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge).
    ///
    /// So that a worker that has gone astray does not fill this process's memory.
    pub fn max_result(mut self, bytes: u64) -> Builder {
        self.options.max_result = bytes;
        self
    }

    /// Makes the process that workers are forks of again, when its template is gone, as when
    /// an administrator has killed it, or when the program has given up rights, which the
    /// template keeps.
    ///
    /// Unless set, a process that came from [`Process::new`] and was given no descriptor is
    /// made again with the same settings and init functions. For any other, calls that then
    /// find no worker fail with
    /// [`ErrorKind::TemplateGone`](crate::ErrorKind::TemplateGone).
    pub fn remake(
        mut self,
        remake: impl Fn() -> Result<Process> + Send + Sync + 'static,
    ) -> Builder {
        self.remake = Some(Arc::new(remake));
        self
    }

    /// Is told of each worker that has left, once it was collected: for a log or a metric.
    ///
    /// # Caveats
    ///
    /// It runs in the thread that watches all pools of this process, which meanwhile does
    /// nothing else: it should be short.
    pub fn on_exit(mut self, on_exit: impl Fn(&Left) + Send + Sync + 'static) -> Builder {
        self.options.on_exit = Some(Box::new(on_exit));
        self
    }

    pub(crate) fn into_recipe(self) -> Recipe {
        let remake = self.remake.or_else(|| {
            let remaker = self.process.remaker()?;
            Some(Arc::new(remaker) as Remake)
        });
        let base = Base::new(self.process, self.inits, remake);
        let mut options = self.options;
        options.printed = Arc::new(self.printed);
        Recipe {
            limits: self.limits,
            options: Arc::new(options),
            base: Arc::new(base),
        }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("process", &self.process)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
