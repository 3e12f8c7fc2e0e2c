//! [`Command`]: external programs, started from a small process.

pub(crate) mod start;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::args::Args;
use crate::caller::options::Options;
use crate::caller::process::Process;
use crate::caller::spec::Setup;
use crate::caller::stdio::Stdio;
use crate::caller::templates::handle::TemplateHandle;
use crate::resource::Resource;
use crate::spec::Setting;

/// An external program to be started: std's [`Command`](std::process::Command)
/// for processes that are big or have threads, and for whom it matters what
/// happens between fork and exec.
///
/// The program is started by a fork of a small template, which costs the same
/// whatever the caller's size, and the caller's thread sends one message. As with
/// std it inherits the caller's environment, directory and standard streams, as
/// they are when it is started, and is found in the child's `PATH`.
///
/// ```
/// # fn main() -> anyfork::Result<()> {
/// use anyfork::Command;
///
/// let output = Command::new("printf")
///     .args(["%s-%s", "one", "two words"])
///     .output()
///     .blocking()?;
/// assert!(output.status.success());
/// assert_eq!(output.stdout, b"one-two words");
///
/// let error = Command::new("no-such-program").spawn().blocking().unwrap_err();
/// assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::NotFound);
/// # Ok(())
/// # }
/// ```
///
/// Any code of the program's own can run in between, by
/// [`init`](Command::init): it is not limited to what is safe in a fork of a
/// process with threads, because it runs in a fork of a process with one.
///
/// ```
/// # mod doctest {
/// use anyfork::Command;
///
/// #[anyfork::init]
/// fn enter(color: String) {
///     // SAFETY: this process has one thread.
///     unsafe { std::env::set_var("COLOR", color) };
/// }
///
/// # pub fn main() -> anyfork::Result<()> {
/// let output = Command::new("sh")
///     .args(["-c", "echo $COLOR"])
///     .init(enter::NAME, anyfork::args!["red"])
///     .output()
///     .blocking()?;
/// assert_eq!(output.stdout, b"red\n");
/// # Ok(())
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
///
/// # From a prepared process
///
/// [`Process::exec`] makes one from a process that may have been prepared: what
/// its settings and init functions have changed of environment, directory and
/// standard streams stays, and the rest is the caller's. Bytes that it has
/// collected ([`send_arg`](Process::send_arg)) are the program's first arguments,
/// descriptors have the numbers 3, 4, ….
///
/// ```
/// # fn main() -> anyfork::Result<()> {
/// use anyfork::Process;
///
/// let template = Process::new()?.env("LC_ALL", "C").current_dir("/");
/// let output = template.fork().exec("pwd").output().blocking()?;
/// assert_eq!(output.stdout, b"/\n");
/// let output = template.fork().exec("printenv").arg("LC_ALL").output().blocking()?;
/// assert_eq!(output.stdout, b"C\n");
/// # Ok(())
/// # }
/// ```
///
/// # What else the program finds
///
/// The default actions for all signals, SIGPIPE too, and none blocked; no
/// descriptor but those that were given. Its process group, limits, umask and
/// session are the template's, which are the caller's unless it has changed them
/// since it began.
///
/// # Caveats
///
/// A process that an init function forks and leaves behind keeps the launch
/// waiting until it closes its descriptors or executes a program, as it does with
/// std's `pre_exec`.
///
/// Seed: "exec'ing programs" of `AnyEvent::Fork`.
pub struct Command {
    /// Where it is started from; `None` for the default template at that time.
    base: Option<Arc<TemplateHandle>>,
    program: OsString,
    arg0: Option<OsString>,
    args: Vec<OsString>,
    streams: [Option<Stdio>; 3],
    placed: Vec<(OwnedFd, i32)>,
    setup: Setup,
    options: Options,
}

impl Process {
    /// Executes an external program from the prepared process: see
    /// [`Command`](Command#from-a-prepared-process).
    ///
    /// ```
    /// # fn main() -> anyfork::Result<()> {
    /// use anyfork::Process;
    ///
    /// let (read, write) = std::io::pipe()?;
    /// let process = Process::new()?.send_arg("-c").send_fd(write);
    /// let exit = process.exec("sh").arg("echo hello >&3").status().blocking()?;
    /// assert!(exit.success());
    /// assert_eq!(std::io::read_to_string(read)?, "hello\n");
    /// # Ok(())
    /// # }
    /// ```
    pub fn exec(self, program: impl AsRef<OsStr>) -> Command {
        let (base, setup, options) = self.into_parts();
        Command {
            base: Some(base),
            setup,
            options,
            ..Command::new(program)
        }
    }
}

impl Command {
    /// A program by its path, or by its name in `PATH`.
    pub fn new(program: impl AsRef<OsStr>) -> Command {
        Command {
            base: None,
            program: program.as_ref().to_owned(),
            arg0: None,
            args: Vec::new(),
            streams: [None, None, None],
            placed: Vec::new(),
            setup: Setup::default(),
            options: Options::default(),
        }
    }

