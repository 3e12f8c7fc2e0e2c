//! The settings of a pool for what its workers print and report.
//! RUNS IN: caller

use crate::pool::builder::Builder;
use crate::pool::logs::printed::Printed;
#[cfg(feature = "tracing")]
use crate::pool::trace::Home;

impl Builder {
    /// Calls `on_line` with each line that workers print to their standard output: from Rust
    /// code, from C libraries, and from programs that they start.
    ///
    /// ```
    /// # mod doctest {
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    ///
    /// use anyfork::{Pool, Process};
    ///
    /// #[anyfork::call]
    /// fn resize(width: u32) {
    ///     println!("the width is {width}");
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let (lines, log) = mpsc::channel();
    /// let pool = Pool::builder(Process::new()?)
    ///     .stdout(move |line| {
    ///         let _ = lines.send((line.pid(), line.call(), line.to_string()));
    ///     })
    ///     .build()?;
    /// let call = resize::call(&pool, 40);
    /// let id = call.id();
    /// call.blocking()?;
    /// pool.shutdown(Duration::ZERO).blocking()?;
    ///
    /// let (pid, call, text) = log.recv().expect("one line");
    /// assert!(pid > 0);
    /// assert_eq!((call, &text[..]), (Some(id), "the width is 40"));
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    ///
    /// The lines of a stream come in their order, each with the call that it was printed for,
    /// from one thread of the pool's. It may be a moment behind: the result of a call does
    /// not wait for the callback. A [`shutdown`](crate::Pool::shutdown) does.
    ///
    /// A line that is longer than 64 KiB comes in pieces, and one that has no end comes when
    /// its worker is gone. A panic in the callback costs its line.
    ///
    /// # Caveats
    ///
    /// Up to 1 MiB of lines wait for a callback that is slow; then workers that print wait,
    /// too. If one line takes it longer than a second, what does not fit is left out
    /// ([`Printed::left_out`]), and calls go on.
    ///
    /// The C library keeps what is printed to a pipe until its buffer is full, or the process
    /// ends: `fflush` after each call gives lines in their time.
    ///
    /// Each stream costs two descriptors at a start, one of which stays open for as long as
    /// the worker, or a process that it has left behind, has the other end.
    pub fn stdout(mut self, on_line: impl Fn(&Printed) + Send + Sync + 'static) -> Builder {
        self.printed.stdout = Some(Box::new(on_line));
        self
    }

    /// Calls `on_line` with each line that workers print to their standard error, such as the
    /// message of a panic: as [`stdout`](Builder::stdout) does.
    pub fn stderr(mut self, on_line: impl Fn(&Printed) + Send + Sync + 'static) -> Builder {
        self.printed.stderr = Some(Box::new(on_line));
        self
    }

    /// Brings the spans and events of workers home: to the subscriber that is set where a
    /// call is made, inside the span `call` of that call (target `anyfork`), with their
    /// level, target, fields, file and line. What a worker does beside its calls, as in an
    /// init function, is in a span `worker`.
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::{Pool, Process};
    ///
    /// #[anyfork::call]
    /// fn resize(width: u32) {
    ///     tracing::info!(width, "in the log of the program that has called");
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// // The program's subscriber is set before, as by `tracing_subscriber::fmt::init()`.
    /// let pool = Pool::builder(Process::new()?).tracing().build()?;
    /// resize::call(&pool, 40).blocking()?;
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    ///
    /// A worker sends the levels that the program's subscriber wanted when the worker was
    /// started; the program's filters then decide. An event comes a moment later, and a
    /// [`shutdown`](crate::Pool::shutdown) waits until all are there. Where the program is
    /// behind, the worker waits, as for a line of [`stdout`](Builder::stdout).
    ///
    /// Values are cut after 16 KiB an event, and say so. An event that has to be left out,
    /// because the subscriber does not return for a second, or there are more than 4,096 open
    /// spans or places in the source, is counted in a warning.
    ///
    /// # Errors
    ///
    /// A worker whose template has set a subscriber, as in a preload, cannot be started
    /// ([`ErrorKind::InitFailed`](crate::ErrorKind::InitFailed)): there is one for a process.
    ///
    /// # Caveats
    ///
    /// Of several calls that a worker has at once, all goes into the span of the one that it
    /// got first.
    ///
    /// At most 32 fields of a span or an event come. That a span is entered does not, nor
    /// `follows_from`. What a plugin reports stays there: it has a `tracing` of its own.
    #[cfg(feature = "tracing")]
    pub fn tracing(mut self) -> Builder {
        self.printed.home = Some(Home::here());
        self
    }
}
