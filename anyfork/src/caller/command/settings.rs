//! The settings of a [`Command`] that a [`Process`](crate::Process) has, too.
//! RUNS IN: caller
//!
//! They are only collected here: the new process applies them.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use crate::args::Args;
use crate::args::given::Name;
use crate::caller::command::Command;
use crate::resource::Resource;
use crate::spec::Setting;

/// # Settings that a process has, too
///
/// They are applied in the order that [`Process`](crate::Process#settings) documents, whatever
/// the order of the calls. If one of them is called twice, the last call counts, except for
/// [`rlimit`](Command::rlimit), [`nice`](Command::nice),
/// [`ignore_signal`](Command::ignore_signal) and [`cgroup`](Command::cgroup).
///
/// ```
/// # fn main() -> anyfork::Result<()> {
/// use anyfork::Command;
///
/// let output = Command::new("sh")
///     .args(["-c", "umask; cat /proc/self/oom_score_adj"])
///     .umask(0o27)
///     .oom_score_adj(1000)
///     .setsid(true)
///     .no_new_privs(true)
///     .ignore_signal(libc::SIGHUP)
///     .output()
///     .blocking()?;
/// assert_eq!(output.stdout, b"0027\n1000\n");
/// # Ok(())
/// # }
/// ```
impl Command {
    /// Sets the process group: see [`Process::process_group`](crate::Process::process_group).
    ///
    /// ```
    /// # fn main() -> anyfork::Result<()> {
    /// use anyfork::{Command, Resource};
    ///
    /// let mut command = Command::new("sh");
    /// command.args(["-c", "ulimit -n"]).rlimit(Resource::NOFILE, 30, 30).nice(1);
    /// command.process_group(0).kill_on_drop(true); // it ends with all that it has started
    /// assert_eq!(command.output().blocking()?.stdout, b"30\n");
    /// # Ok(())
    /// # }
    /// ```
    pub fn process_group(&mut self, group: i32) -> &mut Command {
        self.replace(Setting::ProcessGroup(group))
    }

    /// Sets the user id: see [`Process::uid`](crate::Process::uid).
    pub fn uid(&mut self, id: u32) -> &mut Command {
        self.replace(Setting::User(id))
    }

    /// Sets the group id: see [`Process::gid`](crate::Process::gid).
    pub fn gid(&mut self, id: u32) -> &mut Command {
        self.replace(Setting::Group(id))
    }

    /// Sets the supplementary groups: see [`Process::groups`](crate::Process::groups).
    pub fn groups(&mut self, ids: impl AsRef<[u32]>) -> &mut Command {
        self.replace(Setting::Groups(ids.as_ref().to_owned()))
    }

    /// Sets the limits of a resource: see [`Process::rlimit`](crate::Process::rlimit).
    pub fn rlimit(&mut self, resource: impl Into<Resource>, soft: u64, hard: u64) -> &mut Command {
        self.set(Setting::Limit {
            resource: resource.into().number(),
            soft,
            hard,
        })
    }

    /// Adds to the nice value: see [`Process::nice`](crate::Process::nice).
    pub fn nice(&mut self, step: i32) -> &mut Command {
        self.set(Setting::Nice(step))
    }

    /// Sets whether the program is killed when its [`Child`](crate::Child) and all handles are
    /// dropped, and when this whole program exits. The caveat of
    /// [`Process::kill_on_drop`](crate::Process::kill_on_drop) applies.
    pub fn kill_on_drop(&mut self, kill: bool) -> &mut Command {
        self.options.kill_on_drop = kill;
        self
    }

    /// Sets how long it may take until the program is executed: see
    /// [`Process::timeout`](crate::Process::timeout).
    pub fn timeout(&mut self, limit: Duration) -> &mut Command {
        self.options.timeout = Some(limit);
        self
    }

    /// Sets the umask: see [`Process::umask`](crate::Process::umask).
    pub fn umask(&mut self, mask: u32) -> &mut Command {
        self.replace(Setting::Umask(mask))
    }

    /// Sets whether the program gets a session of its own: see
    /// [`Process::setsid`](crate::Process::setsid).
    pub fn setsid(&mut self, setsid: bool) -> &mut Command {
        match setsid {
            true => self.replace(Setting::Session),
            false => {
                self.setup.forget_session();
                self
            }
        }
    }

