//! [`Command`]: external programs, started from a small process.
//! RUNS IN: caller
//!
//! It only collects. What the program inherits from the caller is read when the program
//! is started, in `start`.

pub(crate) mod bounded;
pub(crate) mod bounds;
pub(crate) mod environment;
pub(crate) mod exchange;
pub(crate) mod getters;
pub(crate) mod outcome;
pub(crate) mod settings;
pub(crate) mod start;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use crate::caller::command::bounds::Bounds;
use crate::caller::process::Process;
use crate::caller::spec::{Options, Setup};
use crate::caller::stdio::Stdio;
use crate::caller::templates::handle::TemplateHandle;
use crate::spec::Setting;

/// An external program to be started: std's [`Command`](std::process::Command)
/// for callers that are big or have threads, and for those that need code of their own
/// between fork and exec.
///
/// A small template starts the program, at the same cost whatever the caller's size; the caller's
/// thread sends one message. Without init functions, nothing is forked: the new process shares
/// the template's memory until it executes the program. As with std, the program inherits the
/// environment, directory and standard streams that the caller has when the program is started,
/// and is looked up in the child's `PATH`.
///
/// The methods take `&mut self`, as std's do: a command can be started again, for another process
/// of the same kind. (A [`Process`], in contrast, is consumed by a start.)
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
/// With [`init`](Command::init), code of your own can run between fork and exec. Unlike the code
/// of std's `pre_exec`, it may do anything, because the template has one thread.
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
/// [`Process::exec`] makes a command from a process that may have been prepared. The program
/// keeps the environment, directory and standard streams as far as the process's settings and
/// init functions have changed them; the rest is the caller's. Byte arguments that the process
/// has collected ([`send_arg`](Process::send_arg)) are the program's first arguments, and
/// collected descriptors have the numbers 3, 4, … in the program.
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
/// The program inherits from the caller what it inherits with std: umask, ignored signals (except
/// SIGPIPE), resource limits, nice value, processors and OOM score, as the caller has them when
/// the program starts. No signal has a handler, and none is blocked unless an init function has
/// blocked it. No descriptor is open except those that were given. The process group and the
/// session are the template's, and thus those that the caller had when the template was made: a
/// process cannot join another session, but it can have [one of its own](Command::setsid). The
/// parent is the template.
///
/// # Caveats
///
/// If an init function forks a process and leaves it behind, the launch waits until that process
/// closes its descriptors or executes a program, as with std's `pre_exec`.
///
/// AnyEvent::Fork: "exec'ing programs".
pub struct Command {
    /// The process that it is started from. `None`: the default template at that time.
    base: Option<Arc<TemplateHandle>>,
    program: OsString,
    arg0: Option<OsString>,
    args: Vec<OsString>,
    streams: [Option<Stdio>; 3],
    /// Descriptors, and the numbers at which the program finds them.
    fds: Vec<(i32, OwnedFd)>,
    /// Whether the program has the caller's descriptors, too.
    inherits_fds: bool,
    setup: Setup,
    options: Options,
    bounds: Bounds,
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
    /// A command for a program, which is given by its path, or by its name in `PATH`.
    pub fn new(program: impl AsRef<OsStr>) -> Command {
        Command {
            base: None,
            program: program.as_ref().to_owned(),
            arg0: None,
            args: Vec::new(),
            streams: [None, None, None],
            fds: Vec::new(),
            inherits_fds: false,
            setup: Setup::default(),
            options: Options::default(),
            bounds: Bounds::default(),
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

    /// Sets the program's own name (`argv[0]`), in place of the path or name that was given to
    /// [`new`](Command::new).
    ///
    /// ```
    /// # fn main() -> anyfork::Result<()> {
    /// use anyfork::Command;
    ///
    /// let output = Command::new("sh").arg0("me").args(["-c", "echo $0"]).output().blocking()?;
    /// assert_eq!(output.stdout, b"me\n");
    /// # Ok(())
    /// # }
    /// ```
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

    /// Removes a variable of the environment. A name that no variable can have is ignored.
    pub fn env_remove(&mut self, name: impl AsRef<OsStr>) -> &mut Command {
        self.set(Setting::Env(name.as_ref().to_owned(), None))
    }

    /// Removes all variables of the environment: those that would be inherited, and
    /// those that were set before.
    ///
    /// ```
    /// # fn main() -> anyfork::Result<()> {
    /// use anyfork::Command;
    ///
    /// let mut command = Command::new("/usr/bin/env");
    /// command.env_clear().envs([("COLOR", "red"), ("SIZE", "10")]).env_remove("SIZE");
    /// assert_eq!(command.output().blocking()?.stdout, b"COLOR=red\n");
    /// # Ok(())
    /// # }
    /// ```
    pub fn env_clear(&mut self) -> &mut Command {
        self.set(Setting::EnvClear)
    }

    /// Sets the directory in which the program is started. A relative `path` is relative to the
    /// caller's directory; a relative path of the program is relative to `path`.
    pub fn current_dir(&mut self, path: impl AsRef<Path>) -> &mut Command {
        self.replace(Setting::Directory(path.as_ref().to_owned()))
    }

    /// Sets the standard input. Without this, the standard input is the caller's for
    /// [`spawn`](Command::spawn) and [`status`](Command::status), and `/dev/null` for
    /// [`output`](Command::output).
    pub fn stdin(&mut self, stream: impl Into<Stdio>) -> &mut Command {
        self.stream(0, stream.into())
    }

    /// Sets the standard output. Without this, the standard output is the caller's for
    /// [`spawn`](Command::spawn) and [`status`](Command::status), and a pipe for
    /// [`output`](Command::output).
    pub fn stdout(&mut self, stream: impl Into<Stdio>) -> &mut Command {
        self.stream(1, stream.into())
    }

    /// Sets the standard error. Without this, the same holds as for [`stdout`](Command::stdout).
    ///
    /// ```
    /// # fn main() -> anyfork::Result<()> {
    /// use std::fs::File;
    ///
    /// use anyfork::{Command, Stdio};
    ///
    /// let mut command = Command::new("sh");
    /// command.args(["-c", "cat >&2"]).stdin(File::open("/proc/version")?).stderr(Stdio::piped());
    /// let output = command.spawn().blocking()?.wait_with_output()?;
    /// assert!(output.stderr.starts_with(b"Linux"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn stderr(&mut self, stream: impl Into<Stdio>) -> &mut Command {
        self.stream(2, stream.into())
    }

    /// Gives the program a descriptor under this `number`. May be called for any number of
    /// descriptors. The numbers that the descriptors have in this program do not matter.
    ///
    /// ```
    /// # fn main() -> anyfork::Result<()> {
    /// let (read, write) = std::io::pipe()?;
    /// let exit = anyfork::Command::new("sh")
    ///     .args(["-c", "echo hello >&9"])
    ///     .fd(9, write)
    ///     .status()
    ///     .blocking()?;
    /// assert!(exit.success());
    /// # Ok(())
    /// # }
    /// ```
    pub fn fd(&mut self, number: i32, fd: impl Into<OwnedFd>) -> &mut Command {
        self.fds.push((number, fd.into()));
        self
    }

    /// Gives the program all descriptors above 2 that are open here, and are not close-on-exec,
    /// when the program is started. They keep their numbers, as with std's `Command`. This is for
    /// make's job server, or a shell's `/dev/fd/63`. If [`fd`](Command::fd) gives another
    /// descriptor under one of these numbers, that one is used.
    ///
    /// ```
    /// # fn main() -> anyfork::Result<()> {
    /// // Whoever runs `make -j` has a job server for us in `MAKEFLAGS`.
    /// let exit = anyfork::Command::new("true").inherit_fds().status().blocking()?;
    /// assert!(exit.success());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The launch fails without `/proc`, because the open descriptors are not known then.
    ///
    /// # Caveats
    ///
    /// Each of these descriptors is sent, which costs some 0.5 µs, and this program's descriptor
    /// table must have room for as many again.
    pub fn inherit_fds(&mut self) -> &mut Command {
        self.inherits_fds = true;
        self
    }

    fn stream(&mut self, number: u8, stream: Stdio) -> &mut Command {
        self.setup.forget_stream(number);
        if number == 0 {
            self.bounds.input = None;
        }
        self.streams[usize::from(number)] = Some(stream);
        self
    }

    /// Of two calls the last one counts, as with std.
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
