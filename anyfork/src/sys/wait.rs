//! Reaping children, and looking at how a process has exited.
//! RUNS IN: any
//!
//! What a pidfd tells of its process is [`pidfd`]'s topic.

use std::fs;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::sys::pidfd;
use crate::sys::pidfd::ProcessState;
use crate::sys::proc_stat::stat_field;

/// How a process has exited and what it used, as the kernel reports both.
pub(crate) struct ExitRecord {
    /// As waitpid(2) encodes it.
    pub(crate) status: i32,
    pub(crate) user_micros: u64,
    pub(crate) system_micros: u64,
    /// In bytes.
    pub(crate) peak_memory: u64,
}

/// How a child has exited, which stays to be reaped; `None` if it runs
/// (`WNOWAIT`, waitid(2)).
pub(crate) fn peek(pid: u32) -> io::Result<Option<ExitRecord>> {
    waitid(libc::P_PID, pid, libc::WNOHANG | libc::WNOWAIT)
}

/// Waits until a child has exited, which stays to be reaped (`WNOWAIT`,
/// waitid(2)).
#[cfg(test)]
fn peek_blocking(pid: u32) -> io::Result<Option<ExitRecord>> {
    waitid(libc::P_PID, pid, libc::WNOWAIT)
}

/// Reaps a child that has exited; `None` if it runs (waitid(2)).
pub(crate) fn reap(pid: u32) -> io::Result<Option<ExitRecord>> {
    waitid(libc::P_PID, pid, libc::WNOHANG)
}

/// Waits a moment for a child's exit, which stays to be reaped: one that was sent SIGKILL
/// may be traced, and stays then until its tracer lets it go. `None`: it does.
pub(crate) fn peek_soon(pid: u32) -> io::Result<Option<ExitRecord>> {
    /// Number of looks, one each millisecond.
    const LOOKS: u32 = 20;
    for _ in 0..LOOKS {
        match peek(pid) {
            Ok(None) => thread::sleep(Duration::from_millis(1)),
            exit => return exit,
        }
    }
    peek(pid)
}

