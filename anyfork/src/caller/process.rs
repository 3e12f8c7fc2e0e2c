//! [`Process`]: collects what a process is to be until it is started.
//! RUNS IN: caller
//!
//! Nothing is sent before `run`, `fork` or `prepare`. A fork makes a template that has
//! everything that was collected. What is collected later makes a further template, forked
//! off the first: neither a template nor a running worker ever changes.

pub(crate) mod attributes;
mod collect;
pub(crate) mod fork;
pub(crate) mod init_args;
pub(crate) mod new;
#[cfg(feature = "pool")]
pub(crate) mod origin;
#[cfg(feature = "pool")]
pub(crate) mod remake;
pub(crate) mod settings;
pub(crate) mod start;
mod state;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::caller::process::state::State;
use crate::caller::spec::{Options, Setup};
use crate::caller::templates::handle::TemplateHandle;
use crate::error::{Error, ErrorKind};

/// A process in preparation.
///
/// It is in one of three states:
///
/// 1. **Collecting.** There is no process yet: arguments, descriptors, settings and init
///    functions are only noted. A `Process` that is dropped now leaves nothing behind.
/// 2. **A template**, after the first [`fork`](Process::fork), or [`prepare`](Process::prepare):
///    the process exists, has what was collected, and waits to be forked. What is collected after
///    that is for a further process, which is forked from the template.
/// 3. **Consumed**: it has become a worker ([`run`](Process::run)), a program
///    ([`exec`](Process::exec)), a descriptor ([`into_fd`](Process::into_fd)), or the template of
///    a [`Pool`](crate::Pool). This is why the methods of a `Process` take it by value. (A
///    [`Command`](crate::Command) can be started again, so its methods borrow it, as std's do.)
///
/// A `Process` is `Send + Sync`: many threads may fork one template at once, without a lock that
/// is held while the template works.
///
/// # Two stages
///
/// What is set before `fork` belongs to the template, and all its forks inherit it; what is set
/// after `fork` belongs to that fork alone. In each process, the settings are applied first; then
/// the init functions run, with the limits and as the [user](Process::uid) that were set. So code
/// that needs root's rights goes into an init function of the template, and `uid` is set after
/// `fork`. Here, a limit is set for one fork alone:
///
/// ```
/// # fn main() -> anyfork::Result<()> {
/// use anyfork::{Process, Resource};
///
/// let template = Process::new()?.env("COLOR", "red");
/// let process = template.fork().rlimit(Resource::NOFILE, 20, 20);
/// let show = ["-c", "ulimit -n; echo $COLOR"];
/// let output = process.exec("sh").args(show).output().blocking()?;
/// assert_eq!(output.stdout, b"20\nred\n");
/// let output = template.fork().exec("sh").args(show).output().blocking()?;
/// assert_ne!(output.stdout, b"20\nred\n"); // no limit of this one
/// # Ok(())
/// # }
/// ```
///
/// # Rights
///
/// When the program gives up rights, its default template is replaced (see
/// [`early`](macro@crate::early)). A template of your own is not replaced: it serves every
/// process that holds it and runs with the template's user id, or as root. So a program that is
/// about to give up rights other than its user should drop such a template first.
///
/// # Example
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
/// AnyEvent::Fork: `AnyEvent::Fork`, "FUNCTIONS".
#[doc(alias = "AnyEvent::Fork")]
pub struct Process(Mutex<State>);

impl Process {
    /// A process that will be forked from `base`, or that is `base`.
    pub(crate) fn with(base: Arc<TemplateHandle>, is_base: bool) -> Process {
        Process(Mutex::new(State {
            base,
            is_base,
            setup: Setup::default(),
            spares: 0,
            options: Options::default(),
            #[cfg(feature = "pool")]
            origin: None,
        }))
    }

    /// Forks this process: the child has all arguments, descriptors and preparation so far. A
    /// child may be forked again, to any depth.
    ///
    /// The first fork creates this process. The process exits once this [`Process`] and all that
    /// were forked from it, directly or not, are dropped, and its children have exited.
    ///
    /// # Errors
    ///
    /// Every launch from this process reports the errors of the fork.
    ///
    /// # Caveats
    ///
    /// Sends one message and does not wait for the new process. But it waits for room if a
    /// template that runs a long init function has not read the earlier messages: hundreds of
    /// small requests, or a few with some 60 KB of arguments each. In async code, await
    /// [`prepare`](Process::prepare) of the template first.
    ///
    /// AnyEvent::Fork: `fork`.
    #[must_use = "the child is not started before `run`"]
    pub fn fork(&self) -> Process {
        let mut state = self.state();
        state.materialize();
        Process(Mutex::new(State {
            base: Arc::clone(&state.base),
            is_base: false,
            setup: Setup::failed(state.setup.error()),
            spares: 0,
            options: state.options.clone(),
            #[cfg(feature = "pool")]
            origin: state.origin.clone(),
        }))
    }

    /// Creates the template that this process is to be, unless it exists, and returns the
    /// deadline of its preparation.
    fn materialize(&self) -> Option<Instant> {
        let mut state = self.state();
        let deadline = state.options.deadline();
        state.materialize();
        deadline
    }

    /// The template that this process is or will be forked from, and the first error.
    pub(crate) fn base(&self) -> (Arc<TemplateHandle>, Option<Error>) {
        let state = self.state();
        (Arc::clone(&state.base), state.setup.error())
    }

    /// Makes the launch fail: the attributes' code calls it where a call has no meaning.
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

    /// The template to be forked, and what was collected.
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

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Process")
            .field("is_base", &state.is_base)
            .field("setup", &state.setup)
            .finish_non_exhaustive()
    }
}
