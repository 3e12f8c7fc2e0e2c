//! The settings of a [`Process`] that are none of std's `Command`, but for `chroot` and `setsid`.
//! RUNS IN: caller
//!
//! They are only collected here: the new process applies them.

use std::os::fd::OwnedFd;
use std::path::Path;

use crate::caller::process::Process;
use crate::spec::Setting;

/// # Further settings
///
/// They are applied with the [others](Process#settings), in the order that is documented
/// there.
impl Process {
    /// Sets the permissions that new files do not get (umask(2)).
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::Process;
    ///
    /// #[anyfork::worker]
    /// fn check() {
    ///     let status = std::fs::read_to_string("/proc/self/status").expect("readable");
    ///     assert!(status.lines().any(|line| line == "Umask:\t0077"));
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let process = Process::new()?.umask(0o77);
    /// assert!(process.run(check::NAME).blocking()?.wait()?.success());
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    #[must_use = "the process moves: use what this gives back"]
    pub fn umask(self, mask: u32) -> Process {
        self.set(Setting::Umask(mask))
    }

    /// Sets whether the process gets a session of its own, and with it a process group of its own
    /// (setsid(2)). The process then has no controlling terminal.
    ///
    /// ```
    /// # #[cfg(feature = "pool")]
    /// # mod doctest {
    /// use anyfork::Process;
    ///
    /// /// Whether this process leads a session, as the kernel shows it.
    /// #[anyfork::call(text_errors)]
    /// fn leads() -> std::io::Result<bool> {
    ///     let stat = std::fs::read_to_string("/proc/self/stat")?;
    ///     let fields = stat.rsplit(')').next().unwrap_or_default();
    ///     let session = fields.split_whitespace().nth(3).and_then(|it| it.parse().ok());
    ///     Ok(session == Some(std::process::id()))
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// assert!(leads::call(Process::new()?.setsid(true)).blocking()??);
    /// # Ok(())
    /// # }
    /// # }
    /// # #[cfg(feature = "pool")]
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// # #[cfg(not(feature = "pool"))]
    /// # fn main() {}
    /// ```
    #[must_use = "the process moves: use what this gives back"]
    pub fn setsid(mut self, setsid: bool) -> Process {
        match setsid {
            true => self.setup().replace(Setting::Session),
            false => self.setup().forget_session(),
        }
        self
    }

    /// Makes this terminal the controlling terminal of the process, which gets a
    /// [session](Process::setsid) of its own for that (`TIOCSCTTY`, ioctl_tty(2)). Ctrl-C in the
    /// terminal then signals the process, and so does the end of the terminal. The standard
    /// streams are set separately.
    ///
    /// ```
    /// # #[cfg(feature = "pool")]
    /// # mod doctest {
    /// use std::fs::File;
    ///
    /// use anyfork::Process;
    /// use nix::pty::openpty;
    ///
    /// #[anyfork::call]
    /// fn has_terminal() -> bool {
    ///     File::open("/dev/tty").is_ok()
    /// }
    ///
    /// # pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pty = openpty(None, None)?;
    /// let process = Process::new()?.controlling_terminal(pty.slave);
    /// assert!(has_terminal::call(process).blocking()?);
    /// # Ok(())
    /// # }
    /// # }
    /// # #[cfg(feature = "pool")]
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { doctest::main() }
    /// # #[cfg(not(feature = "pool"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    ///
    /// The launch fails if the descriptor is not a terminal, or if the terminal belongs to
    /// another session.
    #[must_use = "the process moves: use what this gives back"]
    pub fn controlling_terminal(self, terminal: impl Into<OwnedFd>) -> Process {
        let mut process = self.setsid(true);
        process.setup().replace(Setting::Terminal(terminal.into()));
        process
    }

    /// Sets the root directory (chroot(2)), which needs root's rights. The process starts in the
    /// `/` of the new root. A [`current_dir`](Process::current_dir) is looked up there, and so is
    /// everything that the process opens later, such as `/dev/null` for a stream of a fork. The
    /// path `directory` itself is relative to the caller's directory.
    ///
    /// ```
    /// # #[cfg(feature = "pool")]
    /// # mod doctest {
    /// use std::path::Path;
    ///
    /// use anyfork::Process;
    ///
    /// #[anyfork::call]
    /// fn sees(path: String) -> bool {
    ///     Path::new(&path).exists()
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let process = Process::new()?.chroot("/usr").uid(65534);
    /// match sees::call(process, "/usr/bin".into()).blocking() {
    ///     Ok(sees) => assert!(!sees, "it is `/bin` there"),
    ///     // This program may not: it does not have root's rights.
    ///     Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EPERM)),
    /// }
    /// # Ok(())
    /// # }
    /// # }
    /// # #[cfg(feature = "pool")]
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// # #[cfg(not(feature = "pool"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Caveats
    ///
    /// This does not confine a process that keeps root's rights: set [`uid`](Process::uid), too.
    /// Without a `/proc` in the new root, the process cannot be forked, and has no templates of
    /// its own.
    #[must_use = "the process moves: use what this gives back"]
    pub fn chroot(self, directory: impl AsRef<Path>) -> Process {
        let path = directory.as_ref();
        // A caller without a directory has nothing better than the path itself.
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        self.set(Setting::Root(absolute))
    }