    /// Sets the terminal of the program's session: see
    /// [`Process::controlling_terminal`](crate::Process::controlling_terminal).
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::fs::File;
    /// use std::io::Read;
    ///
    /// use anyfork::Command;
    ///
    /// let pty = nix::pty::openpty(None, None)?;
    /// let mut shell = Command::new("sh");
    /// shell.args(["-c", "echo hello >/dev/tty"]).controlling_terminal(pty.slave);
    /// assert!(shell.status().blocking()?.success());
    /// let mut text = [0; 7];
    /// File::from(pty.master).read_exact(&mut text)?;
    /// assert_eq!(&text, b"hello\r\n");
    /// # Ok(())
    /// # }
    /// ```
    pub fn controlling_terminal(&mut self, terminal: impl Into<OwnedFd>) -> &mut Command {
        self.setsid(true);
        self.replace(Setting::Terminal(terminal.into()))
    }

    /// Sets the root directory: see [`Process::chroot`](crate::Process::chroot). The program, its
    /// directory and the directories of `PATH` are looked up in the new root.
    ///
    /// ```
    /// # fn main() -> anyfork::Result<()> {
    /// use anyfork::Command;
    ///
    /// match Command::new("pwd").chroot("/").output().blocking() {
    ///     Ok(output) => assert_eq!(output.stdout, b"/\n"),
    ///     // This program may not: it does not have root's rights.
    ///     Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EPERM)),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn chroot(&mut self, directory: impl AsRef<Path>) -> &mut Command {
        self.replace(Setting::Root(directory.as_ref().to_owned()))
    }

    /// Sets whether the program, and what it executes, is kept from getting more rights than the
    /// process that becomes the program: see
    /// [`Process::no_new_privs`](crate::Process::no_new_privs).
    pub fn no_new_privs(&mut self, is_set: bool) -> &mut Command {
        match is_set {
            true => self.replace(Setting::NoNewPrivs),
            false => {
                self.setup.forget_no_new_privs();
                self
            }
        }
    }

    /// Ignores a signal, given by its number: see
    /// [`Process::ignore_signal`](crate::Process::ignore_signal). Signals that are ignored when a
    /// program is executed are ignored in the program (signal(7)).
    pub fn ignore_signal(&mut self, signal: i32) -> &mut Command {
        self.set(Setting::IgnoreSignal(signal))
    }

    /// Puts the program into a cgroup: see [`Process::cgroup`](crate::Process::cgroup).
    ///
    /// ```
    /// # fn main() -> anyfork::Result<()> {
    /// use anyfork::{Command, ErrorKind};
    ///
    /// // `Process::cgroup` has an example with a cgroup. Any other directory is refused.
    /// let error = Command::new("make").cgroup("/").spawn().blocking().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Io);
    /// assert!(error.to_string().contains("set cgroup `/`"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn cgroup(&mut self, directory: impl AsRef<Path>) -> &mut Command {
        self.set(Setting::Cgroup(directory.as_ref().to_owned()))
    }

    /// Sets the adjustment of the OOM score: see
    /// [`Process::oom_score_adj`](crate::Process::oom_score_adj).
    pub fn oom_score_adj(&mut self, adjustment: i32) -> &mut Command {
        self.replace(Setting::OomScore(adjustment))
    }

    /// Sets the processors that the program may use: see
    /// [`Process::affinity`](crate::Process::affinity).
    ///
    /// ```
    /// # fn main() -> anyfork::Result<()> {
    /// use anyfork::Command;
    ///
    /// let mut grep = Command::new("grep");
    /// grep.args(["Cpus_allowed_list", "/proc/self/status"]).affinity([0]);
    /// match grep.output().blocking() {
    ///     Ok(output) => assert_eq!(output.stdout, b"Cpus_allowed_list:\t0\n"),
    ///     // Processor 0 is not for this program.
    ///     Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EINVAL)),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn affinity(&mut self, processors: impl IntoIterator<Item = u32>) -> &mut Command {
        self.replace(Setting::Affinity(processors.into_iter().collect()))
    }

    /// Runs the init function `name` between fork and exec, after all settings except
    /// [`fd`](Command::fd): see
    /// [`Process::init`](crate::Process::init).
    ///
    /// ```
    /// # mod doctest {
    /// use std::fs;
    ///
    /// use anyfork::Command;
    ///
    /// /// Does what no setting does.
    /// #[anyfork::init]
    /// fn rename(name: String) -> std::io::Result<()> {
    ///     fs::write("/proc/self/coredump_filter", name)
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let mut cat = Command::new("cat");
    /// cat.arg("/proc/self/coredump_filter").init(rename::NAME, anyfork::args!["0x1"]);
    /// assert_eq!(cat.output().blocking()?.stdout, b"00000001\n");
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn init(&mut self, name: impl Name, args: impl Into<Args>) -> &mut Command {
        let name = name.to_name();
        self.setup.init(name.into(), args.into());
        self
    }
}
