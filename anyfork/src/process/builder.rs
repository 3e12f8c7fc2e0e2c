//! [`Process`]: what is to be started, collected until it is.
//!
//! Nothing is sent before `run` or `fork`. A process that is forked from comes
//! into being then, as a template that has all that was given so far; what is
//! given later makes a new one, forked off the first. So a template never
//! changes, and neither do the workers that run already.

use std::fmt;
use std::os::fd::OwnedFd;
#[cfg(feature = "plugin")]
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::child::Worker;
use super::launch::Launch;
use super::options::Options;
use super::origin::Origin;
use super::setup::Setup;
use crate::args::{Arg, Args, IntoArg};
use crate::error::{Error, ErrorKind, Result};
use crate::settings::Setting;
use crate::step::Step;

/// A process in preparation.
///
/// Collects arguments and descriptors, and then enters a worker with
/// [`run`](Process::run), or serves as the template of others with
/// [`fork`](Process::fork). It is `Send + Sync`: one template may be forked from
/// many threads at once, without a lock that waits for the template.
///
/// Dropped before `run`, it leaves no process behind.
///
/// ```
/// # mod doctest {
/// use std::io::Read;
/// use std::os::unix::net::UnixStream;
/// use anyfork::Process;
///
/// #[anyfork::worker]
/// fn greet(mut socket: UnixStream, greeting: String, name: String) -> std::io::Result<()> {
///     use std::io::Write;
///     write!(socket, "{greeting}, {name}")
/// }
///
/// #[anyfork::early]
/// fn preload() {}
///
/// # pub fn main() -> anyfork::Result<()> {
/// let template = Process::new()?.send_arg("hello");
/// for name in ["Ada", "Grace"] {
///     let mut worker = template.fork().send_arg(name).run(greet::NAME).blocking()?;
///     let mut text = String::new();
///     worker.socket.read_to_string(&mut text)?;
///     assert_eq!(text, format!("hello, {name}"));
///     assert!(worker.wait()?.success());
/// }
/// # Ok(())
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
///
/// Seed: `AnyEvent::Fork`, "FUNCTIONS".
#[doc(alias = "AnyEvent::Fork")]
pub struct Process(Mutex<State>);

struct State {
    /// The template that this process is, or is to be, forked from.
    base: Arc<Origin>,
    /// Whether `base` is this very process.
    forked_from: bool,
    /// What is given since, and what went wrong.
    setup: Setup,
    /// How many spares it was asked to keep, as the template that it is or is to be.
    warm: u32,
    /// What holds for this process and all that are forked from it.
    options: Options,
}

impl Process {
    /// A process that is to be forked from `base`, or that is `base`.
    pub(super) fn with(base: Arc<Origin>, forked_from: bool) -> Process {
        Process(Mutex::new(State {
            base,
            forked_from,
            setup: Setup::default(),
            warm: 0,
            options: Options::default(),
        }))
    }

    /// A child of this process, with all arguments, descriptors and preparation
    /// so far. Any depth.
    ///
    /// The first fork brings this process into being. It ends when the last
    /// [`Process`] that was forked from it, directly or not, is gone, and its
    /// children have ended.
    ///
    /// # Errors
    ///
    /// What goes wrong is reported by every launch from this process.
    ///
    /// # Caveats
    ///
    /// Sends one message and does not wait for the new process. It waits for
    /// room, though, if the template has not read what was sent before: hundreds
    /// of small requests, or a few with some 60 KB of arguments, while it runs a
    /// long init function. In async code, await [`prepare`](Process::prepare) of
    /// the template first.
    ///
    /// Seed: `fork`.
    #[must_use = "the child is not started before `run`"]
    pub fn fork(&self) -> Process {
        let mut state = self.state();
        state.come_into_being();
        Process(Mutex::new(State {
            base: Arc::clone(&state.base),
            forked_from: false,
            setup: Setup::failed(state.setup.error()),
            warm: 0,
            options: state.options.clone(),
        }))
    }

    /// Appends an argument: any octets, any size that memory allows.
    ///
    /// # Errors
    ///
    /// A value that cannot be converted is reported by the launch.
    ///
    /// Seed: `send_arg`.
    #[must_use = "the process is consumed and given back"]
    pub fn send_arg(mut self, arg: impl IntoArg) -> Process {
        let setup = self.setup();
        match arg.into_arg() {
            Ok(arg) => setup.push(Step::Arg(arg)),
            Err(error) => setup.fail(error),
        }
        self
    }

    /// Appends arguments.
    ///
    /// ```no_run
    /// # fn main() -> anyfork::Result<()> {
    /// let process = anyfork::Process::new()?
    ///     .send_args(["a", "b"])
    ///     .send_args(anyfork::args![1, "two"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Seed: `send_arg`.
    #[must_use = "the process is consumed and given back"]
    pub fn send_args<I>(self, args: I) -> Process
    where
        I: IntoIterator,
        I::Item: IntoArg,
    {
        args.into_iter().fold(self, Process::send_arg)
    }

    /// Appends a descriptor. Ownership moves; it is closed here once it is
    /// delivered.
    ///
    /// Seed: `send_fh`.
    #[doc(alias = "send_fh")]
    #[must_use = "the process is consumed and given back"]
    pub fn send_fd(mut self, fd: impl Into<OwnedFd>) -> Process {
        self.setup().push(Step::Arg(Arg::Fd(fd.into())));
        self
    }

