//! The settings of a [`Process`], named as those of std's `Command` and tokio's.
//! RUNS IN: caller
//!
//! They are only collected here: the new process applies them.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use crate::caller::process::Process;
use crate::caller::stdio::Stdio;
use crate::resource::Resource;
use crate::spec::Setting;

/// # Settings
///
/// They have the names and the meaning that they have in std's `Command` and `CommandExt`, and in
/// tokio's. The new process applies them before any of your code runs in it (also before
/// [`after_fork`](macro@crate::after_fork) functions), in this order, whatever the order of the
/// calls: standard streams, cgroup, session, controlling terminal, process group, umask and
/// ignored signals, resource limits, nice value, processors, OOM score, root directory,
/// supplementary groups, group, user, no new privileges, directory, environment. If one of these
/// is set several times, the calls are applied in their order.
///
/// A fork inherits its template's settings, as any child process inherits its parent's.
/// [`kill_on_drop`](Process::kill_on_drop), [`timeout`](Process::timeout),
/// [`title`](Process::title) and [`Stdio::piped`] also hold for every process that is forked from
/// this one.
///
/// A setting that cannot be applied fails the launch: the error's message names the
/// setting, its source is the system's error, and no process is left.
///
/// ```
/// # mod doctest {
/// use std::io::Read;
/// use anyfork::{Process, Stdio};
///
/// #[anyfork::worker]
/// fn show(_socket: std::os::fd::OwnedFd) {
///     let directory = std::env::current_dir().expect("a directory");
///     print!("{} {}", std::env::var("COLOR").expect("set"), directory.display());
/// }
///
/// # pub fn main() -> anyfork::Result<()> {
/// let process = Process::new()?
///     .env("COLOR", "red")
///     .current_dir("/")
///     .stdout(Stdio::piped());
/// let mut child = process.run(show::NAME).blocking()?.child;
/// let mut text = String::new();
/// child.stdout.take().expect("piped").read_to_string(&mut text)?;
/// assert_eq!(text, "red /");
/// # Ok(())
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
impl Process {
    /// Sets a variable of the environment, in addition to those that the template has. The launch
    /// fails if the name is empty or contains a `=`, or if the name or the value contains a NUL.
    #[must_use = "the process moves: use what this gives back"]
    pub fn env(self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Process {
        let value = value.as_ref().to_owned();
        self.set(Setting::Env(name.as_ref().to_owned(), Some(value)))
    }

    /// Sets variables of the environment.
    #[must_use = "the process moves: use what this gives back"]
    pub fn envs<I, K, V>(self, variables: I) -> Process
    where
        I: IntoIterator<Item = (K, V)>,
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        let set = |process: Process, (name, value)| process.env(name, value);
        variables.into_iter().fold(self, set)
    }

    /// Removes a variable of the environment. A name that no variable can have is ignored.
    #[must_use = "the process moves: use what this gives back"]
    pub fn env_remove(self, name: impl AsRef<OsStr>) -> Process {
        self.set(Setting::Env(name.as_ref().to_owned(), None))
    }

    /// Removes all variables of the environment: the template's, and those that were set
    /// before.
    ///
    /// ```
    /// # fn main() -> anyfork::Result<()> {
    /// use anyfork::Process;
    ///
    /// let process = Process::new()?.env_clear().envs([("COLOR", "red"), ("SIZE", "10")]);
    /// let output = process.env_remove("SIZE").exec("/usr/bin/env").output().blocking()?;
    /// assert_eq!(output.stdout, b"COLOR=red\n");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use = "the process moves: use what this gives back"]
    pub fn env_clear(self) -> Process {
        self.set(Setting::EnvClear)
    }

    /// Sets the working directory. A relative path is relative to the directory that the caller
    /// has when it makes this call.
    #[must_use = "the process moves: use what this gives back"]
    pub fn current_dir(self, path: impl AsRef<Path>) -> Process {
        let path = path.as_ref();
        // A caller without a directory has nothing better than the path itself.
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        self.set(Setting::Directory(absolute))
    }

    /// Sets the standard input. Without this, the process has the stream that its template was
    /// given, or else the stream that the caller has when it starts the process.
    #[must_use = "the process moves: use what this gives back"]
    pub fn stdin(self, stream: impl Into<Stdio>) -> Process {
        self.stream(0, stream.into())
    }

