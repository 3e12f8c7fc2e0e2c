//! [`Builder`]: the settings of a pool.
//! RUNS IN: caller

mod calls;
mod ends;
mod printed;
mod shared;
mod workers;

use std::fmt;
use std::sync::Arc;
use std::thread;

use crate::caller::process::Process;
use crate::pool::base::{Base, Init, Newest, Remake};
use crate::pool::core::Options;
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

    pub(crate) fn into_recipe(self) -> Recipe {
        let base = Base::new(self.process, self.inits.into(), self.remake);
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
            base: Arc::new(Newest::new(base)),
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
