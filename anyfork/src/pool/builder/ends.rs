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
    ///
    /// ```
    /// # mod doctest {
    /// use std::sync::mpsc;
    ///
    /// use anyfork::pool::Reason;
    /// use anyfork::{Pool, Process};
    ///
    /// #[anyfork::call]
    /// fn leak() {}
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let (log, left) = mpsc::channel();
    /// let pool = Pool::builder(Process::new()?)
    ///     .retire_after(1)
    ///     .on_exit(move |worker| log.send((worker.calls(), worker.reason())).unwrap_or_default())
    ///     .build()?;
    /// leak::call(&pool).blocking()?;
    /// assert_eq!(left.recv(), Ok((1, Reason::Retired)));
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn retire_after(mut self, calls: u64) -> Builder {
        self.limits.retire_after = Some(calls);
        self
    }

    /// Replaces a worker that has reached this age, 10 % more or less at random, after its
    /// present call. Default: never.
    ///
    /// This is for state that grows stale, such as a cache or a connection.
    ///
    /// ```
    /// # mod doctest {
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    ///
    /// use anyfork::pool::Reason;
    /// use anyfork::{Pool, Process};
    ///
    /// #[anyfork::call]
    /// fn nothing() {}
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let (log, left) = mpsc::channel();
    /// let pool = Pool::builder(Process::new()?)
    ///     .retire_age(Duration::from_millis(10))
    ///     .on_exit(move |worker| log.send(worker.reason()).unwrap_or_default())
    ///     .build()?;
    /// nothing::call(&pool).blocking()?;
    /// assert_eq!(left.recv(), Ok(Reason::Retired));
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
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
    ///
    /// ```
    /// # mod doctest {
    /// use std::sync::mpsc;
    ///
    /// use anyfork::pool::Reason;
    /// use anyfork::{Pool, Process};
    ///
    /// #[anyfork::call]
    /// fn leak(bytes: usize) {
    ///     vec![1; bytes].leak();
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let (log, left) = mpsc::channel();
    /// let pool = Pool::builder(Process::new()?)
    ///     .retire_growth(1 << 20)
    ///     .on_exit(move |worker| log.send(worker.reason()).unwrap_or_default())
    ///     .build()?;
    /// leak::call(&pool, 8 << 20).blocking()?;
    /// assert_eq!(left.recv(), Ok(Reason::Retired));
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn retire_growth(mut self, bytes: u64) -> Builder {
        self.options.retire_growth = Some(bytes);
        self
    }

    /// Sets the function that makes a new process to fork workers from, if the template of the
    /// present one is gone: because somebody has killed the template, or because the program has
    /// given up rights that the template still has.
    ///
    /// Default: a process that came from [`Process::new`] and was given no descriptor is made
    /// again with the same settings and init functions. The default also holds for a process that
    /// [`renew`](crate::Pool::renew) has set: `remake` is for the process of the builder only.
    ///
    /// If a process cannot be made again, calls that then find no worker fail with
    /// [`ErrorKind::TemplateGone`](crate::ErrorKind::TemplateGone).
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::{Pool, Process};
    /// use nix::sys::signal::{SIGKILL, kill};
    /// use nix::unistd::Pid;
    ///
    /// #[anyfork::call]
    /// fn nothing() {}
    ///
    /// # pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let template = Process::new()?.prepare().blocking()?;
    /// let pid = template.pid().ok_or("a template has a pid")?;
    /// let pool = Pool::builder(template).remake(Process::new).build()?;
    /// kill(Pid::from_raw(pid.try_into()?), SIGKILL)?;
    /// nothing::call(&pool).blocking()?; // in a fork of the new template
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { doctest::main() }
    /// ```
    pub fn remake(
        mut self,
        remake: impl Fn() -> Result<Process> + Send + Sync + 'static,
    ) -> Builder {
        self.remake = Some(Arc::new(remake));
        self
    }

    /// Calls `on_exit` for each worker that has left and was reaped: for a log or a metric.
    ///
    /// ```
    /// # mod doctest {
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    ///
    /// use anyfork::{Pool, Process};
    ///
    /// #[anyfork::call]
    /// fn nothing() {}
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let (log, lines) = mpsc::channel();
    /// let pool = Pool::builder(Process::new()?)
    ///     .on_exit(move |worker| log.send(worker.to_string()).unwrap_or_default())
    ///     .build()?;
    /// nothing::call(&pool).blocking()?;
    /// pool.shutdown(Duration::from_secs(60)).blocking()?;
    /// assert!(lines.recv().is_ok_and(|line| line.contains("left after 1 call (ShutDown)")));
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
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