    /// Appends an argument.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Command {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Appends arguments.
    pub fn args<I, S>(&mut self, args: I) -> &mut Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let args = args.into_iter().map(|arg| arg.as_ref().to_owned());
        self.args.extend(args);
        self
    }

    /// What the program finds for its own name, which is the path or name that it
    /// was given else.
    pub fn arg0(&mut self, name: impl AsRef<OsStr>) -> &mut Command {
        self.arg0 = Some(name.as_ref().to_owned());
        self
    }

    /// Sets a variable of the environment.
    pub fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Command {
        let value = value.as_ref().to_owned();
        self.set(Setting::Env(name.as_ref().to_owned(), Some(value)))
    }

    /// Sets variables of the environment.
    pub fn envs<I, K, V>(&mut self, variables: I) -> &mut Command
    where
        I: IntoIterator<Item = (K, V)>,
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        for (name, value) in variables {
            self.env(name, value);
        }
        self
    }

    /// Removes a variable of the environment. A name that no variable can have is
    /// nothing to remove.
    pub fn env_remove(&mut self, name: impl AsRef<OsStr>) -> &mut Command {
        self.set(Setting::Env(name.as_ref().to_owned(), None))
    }

    /// Removes all variables of the environment: the inherited ones, and those
    /// that were given before.
    pub fn env_clear(&mut self) -> &mut Command {
        self.set(Setting::EnvClear)
    }

    /// The directory that the program is started in. A relative path is taken
    /// relative to the caller's; a relative path of the program is taken relative
    /// to this.
    pub fn current_dir(&mut self, path: impl AsRef<Path>) -> &mut Command {
        self.replace(Setting::Directory(path.as_ref().to_owned()))
    }

    /// The standard input: the caller's for [`spawn`](Command::spawn) and
    /// [`status`](Command::status), `/dev/null` for [`output`](Command::output).
    pub fn stdin(&mut self, stream: impl Into<Stdio>) -> &mut Command {
        self.stream(0, stream.into())
    }

    /// The standard output: the caller's for [`spawn`](Command::spawn) and
    /// [`status`](Command::status), a pipe for [`output`](Command::output).
    pub fn stdout(&mut self, stream: impl Into<Stdio>) -> &mut Command {
        self.stream(1, stream.into())
    }

    /// The standard error, as [`stdout`](Command::stdout).
    pub fn stderr(&mut self, stream: impl Into<Stdio>) -> &mut Command {
        self.stream(2, stream.into())
    }

    /// Gives the program a descriptor under a number of the caller's choice. Any
    /// number of them, in any order and exchange: each is what it was here.
    ///
    /// ```
    /// # fn main() -> anyfork::Result<()> {
    /// let (read, write) = std::io::pipe()?;
    /// let exit = anyfork::Command::new("sh")
    ///     .args(["-c", "echo hello >&9"])
    ///     .fd(write, 9)
    ///     .status()
    ///     .blocking()?;
    /// assert!(exit.success());
    /// # Ok(())
    /// # }
    /// ```
    pub fn fd(&mut self, fd: impl Into<OwnedFd>, number: i32) -> &mut Command {
        self.placed.push((fd.into(), number));
        self
    }

    /// Runs the init function `name` between fork and exec, after all settings
    /// (but those of [`fd`](Command::fd)): see [`Process::init`].
    pub fn init(&mut self, name: impl Into<String>, args: impl Into<Args>) -> &mut Command {
        self.setup.init(name.into().into(), args.into());
        self
    }

    /// The process group: [`Process::process_group`].
    pub fn process_group(&mut self, group: i32) -> &mut Command {
        self.replace(Setting::ProcessGroup(group))
    }

    /// The user id: [`Process::uid`].
    pub fn uid(&mut self, id: u32) -> &mut Command {
        self.replace(Setting::User(id))
    }

    /// The group id: [`Process::gid`].
    pub fn gid(&mut self, id: u32) -> &mut Command {
        self.replace(Setting::Group(id))
    }

    /// The supplementary groups: [`Process::groups`].
    pub fn groups(&mut self, ids: impl AsRef<[u32]>) -> &mut Command {
        self.replace(Setting::Groups(ids.as_ref().to_owned()))
    }

    /// The limits of a resource: [`Process::rlimit`].
    pub fn rlimit(&mut self, resource: impl Into<Resource>, soft: u64, hard: u64) -> &mut Command {
        self.set(Setting::Limit {
            resource: resource.into().number(),
            soft,
            hard,
        })
    }

    /// What is added to the nice value: [`Process::nice`].
    pub fn nice(&mut self, step: i32) -> &mut Command {
        self.set(Setting::Nice(step))
    }

    /// Whether the program is killed when its last [`Child`](crate::Child) is
    /// dropped, or this whole program is gone: [`Process::kill_on_drop`].
    pub fn kill_on_drop(&mut self, kill: bool) -> &mut Command {
        self.options.kill_on_drop = kill;
        self
    }

    /// How long it may take until the program is executed:
    /// [`Process::timeout`].
    pub fn timeout(&mut self, limit: Duration) -> &mut Command {
        self.options.timeout = Some(limit);
        self
    }

    /// The program, as it was given.
    #[doc(alias = "get_program")]
    pub fn program(&self) -> &OsStr {
        &self.program
    }

    fn stream(&mut self, number: u8, stream: Stdio) -> &mut Command {
        self.setup.forget_stream(number);
        self.streams[usize::from(number)] = Some(stream);
        self
    }

    /// As std does it, of two calls the last one counts.
    fn replace(&mut self, setting: Setting) -> &mut Command {
        self.setup.replace(setting);
        self
    }

    fn set(&mut self, setting: Setting) -> &mut Command {
        self.setup.set(setting);
        self
    }
}

/// As std prints it: the program and its arguments, in quotes.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.program)?;
        self.args.iter().try_for_each(|arg| write!(f, " {arg:?}"))
    }
}
