//! [`Builder`]: the settings of a pool.
//! RUNS IN: caller

mod printed;
mod shared;

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
///
/// ```
/// # mod doctest {
/// use std::time::Duration;
///
/// use anyfork::{Pool, Process};
///
/// #[anyfork::call]
/// fn parse(text: String) -> usize {
///     text.split_whitespace().count()
/// }
///
/// # pub fn main() -> anyfork::Result<()> {
/// let pool = Pool::builder(Process::new()?)
///     .max(8) // processes at most,
///     .idle(1) // one of which always waits
///     .load(1) // calls that a worker has, the one that runs included
///     .concurrency(1) // calls of an `async fn` that it runs at once
///     .start(Duration::from_millis(1)) // between two starts
///     .stop(Duration::from_secs(60)) // idle ones leave then
///     .queue(1000)
///     .queue_timeout(Duration::from_secs(5))
///     .timeout(Duration::from_secs(30))
///     .grace(Duration::from_secs(1))
///     .retire_after(10_000)
///     .retire_age(Duration::from_secs(3600))
///     .retire_growth(100 << 20)
///     .keep_after_panic(false)
///     .max_result(10 << 20)
///     .remake(Process::new)
///     .stderr(|line| eprintln!("{}: {line}", line.pid()))
///     .build()?;
/// assert_eq!(parse::call(&pool, "one two".into()).blocking()?, 2);
/// # Ok(())
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
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

    /// The maximum number of workers, at least 1. Default: the number of CPUs that this
    /// process may use.
    ///
    /// Set more if calls wait for something other than the CPU, and fewer if each worker needs
    /// much memory.
    pub fn max(mut self, max: usize) -> Builder {
        self.limits.max = max.max(1);
        self
    }

    /// The number of workers that are started in advance, and wait for calls. Default: 0.
    ///
    /// A call after a pause then does not wait for a start. The price is the memory of these
    /// workers.
    pub fn idle(mut self, idle: usize) -> Builder {
        self.limits.idle = idle;
        self
    }

    /// The time between two starts of workers for calls that wait. Default: zero, so that a burst
    /// of calls starts as many workers as it has calls, up to [`max`](Builder::max).
    ///
    /// With a longer time, a burst of short calls starts fewer workers.
    pub fn start(mut self, interval: Duration) -> Builder {
        self.limits.start = interval;
        self
    }

    /// How long a worker beyond [`idle`](Builder::idle) stays without a call. Default: 10
    /// seconds. The worker that served last serves next, so that the others can leave.
    ///
    /// Set a longer time if a start is expensive, for example because of a long
    /// [`init`](Builder::init).
    pub fn stop(mut self, timeout: Duration) -> Builder {
        self.limits.stop = timeout;
        self
    }

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
    pub fn queue_timeout(mut self, limit: Duration) -> Builder {
        self.options.queue_timeout = Some(limit);
        self
    }

    /// How long a worker may have a call before the worker is killed, unless the call has a
    /// [`timeout`](crate::Call::timeout) of its own. Default: no limit.
    ///
    /// This is for functions that may hang, or may take longer than anybody waits.
    pub fn timeout(mut self, limit: Duration) -> Builder {
        self.options.timeout = Some(limit);
        self
    }

    /// The time between SIGTERM and SIGKILL when a worker is killed because of its call. Default:
    /// zero, so SIGKILL comes at once.
    ///
    /// This is for workers that handle SIGTERM and clean something up.
    pub fn grace(mut self, grace: Duration) -> Builder {
        self.limits.grace = grace;
        self
    }

    /// Runs the init function `name` in each worker before its first call, and after the init
    /// functions that were added before. `name` is as for [`Process::init`].
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

    /// Replaces a worker after this number of calls, 10 % more or less at random, so that not all
    /// workers leave at once. The replacement is ready before the old worker leaves. Default:
    /// never.
    ///
    /// This is for functions that leak, in libraries that you cannot repair.
    pub fn retire_after(mut self, calls: u64) -> Builder {
        self.limits.retire_after = Some(calls);
        self
    }

    /// Replaces a worker that has reached this age, 10 % more or less at random, after its
    /// present call. Default: never.
    ///
    /// This is for state that grows stale, such as a cache or a connection.
    pub fn retire_age(mut self, age: Duration) -> Builder {
        self.limits.retire_age = Some(age);
        self
    }

    /// Replaces a worker whose private memory has grown by more than this number of bytes
    /// since its init, measured after each call. Default: never.
    ///
    /// Memory that the worker began with does not count, and neither does anything that its
    /// template has loaded. If a worker that has grown too much still has calls, it gets no
    /// further calls until these have ended, and is then measured again.
    pub fn retire_growth(mut self, bytes: u64) -> Builder {
        self.options.retire_growth = Some(bytes);
        self
    }

    /// Keeps a worker in use after its function has panicked, if the panic has unwound. Default:
    /// the worker is replaced, because a panic may leave anything half done.
    ///
    /// This is for functions that panic often, and keep nothing between calls.
    pub fn keep_after_panic(mut self, keep: bool) -> Builder {
        self.options.keep_after_panic = keep;
        self
    }

    /// The maximum number of bytes of a result or an event. Default: 1 GiB. A larger one fails
    /// with [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge).
    ///
    /// This keeps a worker that misbehaves from filling this process's memory.
    pub fn max_result(mut self, bytes: u64) -> Builder {
        self.options.max_result = bytes;
        self
    }

    /// Sets the function that makes a new process to fork workers from, if the template of the
    /// present one is gone: because somebody has killed the template, or because the program has
    /// given up rights that the template still has.
    ///
    /// Default: a process that came from [`Process::new`] and was given no descriptor is made
    /// again with the same settings and init functions. A process that
    /// [`renew`](crate::Pool::renew) has set is never made again. If a process is not made again,
    /// calls that then find no worker fail with
    /// [`ErrorKind::TemplateGone`](crate::ErrorKind::TemplateGone).
    pub fn remake(
        mut self,
        remake: impl Fn() -> Result<Process> + Send + Sync + 'static,
    ) -> Builder {
        self.remake = Some(Arc::new(remake));
        self
    }

    /// Calls `on_exit` for each worker that has left and was reaped: for a log or a metric.
    ///
    /// # Caveats
    ///
    /// `on_exit` runs in the thread that watches all pools of this process. That thread does
    /// nothing else meanwhile, so `on_exit` should be short.
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
        options.gives_several = self.limits.gives_several();
        options.at_once = match u16::try_from(self.limits.concurrency) {
            Ok(0 | 1) => 0,
            Ok(calls) => calls,
            Err(_) => u16::MAX,
        };
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