    /// Sets the standard output.
    #[must_use = "the process moves: use what this gives back"]
    pub fn stdout(self, stream: impl Into<Stdio>) -> Process {
        self.stream(1, stream.into())
    }

    /// Sets the standard error.
    ///
    /// ```
    /// # mod doctest {
    /// use std::io::{Read, Write};
    ///
    /// use anyfork::{Process, Stdio};
    ///
    /// #[anyfork::worker]
    /// fn complain() -> std::io::Result<()> {
    ///     let text = std::io::read_to_string(std::io::stdin())?;
    ///     eprint!("{text}?");
    ///     Ok(())
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let process = Process::new()?.stdin(Stdio::piped()).stderr(Stdio::piped());
    /// let mut child = complain::run(process).blocking()?.child;
    /// child.stdin.take().expect("piped").write_all(b"what")?; // and closes it
    /// let mut text = String::new();
    /// child.stderr.take().expect("piped").read_to_string(&mut text)?;
    /// assert_eq!(text, "what?");
    /// assert!(child.wait()?.success());
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    #[must_use = "the process moves: use what this gives back"]
    pub fn stderr(self, stream: impl Into<Stdio>) -> Process {
        self.stream(2, stream.into())
    }

    /// Sets the process group: 0 for a group of the process's own, otherwise the number of a
    /// group in the caller's session (setpgid(2)). A terminal sends the signal of Ctrl-C to a
    /// whole group.
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::Process;
    ///
    /// #[anyfork::worker]
    /// fn hang() {
    ///     std::thread::park();
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let mut worker = hang::run(Process::new()?.process_group(0)).blocking()?;
    /// worker.signal_group(libc::SIGTERM)?;
    /// assert_eq!(worker.wait()?.signal(), Some(libc::SIGTERM));
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    #[must_use = "the process moves: use what this gives back"]
    pub fn process_group(self, group: i32) -> Process {
        self.set(Setting::ProcessGroup(group))
    }

    /// Sets the real, effective and saved user id (setuid(2)). If root gives up its rights in
    /// this way, and [`groups`](Process::groups) are not set, the process has no supplementary
    /// groups, as with std.
    ///
    /// ```
    /// use anyfork::Process;
    ///
    /// # fn main() -> anyfork::Result<()> {
    /// # if !nix::unistd::geteuid().is_root() {
    /// #     return Ok(());
    /// # }
    /// // As root: the user, and the group, "nobody", without further groups.
    /// let process = Process::new()?.uid(65534).gid(65534).groups([]);
    /// let output = process.exec("id").args(["-u"]).output().blocking()?;
    /// assert_eq!(output.stdout, b"65534\n");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use = "the process moves: use what this gives back"]
    pub fn uid(self, id: u32) -> Process {
        self.set(Setting::User(id))
    }

    /// Sets the real, effective and saved group id (setgid(2)).
    #[must_use = "the process moves: use what this gives back"]
    pub fn gid(self, id: u32) -> Process {
        self.set(Setting::Group(id))
    }

    /// Sets the supplementary groups (setgroups(2)).
    #[must_use = "the process moves: use what this gives back"]
    pub fn groups(self, ids: impl AsRef<[u32]>) -> Process {
        self.set(Setting::Groups(ids.as_ref().to_owned()))
    }

    /// Sets the soft and the hard limit of a resource (setrlimit(2)), in the resource's unit.
    /// `u64::MAX` means no limit. [`Resource`] has the resources by name; `libc::RLIMIT_NOFILE`
    /// and the like are accepted, too.
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::{Process, Resource};
    ///
    /// #[anyfork::worker]
    /// fn check() {
    ///     let limits = std::fs::read_to_string("/proc/self/limits").expect("readable");
    ///     let line = limits.lines().find(|line| line.starts_with("Max open files"));
    ///     assert!(line.is_some_and(|line| line.contains(" 30 ") && line.contains(" 40 ")));
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let process = Process::new()?.rlimit(Resource::NOFILE, 30, 40);
    /// assert!(process.run(check::NAME).blocking()?.wait()?.success());
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    #[must_use = "the process moves: use what this gives back"]
    pub fn rlimit(self, resource: impl Into<Resource>, soft: u64, hard: u64) -> Process {
        self.set(Setting::Limit {
            resource: resource.into().number(),
            soft,
            hard,
        })
    }

