//! Starts a [`Process`]: as a worker, as a template, or as another process's.
//! RUNS IN: caller

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use crate::args::given::Name;
use crate::caller::child::Worker;
use crate::caller::child::pending::PendingChild;
use crate::caller::launch::{Launch, Target, sealed};
use crate::caller::process::Process;
use crate::caller::spawn::spec::SpawnSpec;
use crate::caller::spec::{Options, Setup};
use crate::caller::templates::handle::TemplateHandle;
use crate::caller::trace::Trace;
use crate::caller::wait;
use crate::error::Result;
use crate::protocol::request::Role;
use crate::spec::Setting;
use crate::spec::name::FunctionName;

impl Process {
    /// Runs the worker `name` in a child of the template. `name` is the worker's full path, or
    /// any unambiguous tail of it (`greet`, `jobs::greet`).
    ///
    /// The launch is under way when this returns; finish it with `.await` or
    /// [`.blocking()`](Launch::blocking). If this process exists already, because it was forked,
    /// exec'ed or handed over, the worker runs in a further fork of it.
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::{ErrorKind, Process};
    ///
    /// #[anyfork::worker]
    /// fn compress() {}
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let mut worker = Process::new()?.run("compress").blocking()?;
    /// assert!(worker.wait()?.success());
    /// let error = Process::new()?.run("decompress").blocking().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::UnknownWorker);
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    ///
    /// # Errors
    ///
    /// The launch reports all of them: see [`Launch`].
    ///
    /// AnyEvent::Fork: `run`.
    pub fn run(self, name: impl Name) -> Launch<Worker> {
        self.start(name.to_name().into())
    }

