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
    /// The lines of a stream come in their order, each with the call that it was printed for. One
    /// thread of the pool runs the callback, and may be a moment behind: the result of a call
    /// does not wait for the callback. A [`shutdown`](crate::Pool::shutdown) does.
    ///
    /// A line that is longer than 64 KiB comes in pieces, and a last line without an end comes
    /// when its worker is gone. If the callback panics, its line is lost.
    ///
    /// # Caveats
    ///
    /// Up to 1 MiB of lines wait for a slow callback; beyond that, workers that print wait, too.
    /// If the callback takes longer than a second for one line, lines that do not fit are left
    /// out ([`Printed::left_out`]), and calls go on.
    ///
    /// The C library keeps what is printed to a pipe until its buffer is full, or the process
    /// ends: with `fflush` after each call, the lines come in time.
    ///
    /// Each stream costs two descriptors at a start, one of which stays open for as long as
    /// the worker, or a process that it has left behind, has the other end.
    pub fn stdout(mut self, on_line: impl Fn(&Printed) + Send + Sync + 'static) -> Builder {
        self.printed.stdout = Some(Box::new(on_line));
        self
    }

    /// Calls `on_line` with each line that workers print to their standard error, such as the
    /// message of a panic: as [`stdout`](Builder::stdout) does.
    ///
    /// ```
    /// # mod doctest {
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    ///
    /// use anyfork::{Pool, Process};
    ///
    /// #[anyfork::call]
    /// fn find(user: String) {
    ///     panic!("there is no {user}");
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let (lines, log) = mpsc::channel();
    /// let pool = Pool::builder(Process::new()?)
    ///     .stderr(move |line| lines.send(line.to_string()).unwrap_or_default())
    ///     .build()?;
    /// find::call(&pool, "Ada".into()).blocking().unwrap_err();
    /// pool.shutdown(Duration::from_secs(60)).blocking()?;
    /// assert!(log.try_iter().any(|line| line.ends_with("there is no Ada")));
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn stderr(mut self, on_line: impl Fn(&Printed) + Send + Sync + 'static) -> Builder {
        self.printed.stderr = Some(Box::new(on_line));
        self
    }

    /// Sends the spans and events of workers to this process: to the subscriber that is set where
    /// a call is made, inside the span `call` of that call (target `anyfork`). They keep their
    /// level, target, fields, file and line. What a worker reports outside its calls, for example
    /// in an init function, is in a span `worker`.
    ///
    /// ```
    /// # mod doctest {
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    ///
    /// use anyfork::{Pool, Process};
    /// # use tracing::span::{Attributes, Id, Record};
    /// # use tracing::{Event, Metadata, Subscriber};
    /// #
    /// # struct Log(mpsc::Sender<String>);
    /// #
    /// # impl Subscriber for Log {
    /// #     fn enabled(&self, _: &Metadata<'_>) -> bool { true }
    /// #     fn new_span(&self, _: &Attributes<'_>) -> Id { Id::from_u64(1) }
    /// #     fn record(&self, _: &Id, _: &Record<'_>) {}
    /// #     fn record_follows_from(&self, _: &Id, _: &Id) {}
    /// #     fn event(&self, event: &Event<'_>) {
    /// #         event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
    /// #             let _ = self.0.send(format!("{field}={value:?}"));
    /// #         });
    /// #     }
    /// #     fn enter(&self, _: &Id) {}
    /// #     fn exit(&self, _: &Id) {}
    /// # }
    ///
    /// #[anyfork::call]
    /// fn resize(width: u32) {
    ///     tracing::info!(width, "in the log of the program that has called");
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// // The program's subscriber comes first. This one sends each field to a channel.
    /// let (log, fields) = mpsc::channel();
    /// tracing::subscriber::set_global_default(Log(log)).expect("it is the first");
    /// let pool = Pool::builder(Process::new()?).tracing().build()?;
    /// resize::call(&pool, 40).blocking()?;
    /// pool.shutdown(Duration::from_secs(60)).blocking()?;
    /// assert!(fields.try_iter().any(|field| field == "width=40"));
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    ///
    /// A worker sends the levels that the program's subscriber wanted when the worker was
    /// started; the program's filters then decide. An event arrives a moment later; a
    /// [`shutdown`](crate::Pool::shutdown) waits until all have arrived. If the program is
    /// behind, the worker waits, as for a line of [`stdout`](Builder::stdout).
    ///
    /// The values of one event are cut after 16 KiB, and say so. An event is left out if the
    /// subscriber does not return for a second, or if there are more than 4,096 open spans or
    /// places in the source. A warning tells how many were left out.
    ///
    /// # Errors
    ///
    /// If the template has set a subscriber, for example in a preload, workers cannot be started
    /// ([`ErrorKind::InitFailed`](crate::ErrorKind::InitFailed)), because a process can have only
    /// one.
    ///
    /// # Caveats
    ///
    /// If a worker has several calls at once, everything goes into the span of the call that it
    /// got first.
    ///
    /// At most 32 fields of a span or an event are sent. Entering a span is not reported, nor is
    /// `follows_from`. What a plugin reports is not sent at all, because the plugin has its own
    /// copy of `tracing`.
    #[cfg(feature = "tracing")]
    pub fn tracing(mut self) -> Builder {
        self.printed.home = Some(Home::here());
        self
    }
}
