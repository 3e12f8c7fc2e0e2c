//! What the tests share: a look into `/proc`, waiting with a deadline, and a
//! worker that stays until it is let go.

pub mod births;
pub mod comparison;
pub mod hanging;
pub mod hostile;
mod launches;
pub mod picky;
pub mod random;
pub mod resources;
pub mod rights;
mod scene;
pub mod spares;
pub mod tracing;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyfork::{Args, Process, blocking};

pub use launches::{
    byte_of, end_by, exit_of, look_at, new, poll_once, rest_of, runtime, runtime_of_two, text_of,
};
pub use scene::Scene;

/// What takes longer than this hangs, also on a machine with much to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// Stays until the caller closes the socket, with all that was sent to it open.
#[anyfork::worker]
pub fn hold(mut socket: UnixStream, rest: Args) -> io::Result<()> {
    socket.write_all(ENTERED)?;
    io::copy(&mut socket, &mut io::sink())?;
    drop(rest);
    Ok(())
}

const ENTERED: &[u8; 1] = b"!";

/// Starts [`hold()`] and returns when it is in its function.
pub fn held(process: Process) -> blocking::Worker {
    try_held(process).expect("a worker that holds")
}

/// As [`held`], where the launch may fail.
pub fn try_held(process: Process) -> anyfork::Result<blocking::Worker> {
    let launch = hold::run(process, Args::new());
    let mut worker = bounded("a launch", || launch.blocking())?;
    let mut entered = [0];
    worker.socket.read_exact(&mut entered)?;
    assert_eq!(&entered, ENTERED);
    Ok(worker)
}

/// Lets a worker that holds go, and waits until it has.
pub fn release(mut worker: blocking::Worker) {
    let closed = worker.socket.shutdown(Shutdown::Write);
    closed.expect("the worker was there");
    let exit = bounded("a worker's end", || worker.wait());
    assert!(exit.expect("a status").success());
}

/// Keeps tests of one file apart that look at the descriptors or the children
/// of the whole process, and from what the last one left to end by itself.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    if Process::early().is_ok() {
        let template = early_template();
        until("the last test's processes are gone", || {
            children(template).is_empty()
        });
    }
    guard
}

/// Polls until `done`; for what `/proc` alone can tell.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Runs `work`, and ends the whole test when it hangs.
pub fn bounded<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let (done, watch) = mpsc::channel::<()>();
    let what = what.to_owned();
    let watch = thread::spawn(move || {
        // Longer than any wait inside, so that those can say more.
        if watch.recv_timeout(2 * PATIENCE) == Err(RecvTimeoutError::Timeout) {
            eprintln!("hangs: {what}");
            std::process::abort();
        }
    });
    let value = work();
    drop(done);
    watch.join().expect("the watch ends");
    value
}

/// Sets it when it is dropped, also by a panic: so a thread that works until then ends, and
/// its scope does not wait for it for ever.
pub struct SetAtEnd<'a>(pub &'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The process that a worker was forked from.
pub fn template_of(worker: &blocking::Worker) -> u32 {
    stat(worker.pid()).expect("the worker runs").1
}

/// The early template.
pub fn early_template() -> u32 {
    let worker = held(Process::early().expect("an early template"));
    let template = template_of(&worker);
    release(worker);
    template
}

/// The open descriptors of a process: number and what it is. None, and it says so, if this
/// process may not see them: templates are closed to others of their user.
pub fn descriptors(pid: u32) -> BTreeMap<i32, String> {
    let folder = format!("/proc/{pid}/fd");
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            eprintln!("skipped: {folder} may not be seen");
            return BTreeMap::new();
        }
        Err(error) => panic!("{folder}: {error}"),
    };
    let entries = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let number = entry.file_name().to_str()?.parse().ok()?;
        let link = fs::read_link(entry.path()).ok()?;
        Some((number, link.to_str()?.to_owned()))
    });
    // Without the one that reads the folder.
    entries.filter(|(_, link)| *link != folder).collect()
}