    /// Adds to the nice value: the higher the value, the less urgent the process (nice(2)).
    ///
    /// ```
    /// # fn main() -> anyfork::Result<()> {
    /// use anyfork::{Command, Process};
    ///
    /// let [before, after] = [Command::new("nice"), Process::new()?.nice(1).exec("nice")]
    ///     .map(|mut command| command.output().blocking().map(|output| output.stdout));
    /// let value = |text: Vec<u8>| String::from_utf8_lossy(&text).trim().parse();
    /// let (before, after): (Result<i32, _>, Result<i32, _>) = (value(before?), value(after?));
    /// assert_eq!(after, before.map(|value| 19.min(value + 1)));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use = "the process moves: use what this gives back"]
    pub fn nice(self, step: i32) -> Process {
        self.set(Setting::Nice(step))
    }

    /// Sets whether the process is killed when its [`Child`](crate::Child) and all
    /// [handles](crate::Child::handle) are dropped, and when this whole program exits, even by
    /// SIGKILL.
    ///
    /// ```
    /// # mod doctest {
    /// use std::io::Read;
    /// use std::os::unix::net::UnixStream;
    ///
    /// use anyfork::Process;
    ///
    /// #[anyfork::worker]
    /// fn hang(_socket: UnixStream) {
    ///     std::thread::park();
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let worker = hang::run(Process::new()?.kill_on_drop(true)).blocking()?;
    /// let mut socket = worker.socket;
    /// drop(worker.child);
    /// assert_eq!(socket.read(&mut [0])?, 0, "it is gone");
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    ///
    /// # Caveats
    ///
    /// When the program has exited, the template kills the process. A template with many children
    /// leaves this to its monitors, which are separate processes. If the template or the monitor
    /// is killed first, the process goes on.
    #[must_use = "the process moves: use what this gives back"]
    pub fn kill_on_drop(mut self, kill: bool) -> Process {
        self.options().kill_on_drop = kill;
        self
    }

    /// Sets the title that `ps` shows, in place of `anyfork: greet of 4711 (myapp)`. The first 15
    /// bytes are the short name (`comm`).
    ///
    /// ```
    /// # #[cfg(feature = "pool")]
    /// # mod doctest {
    /// use anyfork::Process;
    ///
    /// #[anyfork::call(text_errors)]
    /// fn name() -> std::io::Result<String> {
    ///     std::fs::read_to_string("/proc/self/comm")
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let process = Process::new()?.title("db: connections");
    /// assert_eq!(name::call(process).blocking()??, "db: connections\n");
    /// # Ok(())
    /// # }
    /// # }
    /// # #[cfg(feature = "pool")]
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// # #[cfg(not(feature = "pool"))]
    /// # fn main() {}
    /// ```
    #[must_use = "the process moves: use what this gives back"]
    pub fn title(mut self, title: impl Into<String>) -> Process {
        self.options().title = Some(title.into());
        self
    }

    /// Sets how long a launch may take until it is ready, counted from the call that starts it. A
    /// launch that takes longer fails with [`ErrorKind::TimedOut`](crate::ErrorKind::TimedOut),
    /// and its process is killed.
    ///
    /// ```
    /// # mod doctest {
    /// use std::time::Duration;
    ///
    /// use anyfork::{ErrorKind, Process};
    ///
    /// #[anyfork::init]
    /// fn load() {
    ///     std::thread::sleep(Duration::from_secs(60));
    /// }
    ///
    /// #[anyfork::worker]
    /// fn nothing() {}
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let process = load::init(Process::new()?).timeout(Duration::from_millis(50));
    /// let error = nothing::run(process).blocking().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    #[must_use = "the process moves: use what this gives back"]
    pub fn timeout(mut self, limit: Duration) -> Process {
        self.options().timeout = Some(limit);
        self
    }

    pub(super) fn set(mut self, setting: Setting) -> Process {
        self.setup().set(setting);
        self
    }

    fn stream(mut self, number: u8, stream: Stdio) -> Process {
        let piped = stream.is_piped();
        self.options().piped[usize::from(number)] = piped;
        if !piped {
            let to = stream.resolve(number);
            self.setup().set(Setting::Stream { number, to });
        }
        self
    }
}
