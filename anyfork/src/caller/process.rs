//! [`Process`]: what is to be started, collected until it is.
//!
//! Nothing is sent before `run` or `fork`. A process that is forked from comes
//! into being then, as a template that has all that was given so far; what is
//! given later makes a new one, forked off the first. So a template never
//! changes, and neither do the workers that run already.

pub(crate) mod new;
pub(crate) mod settings;
pub(crate) mod start;

use std::fmt;
use std::os::fd::OwnedFd;
#[cfg(feature = "plugin")]
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::args::Args;
use crate::args::failure::next_of;
use crate::args::value::{Arg, IntoArg};
use crate::caller::options::Options;
use crate::caller::spec::Setup;
use crate::caller::templates::handle::TemplateHandle;
use crate::error::{Error, ErrorKind};
use crate::spec::{Setting, Step};

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
    base: Arc<TemplateHandle>,
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
    pub(crate) fn with(base: Arc<TemplateHandle>, forked_from: bool) -> Process {
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

    /// Appends an argument: any bytes, any size that memory allows.
    ///
    /// # Errors
    ///
    /// A value that cannot become an argument is reported by the launch
    /// ([`ErrorKind::BadArgument`]), with its position among the arguments since the
    /// last fork.
    ///
    /// Seed: `send_arg`.
    #[must_use = "the process is consumed and given back"]
    pub fn send_arg(mut self, arg: impl IntoArg) -> Process {
        self.setup().arg(arg.into_arg());
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
    pub fn send_args<I>(mut self, args: I) -> Process
    where
        I: IntoIterator,
        I::Item: IntoArg,
    {
        let mut args = args.into_iter();
        let setup = self.setup();
        while let Some(arg) = next_of(&mut args).transpose() {
            setup.arg(arg.and_then(IntoArg::into_arg));
        }
        self
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
        self.setup().init(name.into().into(), args.into());
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

    /// The template that this process is, for a launch of its preparation, and
    /// what went wrong before.
    pub(crate) fn base(&self) -> (Arc<TemplateHandle>, Option<Error>) {
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
    pub(crate) fn fail(mut self, error: Error) -> Process {
        self.setup().fail(error);
        self
    }

    /// What is to be forked from, what was collected, and what holds for all.
    pub(crate) fn into_parts(self) -> (Arc<TemplateHandle>, Setup, Options) {
        let state = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        (state.base, state.setup, state.options)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn setup(&mut self) -> &mut Setup {
        &mut self.state_mut().setup
    }

    pub(crate) fn options(&mut self) -> &mut Options {
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
        let renews = self.forked_from && self.warm > 0;
        if renews {
            setup.set(Setting::Spares(self.warm));
        }
        // Nobody else can start anything from the one before.
        let is_last = Arc::strong_count(&self.base) == 1;
        match TemplateHandle::fork(&self.base, setup, &self.options) {
            Ok(template) => {
                if renews && is_last {
                    // Its spares do not know the new preparation. Where this is
                    // refused, they stay as long as it does.
                    let _ = self.base.keep_warm(0, self.options.deadline());
                }
                self.base = Arc::new(template);
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