/// The open file under a number that this process did not choose.
pub fn duplicate(number: i32) -> File {
    // SAFETY: an error if it is not open.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    let duplicate = fd.try_clone_to_owned();
    duplicate.expect("an open descriptor").into()
}

/// What the kernel says an open descriptor's flags are (open(2)).
pub fn flags(pid: u32, fd: i32) -> i32 {
    let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).expect("an open descriptor");
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    i32::from_str_radix(flags.expect("flags").trim(), 8).expect("an octal number")
}

/// A field of `/proc/<pid>/status`, such as `SigIgn`.
pub fn status(pid: u32, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let value = status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.expect("a field").trim().to_owned()
}

/// The state letter and the parent of a process, if there is one of that pid. One that is
/// just being reaped (`X`) is none.
pub fn stat(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit(") ").next()?.split(' ');
    let state = fields.next()?.parse().ok().filter(|state| *state != 'X')?;
    Some((state, fields.next()?.parse().ok()?))
}

/// The nice value of a process (proc_pid_stat(5)).
pub fn nice_of(pid: u32) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let (_, fields) = stat.rsplit_once(") ").expect("a name");
    let nice = fields.split(' ').nth(16).expect("a 19th field");
    nice.parse().expect("a number")
}

/// The soft and the hard limit of a process, by a name such as `Max open files`
/// (proc_pid_limits(5)).
pub fn limits(pid: u32, name: &str) -> [String; 2] {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("a process");
    let values = limits.lines().find_map(|line| line.strip_prefix(name));
    let mut values = values.expect("a limit").split_whitespace();
    let mut next = || values.next().expect("two values").to_owned();
    [next(), next()]
}

/// Whether the kernel keeps the status of a process that was reaped.
pub fn kernel_keeps_status() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("a version");
    let mut numbers = release.split('.').map(|it| it.parse::<u32>().unwrap_or(0));
    let keeps = (numbers.next(), numbers.next()) >= (Some(6), Some(15));
    if !keeps {
        eprintln!("skipped: this kernel does not keep a status");
    }
    keeps
}

/// All children of a process, zombies too, with their states.
pub fn children(pid: u32) -> BTreeMap<u32, char> {
    let pids = fs::read_dir("/proc").expect("/proc").filter_map(|entry| {
        let name = entry.ok()?.file_name();
        name.to_str()?.parse().ok()
    });
    let mut found = BTreeMap::new();
    for child in pids {
        if let Some((state, parent)) = stat(child)
            && parent == pid
        {
            found.insert(child, state);
        }
    }
    found
}

/// Whether a process has ended. One that has no parent any more may lie about
/// as a zombie: the first process of a container does not always reap.
pub fn has_ended(pid: u32) -> bool {
    stat(pid).is_none_or(|(state, _)| state == 'Z')
}

/// A pipe that holds `text` and then ends.
pub fn pipe_with(text: &str) -> OwnedFd {
    let (read, mut write) = io::pipe().expect("a pipe");
    write.write_all(text.as_bytes()).expect("room in the pipe");
    read.into()
}

/// Sends a signal to a process that has not been reaped (kill(2)).
pub fn send_signal(pid: u32, signal: i32) {
    // SAFETY: takes two numbers.
    assert_eq!(unsafe { libc::kill(pid as libc::pid_t, signal) }, 0);
}

/// The `errno` behind an error.
pub fn error_number(error: &anyfork::Error) -> Option<i32> {
    let source = std::error::Error::source(error)?;
    source.downcast_ref::<io::Error>()?.raw_os_error()
}

/// Sets a soft limit of a process of the same user (prlimit(2)), for example
/// `RLIMIT_NOFILE`; gives what it was.
pub fn set_soft_limit(pid: u32, resource: u32, soft: u64) -> io::Result<u64> {
    let (pid, resource) = (pid as libc::pid_t, resource as _);
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: reads into a local and sets nothing.
    if unsafe { libc::prlimit(pid, resource, std::ptr::null(), &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let before = limit.rlim_cur;
    limit.rlim_cur = soft.min(limit.rlim_max);
    // SAFETY: reads from a local.
    if unsafe { libc::prlimit(pid, resource, &raw const limit, std::ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(before)
}