/// Reaps a child that is about to exit (waitpid(2)). It is no error if somebody
/// else has reaped it.
pub(crate) fn reap_blocking(pid: u32) -> io::Result<()> {
    loop {
        match waitpid(Pid::from_raw(pid.cast_signed()), None) {
            Err(Errno::EINTR) => {}
            Ok(_) | Err(Errno::ECHILD) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether the kernel makes this process the parent of processes that have lost theirs:
/// the first process, and a subreaper (`PR_GET_CHILD_SUBREAPER`, prctl(2)).
pub(crate) fn adopts_orphans() -> bool {
    let mut subreaper: libc::c_int = 0;
    // SAFETY: writes to a local.
    let asked = unsafe { libc::prctl(libc::PR_GET_CHILD_SUBREAPER, &raw mut subreaper) };
    std::process::id() == 1 || (asked == 0 && subreaper != 0)
}

/// Reaps a process that has exited and that this process has adopted, because the
/// process's parent was gone (`PR_SET_CHILD_SUBREAPER`, prctl(2)); `None` if it is
/// no child of this process (`P_PIDFD`, waitid(2)).
pub(crate) fn reap_adopted(pidfd: BorrowedFd<'_>) -> Option<ExitRecord> {
    let fd = pidfd.as_raw_fd().cast_unsigned();
    waitid(libc::P_PIDFD, fd, libc::WNOHANG).ok().flatten()
}

fn waitid(kind: libc::idtype_t, id: u32, options: i32) -> io::Result<Option<ExitRecord>> {
    /// The kernel's `struct rusage`. The C library's has longer times on some
    /// targets.
    #[repr(C)]
    struct Usage {
        user: [libc::c_long; 2],
        system: [libc::c_long; 2],
        peak_kib: libc::c_long,
        rest: [libc::c_long; 13],
    }
    // SAFETY: all-zero is a valid siginfo.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    // SAFETY: all-zero is a valid Usage.
    let mut usage: Usage = unsafe { mem::zeroed() };
    loop {
        // SAFETY: both pointers are to locals of the kernel's layout.
        let result = unsafe {
            libc::syscall(
                libc::SYS_waitid,
                kind,
                id,
                &raw mut info,
                options | libc::WEXITED,
                &raw mut usage,
            )
        };
        match result {
            -1 if Errno::last() == Errno::EINTR => {}
            -1 => return Err(io::Error::last_os_error()),
            _ => break,
        }
    }
    // SAFETY: waitid fills the pid in, or it is still 0.
    if unsafe { info.si_pid() } == 0 {
        return Ok(None);
    }
    // SAFETY: for a child that has exited, waitid fills the status in.
    let status = unsafe { info.si_status() };
    let micros = |[seconds, micros]: [libc::c_long; 2]| seconds as u64 * 1_000_000 + micros as u64;
    Ok(Some(ExitRecord {
        status: match info.si_code {
            libc::CLD_EXITED => (status & 0xff) << 8,
            libc::CLD_DUMPED => status | 0x80,
            _ => status,
        },
        user_micros: micros(usage.user),
        system_micros: micros(usage.system),
        peak_memory: usage.peak_kib as u64 * 1024,
    }))
}

/// The wait status of a zombie, from `/proc/PID/stat`; `None` if the process was
/// reaped, or if this process may not look at it (proc(5)).
///
/// Some init processes never reap the orphans that they adopt.
pub(crate) fn zombie_status(pid: u32, pidfd: BorrowedFd<'_>) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // A process that may not look reads status 0. A zombie has no executable, and
    // only a process that may look gets ENOENT for it.
    let executed = fs::read_link(format!("/proc/{pid}/exe"));
    let may_look = executed.is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    // As long as the process was not reaped, the pid is its own.
    let is_ours = pidfd::state(pidfd).ok()? == ProcessState::Exited;
    let status = stat_field(&stat, 52)?;
    (may_look && is_ours).then_some(status as i32)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A child of this test that is not reaped yet, its pid and its pidfd. The
    /// child's standard input is open as long as the `Child` lives.
    fn child(script: &str) -> (Child, u32, std::os::fd::OwnedFd) {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", script]).stdin(Stdio::piped());
        #[allow(clippy::zombie_processes, reason = "the tests reap it")]
        let child = shell.spawn().unwrap();
        let pid = child.id();
        (child, pid, pidfd::open(pid).unwrap())
    }

    #[test]
    fn every_way_to_a_status_tells_the_same() {
        for (script, status) in [
            ("exit 0", 0),
            ("exit 7", 7 << 8),
            ("exit 255", 255 << 8),
            ("kill -KILL $$", 9),
            ("kill -40 $$", 40),
        ] {
            let (_child, pid, pidfd) = child(script);
            let pidfd = pidfd.as_fd();
            assert_eq!(
                peek_blocking(pid).unwrap().unwrap().status,
                status,
                "{script}"
            );
            assert_eq!(peek(pid).unwrap().unwrap().status, status, "{script}");
            assert_eq!(pidfd::state(pidfd).unwrap(), ProcessState::Exited);
            assert_eq!(zombie_status(pid, pidfd), Some(status), "{script}");
            assert_eq!(pidfd::exit_status(pidfd), None);
            let record = reap_adopted(pidfd).unwrap();
            assert!(
                record.status == status && record.peak_memory > 0,
                "{script}"
            );
            assert!(reap(pid).is_err() && reap_adopted(pidfd).is_none());
            assert_eq!(zombie_status(pid, pidfd), None);
            // Older kernels do not keep the status.
            if let Some(kept) = pidfd::exit_status(pidfd) {
                assert_eq!(
                    (kept, pidfd::state(pidfd).unwrap()),
                    (status, ProcessState::Reaped)
                );
            }
        }
    }

    #[test]
    fn a_process_that_runs_has_no_end() {
        let (_child, pid, pidfd) = child("read line");
        let pidfd = pidfd.as_fd();
        assert_eq!(pidfd::state(pidfd).unwrap(), ProcessState::Running);
        assert!(peek(pid).unwrap().is_none() && reap(pid).unwrap().is_none());
        assert!(zombie_status(pid, pidfd).is_none() && reap_adopted(pidfd).is_none());
        pidfd::kill_child(pid).unwrap();
        assert_eq!(peek_blocking(pid).unwrap().unwrap().status, libc::SIGKILL);
        reap(pid).unwrap().unwrap();
    }
}