    /// Sets whether programs that the process executes are kept from getting more rights than the
    /// process has, for example by set-user-id bits (`PR_SET_NO_NEW_PRIVS`, prctl(2)). If a
    /// template has set this, its forks cannot take it back.
    ///
    /// ```
    /// # #[cfg(feature = "pool")]
    /// # mod doctest {
    /// use anyfork::Process;
    ///
    /// #[anyfork::call(text_errors)]
    /// fn status() -> std::io::Result<String> {
    ///     std::fs::read_to_string("/proc/self/status")
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let process = Process::new()?
    ///     .no_new_privs(true)
    ///     .oom_score_adj(1000)
    ///     .ignore_signal(libc::SIGHUP)
    ///     .affinity(0..1024);
    /// assert!(status::call(process).blocking()??.contains("NoNewPrivs:\t1\n"));
    /// # Ok(())
    /// # }
    /// # }
    /// # #[cfg(feature = "pool")]
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// # #[cfg(not(feature = "pool"))]
    /// # fn main() {}
    /// ```
    #[must_use = "the process moves: use what this gives back"]
    pub fn no_new_privs(mut self, is_set: bool) -> Process {
        match is_set {
            true => self.setup().replace(Setting::NoNewPrivs),
            false => self.setup().forget_no_new_privs(),
        }
        self
    }

    /// Ignores a signal, given by its number (signal(7)). May be called for several signals.
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::Process;
    ///
    /// #[anyfork::worker]
    /// fn raise() {
    ///     nix::sys::signal::raise(nix::sys::signal::SIGUSR1).expect("a signal");
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let mut ends = raise::run(Process::new()?).blocking()?;
    /// assert_eq!(ends.wait()?.signal(), Some(libc::SIGUSR1));
    /// let mut stays = raise::run(Process::new()?.ignore_signal(libc::SIGUSR1)).blocking()?;
    /// assert!(stays.wait()?.success());
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    ///
    /// # Errors
    ///
    /// The launch fails if there is no such signal, and for SIGKILL and SIGSTOP.
    #[must_use = "the process moves: use what this gives back"]
    pub fn ignore_signal(self, signal: i32) -> Process {
        self.set(Setting::IgnoreSignal(signal))
    }

    /// Puts the process into a cgroup, given by its directory. This comes before all other
    /// settings but the streams, so that everything that the process does then is counted there
    /// (cgroups(7)). With cgroups of version 1, this may be called for several hierarchies.
    ///
    /// ```
    /// # fn main() -> anyfork::Result<()> {
    /// use std::fs;
    ///
    /// use anyfork::Command;
    ///
    /// let group = format!("/sys/fs/cgroup/build-{}", std::process::id());
    /// # let is_version_2 = fs::exists("/sys/fs/cgroup/cgroup.procs")?;
    /// # if !is_version_2 { println!("skipped: no cgroups of version 2"); return Ok(()) }
    /// if let Err(error) = fs::create_dir(&group) {
    ///     println!("skipped: this program may make no cgroup: {error}");
    ///     return Ok(());
    /// }
    /// // Limits are set here, such as `memory.max`.
    /// let output = Command::new("cat").arg("/proc/self/cgroup").cgroup(&group).output().blocking();
    /// fs::remove_dir(&group)?;
    /// let text = String::from_utf8_lossy(&output?.stdout).into_owned();
    /// assert!(text.contains("/build-"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The launch fails if the directory is not a cgroup, or if the process may not join it.
    #[must_use = "the process moves: use what this gives back"]
    pub fn cgroup(self, directory: impl AsRef<Path>) -> Process {
        let path = directory.as_ref();
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        self.set(Setting::Cgroup(absolute))
    }

    /// Sets how likely the kernel is to kill the process when memory is short, from -1000 (never)
    /// to 1000 (proc_pid_oom_score_adj(5)). Lowering it needs root's rights.
    ///
    /// ```
    /// # #[cfg(feature = "pool")]
    /// # mod doctest {
    /// use anyfork::Process;
    ///
    /// #[anyfork::call(text_errors)]
    /// fn adjustment() -> std::io::Result<String> {
    ///     std::fs::read_to_string("/proc/self/oom_score_adj")
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// // If memory is short, the kernel kills this process first.
    /// let process = Process::new()?.oom_score_adj(1000);
    /// assert_eq!(adjustment::call(process).blocking()??, "1000\n");
    /// # Ok(())
    /// # }
    /// # }
    /// # #[cfg(feature = "pool")]
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// # #[cfg(not(feature = "pool"))]
    /// # fn main() {}
    /// ```
    #[must_use = "the process moves: use what this gives back"]
    pub fn oom_score_adj(self, adjustment: i32) -> Process {
        self.set(Setting::OomScore(adjustment))
    }

    /// Sets the processors that the process may use, given by their numbers
    /// (sched_setaffinity(2)).
    ///
    /// ```
    /// # #[cfg(feature = "pool")]
    /// # mod doctest {
    /// use anyfork::Process;
    ///
    /// #[anyfork::call]
    /// fn processors() -> usize {
    ///     std::thread::available_parallelism().map_or(0, usize::from)
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// match processors::call(Process::new()?.affinity([0])).blocking() {
    ///     Ok(processors) => assert_eq!(processors, 1),
    ///     // Processor 0 is not for this program.
    ///     Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EINVAL)),
    /// }
    /// # Ok(())
    /// # }
    /// # }
    /// # #[cfg(feature = "pool")]
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// # #[cfg(not(feature = "pool"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    ///
    /// The launch fails if the process may use none of them.
    #[must_use = "the process moves: use what this gives back"]
    pub fn affinity(self, processors: impl IntoIterator<Item = u32>) -> Process {
        self.set(Setting::Affinity(processors.into_iter().collect()))
    }
}
