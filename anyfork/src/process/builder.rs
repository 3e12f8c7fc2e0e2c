//! [`Process`]: what is to be started, collected until it is.
//!
//! Nothing is sent before `run` or `fork`. A process that is forked from comes
//! into being then, as a template that has all that was given so far; what is
//! given later makes a new one, forked off the first. So a template never
//! changes, and neither do the workers that run already.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::child::Worker;
use super::launch::Launch;
use super::origin::{self, Origin};
use crate::args::{Arg, Args, IntoArg};
use crate::error::{Error, ErrorKind, Result};

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
///     let mut worker = template.fork().send_arg(name).run("greet").blocking()?;
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
    args: Args,
    /// The first thing that went wrong; the launch reports it.
    error: Option<Error>,
}

impl Process {
    /// A fork of the default template.
    ///
    /// That is the template that `#[anyfork::early]` forked before `main`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TemplateGone`] if there is none; the message says why.
    ///
    /// Seed: `new`.
    pub fn new() -> Result<Process> {
        Process::early()
    }

    /// A fork of the early template.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TemplateGone`] or [`ErrorKind::ForkFailed`], with the reason
    /// that there is none: nothing in the program is annotated with
    /// `#[anyfork::early]`, threads existed before `main`, the fork failed, a
    /// preload function failed, or the template has been killed.
    ///
    /// Seed: `$AnyEvent::Fork::EARLY`.
    #[doc(alias = "EARLY")]
    pub fn early() -> Result<Process> {
        Ok(Process::forked_from(origin::early()?))
    }

    fn forked_from(base: Arc<Origin>) -> Process {
        Process(Mutex::new(State {
            base,
            forked_from: false,
            args: Args::new(),
            error: None,
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
    /// Sends one message and does not wait for the new process, unless more
    /// than some 60,000 descriptors were given to it.
    ///
    /// Seed: `fork`.
    #[must_use = "the child is not started before `run`"]
    pub fn fork(&self) -> Process {
        let mut state = self.state();
        if !state.forked_from || state.args.len() > 0 {
            state.come_into_being();
        }
        Process(Mutex::new(State {
            base: Arc::clone(&state.base),
            forked_from: false,
            args: Args::new(),
            error: state.error.clone(),
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
        let state = self.state_mut();
        match arg.into_arg() {
            Ok(arg) => state.args.extend([arg]),
            Err(error) => state.fail(error),
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
        self.state_mut().args.extend([Arg::Fd(fd.into())]);
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
        let fds = fds.into_iter().map(|fd| Arg::Fd(fd.into()));
        self.state_mut().args.extend(fds);
        self
    }

    /// Enters the worker `name`, in a child of the template: its full path, or
    /// any unambiguous tail of it (`greet`, `jobs::greet`).
    ///
    /// The launch is under way when this returns; finish it with `.await` or
    /// [`.blocking()`](Launch::blocking). On a process that was forked from
    /// before, the worker runs in a further fork of it.
    ///
    /// # Errors
    ///
    /// All come from the launch: see there.
    ///
    /// Seed: `run`.
    pub fn run(self, name: impl AsRef<str>) -> Launch<Worker> {
        let state = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        match state.error {
            Some(error) => Launch::failed(error),
            None => Launch::start(&state.base, name.as_ref(), state.args),
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

    /// Makes the launch fail: the attributes' code uses it where a call cannot
    /// mean anything.
    #[doc(hidden)]
    #[must_use]
    pub fn refuse(mut self, message: &str) -> Process {
        let error = Error::new(ErrorKind::BadArgument, message);
        self.state_mut().fail(error);
        self
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&mut self) -> &mut State {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Replaces `base` by a fork of it that has the arguments so far.
    fn come_into_being(&mut self) {
        if self.error.is_some() {
            return;
        }
        match Origin::fork(&self.base, std::mem::take(&mut self.args)) {
            Ok(origin) => {
                self.base = Arc::new(origin);
                self.forked_from = true;
            }
            Err(error) => self.fail(error),
        }
    }

    fn fail(&mut self, error: Error) {
        self.error.get_or_insert(error);
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Process")
            .field("forked_from", &state.forked_from)
            .field("args", &state.args)
            .field("error", &state.error)
            .finish_non_exhaustive()
    }
}