    /// Enters the worker whose companion is `T`: the companion's own, whoever else has
    /// a worker of that name.
    #[doc(hidden)]
    pub fn run_companion<T: 'static>(self, name: &str) -> Launch<Worker> {
        self.start(FunctionName::of_companion::<T>(name))
    }

    fn start(self, name: FunctionName<'static>) -> Launch<Worker> {
        let (template, setup, options) = self.into_parts();
        if let Some(error) = setup.error() {
            return Launch::failed(error);
        }
        let trace = Trace::launch(&name.name, || template.pid());
        let pending = start_worker(&template, name, setup, &options, &trace);
        Launch::new(pending, trace)
    }

    /// Creates the process now, and resolves when its preparation has succeeded. Without this,
    /// the first launch from the process creates it, and reports its errors.
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::{ErrorKind, Process};
    ///
    /// #[anyfork::init]
    /// fn load(path: String) -> std::io::Result<()> {
    ///     std::fs::read(path).map(drop)
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let template = load::init(Process::new()?, "/proc/version".into()).prepare().blocking()?;
    /// assert!(template.pid().is_some());
    /// let error = load::init(Process::new()?, "/no/file".into()).prepare().blocking().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InitFailed);
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of a [`Launch`] of a worker, up to the end of the preparation.
    pub fn prepare(self) -> Launch<Process> {
        let deadline = self.materialize();
        let trace = Trace::launch("", || self.base().0.pid());
        let pending = PendingTemplate {
            process: self,
            deadline,
        };
        Launch::new(Ok(pending), trace)
    }

    /// Keeps `count` idle children of this template, its spares, forked in advance, so that a
    /// launch does not wait for a fork. The kernel hands each request to one of the spares, and
    /// the template then forks the next.
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::Process;
    ///
    /// #[anyfork::worker]
    /// fn nothing() {}
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let template = Process::new()?.keep_warm(2);
    /// for _ in 0..10 {
    ///     let mut worker = template.fork().run(nothing::NAME).blocking()?;
    ///     assert!(worker.wait()?.success());
    /// }
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    ///
    /// A spare behaves like a child that is forked on request. If more children are requested at
    /// once than there are spares, the template forks the others on request. With a `count` of 0,
    /// the present spares exit. A [`fork`](Process::fork) that becomes a template itself has no
    /// spares. If a template with spares is prepared further, it becomes another template with as
    /// many spares, which have the new preparation.
    ///
    /// # Errors
    ///
    /// Every launch from this process reports the errors.
    ///
    /// # Caveats
    ///
    /// If the template serves already, this waits for room, as [`fork`](Process::fork) does. Each
    /// spare takes the memory of an idle worker: more spares than your largest burst of launches
    /// waste memory. Spares exit with their template.
    #[must_use = "the process moves: use what this gives back"]
    pub fn keep_warm(mut self, count: usize) -> Process {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let state = self.state_mut();
        state.spares = count;
        // A template that does not exist yet begins with them.
        if !state.is_base || !state.setup.is_empty() {
            state.setup.set(Setting::Spares(count));
            return self;
        }
        let deadline = state.options.deadline();
        if let Err(error) = wait::blocking::keep_warm(&state.base, count, deadline) {
            state.setup.fail(error);
        }
        self
    }

    /// Turns the process into a descriptor, by which it is handed over to another process: send
    /// the descriptor through a worker's socket, and call [`from_fd`](Process::from_fd) there.
    /// The preparation done so far is kept. Both sides may use the template at the same time:
    /// keep a duplicate of the descriptor, or a [`fork`](Process::fork).
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::Process;
    ///
    /// #[anyfork::worker]
    /// fn check(word: String) {
    ///     assert_eq!(word, "prepared");
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let template = Process::new()?.send_arg("prepared");
    /// let descriptor = template.into_fd()?; // can be sent to another process
    ///
    /// let process = Process::from_fd(descriptor)?; // and there:
    /// let mut worker = process.run(check::NAME).blocking()?;
    /// assert!(worker.wait()?.success());
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    ///
    /// # Errors
    ///
    /// The first error of the preparation.
    ///
    /// # Caveats
    ///
    /// Waits until the preparation has succeeded, or for as long as [`timeout`](Process::timeout)
    /// allows: in async code, await [`prepare`](Process::prepare) first.
    ///
    /// AnyEvent::Fork: `to_fh`.
    #[doc(alias = "to_fh")]
    pub fn into_fd(self) -> Result<OwnedFd> {
        let deadline = self.materialize();
        let (base, error) = self.base();
        error.map_or(Ok(()), Err)?;
        wait::blocking::prepared(&base, deadline)?;
        base.share()
    }

    /// The pid; `None` until this process exists and has replied.
    ///
    /// ```
    /// # fn main() -> anyfork::Result<()> {
    /// use anyfork::Process;
    ///
    /// let process = Process::new()?;
    /// assert_eq!(process.pid(), None, "there is no process yet");
    /// let template = process.prepare().blocking()?;
    /// assert!(template.pid().is_some());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// AnyEvent::Fork: `pid`.
    pub fn pid(&self) -> Option<u32> {
        let state = self.state();
        let pid = || state.base.pid();
        state.is_base.then(pid).flatten()
    }
}

/// Asks the template for a worker. The request is sent, or will be when there is room
/// for it.
fn start_worker(
    template: &Arc<TemplateHandle>,
    name: FunctionName<'static>,
    setup: Setup,
    options: &Options,
    trace: &Trace,
) -> Result<PendingChild> {
    let surroundings = setup.surroundings();
    let spec = SpawnSpec {
        role: Role::Worker,
        body: setup.into_body(name, options),
        control: None,
        kill_on_drop: options.kill_on_drop,
        piped: options.piped,
        surroundings,
        bounding_set: None,
        deadline: options.deadline(),
    };
    PendingChild::start(template, spec, trace)
}

/// A template that is being prepared.
pub struct PendingTemplate {
    process: Process,
    deadline: Option<Instant>,
}

impl Target for Process {
    type Blocking = Process;
}

impl sealed::Target for Process {
    type Pending = PendingTemplate;

    fn blocking(pending: PendingTemplate) -> Result<Process> {
        let (base, error) = pending.process.base();
        error.map_or(Ok(()), Err)?;
        wait::blocking::prepared(&base, pending.deadline)?;
        Ok(pending.process)
    }

    #[cfg(feature = "tokio")]
    async fn asynchronous(pending: PendingTemplate) -> Result<Process> {
        let (base, error) = pending.process.base();
        error.map_or(Ok(()), Err)?;
        wait::tokio::prepared(&base, pending.deadline).await?;
        Ok(pending.process)
    }
}