    /// Appends descriptors, any number.
    ///
    /// Seed: `send_fh`.
    #[doc(alias = "send_fh")]
    #[must_use = "the process is consumed and given back"]
    pub fn send_fds<I>(mut self, fds: I) -> Process
    where
        I: IntoIterator,
        I::Item: Into<OwnedFd>,
    {
        for fd in fds {
            self.setup().push(Step::Arg(Arg::Fd(fd.into())));
        }
        self
    }

    /// Runs the init function `name` in the process, after what was given
    /// before: its full path, or any unambiguous tail of it.
    ///
    /// ```
    /// # mod doctest {
    /// use std::sync::OnceLock;
    /// use anyfork::Process;
    ///
    /// static MODEL: OnceLock<Vec<u8>> = OnceLock::new();
    ///
    /// #[anyfork::init]
    /// fn load(size: usize) {
    ///     MODEL.set(vec![1; size]).expect("loaded once");
    /// }
    ///
    /// #[anyfork::worker]
    /// fn check(_socket: std::os::fd::OwnedFd) {
    ///     assert_eq!(MODEL.get().map(Vec::len), Some(1000));
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// // Loaded once, shared by all that are forked from it:
    /// let template = Process::new()?.init(load::NAME, anyfork::args![1000]);
    /// for _ in 0..3 {
    ///     let mut worker = template.fork().run(check::NAME).blocking()?;
    ///     assert!(worker.wait()?.success());
    /// }
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    ///
    /// Init functions run in the order given, in the process that later runs a
    /// worker or is forked from, once in each process.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InitFailed`], with what the function said, from every launch
    /// from this process; [`ErrorKind::UnknownWorker`], `AmbiguousName` and
    /// `BadArgument` as for a worker. No process is left.
    ///
    /// Seed: `eval`.
    #[doc(alias = "eval")]
    #[must_use = "the process is consumed and given back"]
    pub fn init(mut self, name: impl Into<String>, args: impl Into<Args>) -> Process {
        let (name, args) = (name.into(), args.into());
        self.setup().push(Step::Init { name, args });
        self
    }

    /// Loads a plugin into this process only, after what was given before: a
    /// `cdylib` that calls [`export_plugin!`](crate::export_plugin). Its workers
    /// and init functions can be named then like the program's own.
    ///
    /// A path with a `/` in it is taken relative to the caller's current
    /// directory; a bare name is looked for where dlopen(3) does.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PluginFailed`], with the
    /// reason, from every launch from this process: the file is missing, it is no
    /// plugin of anyfork, or one for another version of the interface.
    ///
    /// Seed: `require`.
    #[cfg(feature = "plugin")]
    #[must_use = "the process is consumed and given back"]
    pub fn require(mut self, path: impl AsRef<Path>) -> Process {
        let path = path.as_ref();
        let absolute = match path.as_os_str().as_encoded_bytes().contains(&b'/') {
            true => std::path::absolute(path),
            false => Ok(path.to_owned()),
        };
        match absolute {
            Ok(path) => self.setup().push(Step::Require(path)),
            Err(error) => {
                let message = format!("find the plugin `{}`", path.display());
                self.setup().fail(Error::io(message, error));
            }
        }
        self
    }

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
        let (base, setup, options) = self.into_parts();
        match setup.error() {
            Some(error) => Launch::failed(error),
            None => Launch::start(&base, name.as_ref(), setup, &options),
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
    /// Each takes the memory of an idle worker. More than are started at about
    /// the same time are of no use. Spares go with their template.
    #[must_use = "the process is consumed and given back"]
    pub fn keep_warm(mut self, count: usize) -> Process {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let state = self.state_mut();
        state.warm = count;
        // A template that is not there yet begins with them.
        if !state.forked_from || !state.setup.is_empty() {
            state.setup.set(Setting::Warm(count));
        } else if let Err(error) = state.base.keep_warm(count) {
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

    /// The template that this process is, for a launch of its preparation, and
    /// what went wrong before.
    pub(super) fn base(&self) -> (Arc<Origin>, Option<Error>) {
        let state = self.state();
        (Arc::clone(&state.base), state.setup.error())
    }

    /// Makes the launch fail: the attributes' code uses it where a call cannot
    /// mean anything.
    #[doc(hidden)]
    #[must_use]
    pub fn refuse(self, message: &str) -> Process {
        self.fail(Error::new(ErrorKind::BadArgument, message))
    }

    /// Makes the launch fail.
    pub(super) fn fail(mut self, error: Error) -> Process {
        self.setup().fail(error);
        self
    }

    /// What is to be forked from, what was collected, and what holds for all.
    pub(super) fn into_parts(self) -> (Arc<Origin>, Setup, Options) {
        let state = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        (state.base, state.setup, state.options)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn setup(&mut self) -> &mut Setup {
        &mut self.state_mut().setup
    }

    pub(super) fn options(&mut self) -> &mut Options {
        &mut self.state_mut().options
    }

    fn state_mut(&mut self) -> &mut State {
        let state = self.0.get_mut();
        state.unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Unless it is there already, replaces `base` by a fork of it that is
    /// prepared as it was collected so far.
    fn come_into_being(&mut self) {
        if self.setup.error().is_some() || (self.forked_from && self.setup.is_empty()) {
            return;
        }
        let mut setup = std::mem::take(&mut self.setup);
        if self.forked_from && self.warm > 0 {
            setup.set(Setting::Warm(self.warm));
        }
        match Origin::fork(&self.base, setup, &self.options) {
            Ok(origin) => {
                self.base = Arc::new(origin);
                self.forked_from = true;
            }
            Err(error) => self.setup.fail(error),
        }
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Process")
            .field("forked_from", &state.forked_from)
            .field("setup", &state.setup)
            .finish_non_exhaustive()
    }
}
