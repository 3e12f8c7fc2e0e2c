//! What brings a process into being: as a worker, as a template, or in another
//! process's hands.

use std::os::fd::OwnedFd;

use crate::caller::child::Worker;
use crate::caller::launch::Launch;
use crate::caller::process::Process;
use crate::error::Result;
use crate::spec::Setting;
use crate::spec::name::FunctionName;

impl Process {
    /// Enters the worker `name`, in a child of the template: its full path, or
    /// any unambiguous tail of it (`greet`, `jobs::greet`).
    ///
    /// The launch is under way when this returns; finish it with `.await` or
    /// [`.blocking()`](Launch::blocking). On a process that exists already (it
    /// was forked from, exec'ed, or handed over), the worker runs in a further
    /// fork of it.
    ///
    /// # Errors
    ///
    /// All come from the launch: see there.
    ///
    /// Seed: `run`.
    pub fn run(self, name: impl AsRef<str>) -> Launch<Worker> {
        self.start(name.as_ref().to_owned().into())
    }

    /// Enters the worker whose companion is `T`: the companion's own, whoever else has
    /// a worker of that name.
    #[doc(hidden)]
    pub fn run_companion<T: 'static>(self, name: &str) -> Launch<Worker> {
        self.start(FunctionName::of_companion::<T>(name))
    }

    fn start(self, name: FunctionName<'static>) -> Launch<Worker> {
        let (base, setup, options) = self.into_parts();
        match setup.error() {
            Some(error) => Launch::failed(error),
            None => Launch::start(&base, name, setup, &options),
        }
    }

    /// Creates the process now, and resolves when its preparation has succeeded.
    /// Without it, the first launch from it creates it and reports.
    ///
    /// # Errors
    ///
    /// As a [`Launch`] of a worker, up to its preparation.
    pub fn prepare(self) -> Launch<Process> {
        let mut state = self.state();
        let deadline = state.options.deadline();
        state.come_into_being();
        drop(state);
        Launch::preparing(self, deadline)
    }

    /// As a template, keeps `count` idle children forked in advance: a launch then
    /// waits for no fork. The kernel hands each request to one of them, and the
    /// template forks the next when it has been taken.
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
    /// All that holds for a child that is forked when it is asked for holds for
    /// these, too. If more are asked for at once, the others are forked then. 0
    /// ends those that there are. It is not inherited by a [`fork`](Process::fork)
    /// that becomes a template itself, and a template that is prepared further is
    /// another one, with as many spares of its own that know the new preparation.
    ///
    /// # Errors
    ///
    /// What goes wrong is reported by every launch from this process.
    ///
    /// # Caveats
    ///
    /// On a template that serves already this waits for room, as
    /// [`fork`](Process::fork) does. Each spare takes the memory of an idle worker.
    /// More than are started at about
    /// the same time are of no use. Spares go with their template.
    #[must_use = "the process is consumed and given back"]
    pub fn keep_warm(mut self, count: usize) -> Process {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let state = self.state_mut();
        state.warm = count;
        // A template that is not there yet begins with them.
        if !state.forked_from || !state.setup.is_empty() {
            state.setup.set(Setting::Spares(count));
        } else if let Err(error) = state.base.keep_warm(count, state.options.deadline()) {
            state.setup.fail(error);
        }
        self
    }

    /// Hands the process over to another process: a descriptor to send through
    /// a worker's socket, for [`from_fd`](Process::from_fd) there. Preparation
    /// done so far stays with it. Both sides may go on using one template at the
    /// same time: keep a clone of the descriptor, or a [`fork`](Process::fork).
    ///
    /// # Errors
    ///
    /// What went wrong in its preparation.
    ///
    /// # Caveats
    ///
    /// Waits until the preparation has succeeded, or for as long as
    /// [`timeout`](Process::timeout) allows: in async code, await
    /// [`prepare`](Process::prepare) before.
    ///
    /// Seed: `to_fh`.
    #[doc(alias = "to_fh")]
    pub fn into_fd(self) -> Result<OwnedFd> {
        let deadline = self.state().options.deadline();
        self.state().come_into_being();
        let (base, error) = self.base();
        match error {
            Some(error) => Err(error),
            None => base.wait_prepared(deadline).and_then(|()| base.share()),
        }
    }

    /// The pid, once this process exists: after it was forked from, and has
    /// answered.
    ///
    /// Seed: `pid`.
    pub fn pid(&self) -> Option<u32> {
        let state = self.state();
        let pid = || state.base.pid();
        state.forked_from.then(pid).flatten()
    }
}
