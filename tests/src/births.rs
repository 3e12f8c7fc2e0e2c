//! What the tests of the ways a process is born share: programs of their own,
//! and a closer look at processes.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Deref;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyfork::Process;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::Pid;
use sendfd::SendWithFd;

use crate::{bounded, descriptors, has_ended, held, release, stat, template_of, until};

/// What a program ends with that may not do what it must for its test.
pub const NOT_PERMITTED: u8 = 77;

/// A program, and its first argument, which says what to do.
pub fn program(path: impl AsRef<Path>, what: &str) -> Command {
    let mut command = Command::new(path.as_ref());
    command.arg(what).stdin(Stdio::null());
    command
}

/// A library of this package's examples, as Cargo builds it when it builds all
/// tests; `program` is one of this package's.
pub fn example(program: &str, name: &str) -> PathBuf {
    let programs = Path::new(program).parent().expect("a folder");
    let library = programs.join("examples").join(format!("lib{name}.so"));
    assert!(
        library.exists(),
        "build it with `cargo build -p anyfork-tests --examples`"
    );
    library
}

/// Runs a program until none of its processes is left that has its stdout or
/// stderr; gives its status and what they printed.
pub fn run(command: &mut Command) -> (ExitStatus, String) {
    let what = format!("{command:?}");
    let output = bounded(&what, || command.output());
    let output = output.unwrap_or_else(|error| panic!("{what}: {error}"));
    let text = [output.stdout, output.stderr].concat();
    (output.status, String::from_utf8_lossy(&text).into_owned())
}

/// The same of one that must succeed.
pub fn succeed(command: &mut Command) -> String {
    let (status, text) = run(command);
    assert!(status.success(), "{command:?}: {status}\n{text}");
    text
}

/// What starts a program as the first process of a container, with pids of its own; says
/// so if that is not permitted.
pub fn in_pid_namespace() -> Option<Command> {
    let unshare = |user: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(user).stdin(Stdio::null());
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
        command
    };
    let users = [&[][..], &["--user", "--map-root-user"]];
    let allowed = users.into_iter().find(|user| {
        let mut command = unshare(user);
        command.args(["sh", "-c", "echo 100 > /proc/sys/kernel/ns_last_pid"]);
        command.output().is_ok_and(|it| it.status.success())
    });
    if allowed.is_none() {
        eprintln!("skipped: a namespace for pids of its own is not permitted");
    }
    allowed.map(unshare)
}

/// Ends a process.
pub fn kill_now(pid: u32) {
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).expect("a process to kill");
}

/// Ends a process, and waits until it has.
pub fn end(pid: u32) {
    kill_now(pid);
    until("a killed process is gone", || has_ended(pid));
}

/// Has a process take no further step, and waits until it is so.
pub fn stop(pid: u32) {
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGSTOP).expect("a process to stop");
    until("a process has stopped", || {
        stat(pid).is_some_and(|(state, _)| state == 'T')
    });
}

/// The process that `process` is forked from, or is, once it serves.
pub fn serving(process: &Process) -> u32 {
    let worker = held(process.fork());
    let template = template_of(&worker);
    release(worker);
    template
}

/// All processes that run a program's file and have not ended.
pub fn running(file: &Path) -> BTreeSet<u32> {
    let file = file.canonicalize().expect("a file");
    let pids = fs::read_dir("/proc").expect("/proc").filter_map(|entry| {
        let name = entry.ok()?.file_name();
        name.to_str()?.parse().ok()
    });
    pids.filter(|pid| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == file))
        .filter(|pid| !has_ended(*pid))
        .collect()
}

/// What a program that is exec'ed as a template would be given: a caller's end, and
/// the other with a greeting of this version in it, which is left open to
/// programs; and where the answer comes.
pub fn boot_by_hand(version: u8) -> (UnixDatagram, OwnedFd, UnixStream) {
    let (family, kind) = (AddressFamily::Unix, SockType::SeqPacket);
    let pair = socketpair(family, kind, None, SockFlag::SOCK_CLOEXEC);
    let (control, served) = pair.expect("a pair");
    let control = UnixDatagram::from(control);
    let (answer, answering) = UnixStream::pair().expect("a pair");
    let greeting = [b'A', b'F', version, 0];
    let sent = control.send_with_fd(&greeting, &[answering.as_raw_fd()]);
    sent.expect("room in the queue");
    // SAFETY: sets a flag of a descriptor that is ours.
    let set = unsafe { libc::fcntl(served.as_raw_fd(), libc::F_SETFD, 0) };
    assert_eq!(set, 0);
    (control, served, answer)
}

/// Asserts that all workers have this process's standard streams, as std has opened
/// those anew that were closed, and their templates have none of them.
pub fn assert_same_streams() {
    let own = descriptors(std::process::id());
    let exec = Process::new_exec().expect("a template");
    let default = Process::new().expect("a template");
    for process in [exec, default].into_iter().chain(Process::early()) {
        let worker = held(process);
        let (theirs, templates) = (descriptors(worker.pid()), descriptors(template_of(&worker)));
        for number in 0..3 {
            assert_eq!(theirs.get(&number), own.get(&number), "{theirs:?}");
            assert_eq!(templates[&number], "/dev/null", "{templates:?}");
        }
        release(worker);
    }
}

/// A folder that goes with its owner.
pub struct Folder(PathBuf);

impl Folder {
    /// An empty one inside `parent`, for one test.
    pub fn new(parent: &str, test: &str) -> Folder {
        let path = Path::new(parent).join(format!("{test}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    /// A copy of a program, which nobody else runs.
    pub fn copy(&self, program: &str, name: &str) -> PathBuf {
        let path = self.0.join(name);
        // Not `fs::copy`: while this process has the copy open for writing,
        // another thread's fork would keep it from being executed.
        let status = Command::new("cp").arg(program).arg(&path).status();
        assert!(status.expect("cp").success());
        path
    }
}

impl Deref for Folder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
