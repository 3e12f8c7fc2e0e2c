//! [`Process`]: collects what a process is to be until it is started.
//! RUNS IN: caller
//!
//! Nothing is sent before `run`, `fork` or `prepare`. A fork makes a template that has
//! everything that was collected. What is collected later makes a further template, forked
//! off the first: neither a template nor a running worker ever changes.

pub(crate) mod attributes;
pub(crate) mod fork;
pub(crate) mod init_args;
mod inner;
pub(crate) mod new;
#[cfg(feature = "pool")]
pub(crate) mod origin;
#[cfg(feature = "pool")]
pub(crate) mod remake;
pub(crate) mod settings;
pub(crate) mod start;
mod state;

use std::fmt;
#[cfg(feature = "plugin")]
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::args::Args;
use crate::args::failure::next_of;
use crate::args::given::{Descriptor, Name};
use crate::args::value::{Arg, IntoArg};
use crate::caller::process::state::State;
use crate::caller::spec::Setup;
#[cfg(feature = "plugin")]
use crate::error::Error;
use crate::spec::Step;

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

    /// Appends an argument: any bytes, any size that memory allows.
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::Process;
    ///
    /// #[anyfork::worker]
    /// fn check(name: String, count: u32) {
    ///     assert_eq!((&name[..], count), ("Ada", 3));
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let mut worker = Process::new()?.send_arg("Ada").send_arg(3).run(check::NAME).blocking()?;
    /// assert!(worker.wait()?.success());
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    ///
    /// # Errors
    ///
    /// The launch reports a value that cannot become an argument ([`ErrorKind::BadArgument`](crate::ErrorKind::BadArgument)),
    /// with the position of the argument, counted from the last fork.
    ///
    /// AnyEvent::Fork: `send_arg`.
    #[must_use = "the process moves: use what this gives back"]
    pub fn send_arg(mut self, arg: impl IntoArg) -> Process {
        self.setup().arg(arg.into_arg());
        self
    }

    /// Appends arguments.
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::{Args, Process};
    ///
    /// #[anyfork::worker]
    /// fn check(all: Args) {
    ///     assert_eq!(all.len(), 4);
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let process = Process::new()?
    ///     .send_args(["a", "b"]) // of one type
    ///     .send_args(anyfork::args![1, "two"]); // of several
    /// assert!(process.run(check::NAME).blocking()?.wait()?.success());
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    ///
    /// AnyEvent::Fork: `send_arg`.
    #[must_use = "the process moves: use what this gives back"]
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

    /// Appends a descriptor. Ownership moves: the caller's descriptor is closed once it
    /// is delivered.
    ///
    /// ```
    /// # mod doctest {
    /// use std::fs::File;
    ///
    /// use anyfork::Process;
    ///
    /// #[anyfork::worker]
    /// fn check(file: File) -> std::io::Result<()> {
    ///     assert!(std::io::read_to_string(file)?.starts_with("Linux"));
    ///     Ok(())
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let file = File::open("/proc/version")?;
    /// let mut worker = Process::new()?.send_fd(file).run(check::NAME).blocking()?;
    /// assert!(worker.wait()?.success());
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    ///
    /// AnyEvent::Fork: `send_fh`.
    #[doc(alias = "send_fh")]
    #[must_use = "the process moves: use what this gives back"]
    pub fn send_fd(mut self, fd: impl Descriptor) -> Process {
        self.setup().push(Step::Arg(Arg::Fd(fd.into_descriptor())));
        self
    }

    /// Appends descriptors, any number.
    ///
    /// ```
    /// # mod doctest {
    /// use std::io::PipeWriter;
    ///
    /// use anyfork::Process;
    ///
    /// #[anyfork::worker]
    /// fn write(first: PipeWriter, second: PipeWriter) -> std::io::Result<()> {
    ///     use std::io::Write;
    ///     (&first).write_all(b"1")?;
    ///     (&second).write_all(b"2")
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let (reader, writer) = std::io::pipe()?;
    /// let process = Process::new()?.send_fds([writer.try_clone()?, writer]);
    /// let mut worker = process.run(write::NAME).blocking()?;
    /// assert!(worker.wait()?.success());
    /// assert_eq!(std::io::read_to_string(reader)?, "12");
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    ///
    /// AnyEvent::Fork: `send_fh`.
    #[doc(alias = "send_fh")]
    #[must_use = "the process moves: use what this gives back"]
    pub fn send_fds<I>(mut self, fds: I) -> Process
    where
        I: IntoIterator,
        I::Item: Descriptor,
    {
        for fd in fds {
            self.setup().push(Step::Arg(Arg::Fd(fd.into_descriptor())));
        }
        self
    }

    /// Runs the init function `name` in the process, after everything collected so far. `name` is
    /// the function's full path, or any unambiguous tail of it.
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
    /// // Loaded once, and shared by all workers that are forked from it:
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
    /// Init functions run once in each process, in the order of the calls, before the process
    /// runs a worker or is forked.
    ///
    /// # Errors
    ///
    /// Every launch from this process fails with [`ErrorKind::InitFailed`](crate::ErrorKind::InitFailed), which has the
    /// function's own error, or, as for a worker, with [`ErrorKind::UnknownWorker`](crate::ErrorKind::UnknownWorker),
    /// `AmbiguousName` or `BadArgument`. No process is left.
    ///
    /// AnyEvent::Fork: `eval`.
    #[doc(alias = "eval")]
    #[must_use = "the process moves: use what this gives back"]
    pub fn init(mut self, name: impl Name, args: impl Into<Args>) -> Process {
        let name = name.to_name();
        self.setup().init(name.into(), args.into());
        self
    }

    /// Loads a plugin into this process only, after everything collected so far. A plugin is a
    /// `cdylib` that calls [`export_plugin!`](crate::export_plugin). Its workers and init
    /// functions can then be named like the program's own.
    ///
    /// A path that contains a `/` is relative to the caller's current directory; dlopen(3)
    /// searches for a bare name.
    ///
    /// ```
    /// # fn main() -> anyfork::Result<()> {
    /// use anyfork::{ErrorKind, Process};
    ///
    /// // Without the plugin there is no worker, and the error has the reason.
    /// let process = Process::new()?.require("./libresize.so");
    /// let error = process.run("resize").blocking().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::PluginFailed);
    /// assert!(error.to_string().contains("libresize.so"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Every launch from this process fails with [`ErrorKind::PluginFailed`](crate::ErrorKind::PluginFailed) and the reason: the
    /// file is missing, it is not a plugin of anyfork, or it was built for another version of the
    /// plugin interface.
    ///
    /// AnyEvent::Fork: `require`.
    #[cfg(feature = "plugin")]
    #[must_use = "the process moves: use what this gives back"]
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
