//! The settings of a pool for the ends of workers: when they are replaced, and who is told.
//! RUNS IN: caller

use std::sync::Arc;
use std::time::Duration;

use crate::caller::process::Process;
use crate::error::Result;
use crate::pool::builder::Builder;
use crate::pool::left::Left;

/// # Ends of workers
impl Builder {
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
}
