//! How a process has ended: what the kernel tells its parent, and what it tells
//! others that hold its pidfd.

use std::fs;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::sys::startup::stat_field;

/// The end of a child, as the kernel reports it.
pub(crate) struct End {
    /// As `waitpid(2)` encodes it.
    pub(crate) status: i32,
    pub(crate) user_micros: u64,
    pub(crate) system_micros: u64,
    /// In bytes.
    pub(crate) peak_memory: u64,
}

/// What this process and the children that it waited for have used (getrusage(2)).
/// The status is 0.
#[inline]
pub(crate) fn usage() -> End {
    let mut end = End {
        status: 0,
        user_micros: 0,
        system_micros: 0,
        peak_memory: 0,
    };
    for who in [libc::RUSAGE_SELF, libc::RUSAGE_CHILDREN] {
        // SAFETY: all-zero is a valid rusage.
        let mut usage: libc::rusage = unsafe { mem::zeroed() };
        // SAFETY: fills a local; what is refused stays zero.
        unsafe { libc::getrusage(who, &raw mut usage) };
        let micros = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
        end.user_micros += micros(usage.ru_utime);
        end.system_micros += micros(usage.ru_stime);
        let peak = usage.ru_maxrss.unsigned_abs() * 1024;
        end.peak_memory = end.peak_memory.max(peak);
    }
    end
}

/// The end of a child that stays to be collected; `None` if it runs
/// (waitid(2)).
pub(crate) fn look(pid: u32) -> io::Result<Option<End>> {
    waitid(libc::P_PID, pid, libc::WNOHANG | libc::WNOWAIT)
}

/// Waits for the end of a child that stays to be collected (waitid(2)).
pub(crate) fn wait(pid: u32) -> io::Result<Option<End>> {
    waitid(libc::P_PID, pid, libc::WNOWAIT)
}

/// Collects a child that has ended; `None` if it runs (waitid(2)).
pub(crate) fn collect(pid: u32) -> io::Result<Option<End>> {
    waitid(libc::P_PID, pid, libc::WNOHANG)
}

/// Collects a process that has ended and that the kernel has made a child of
/// this one's, because its parent was gone; `None` if it is none
/// (`PR_SET_CHILD_SUBREAPER`, prctl(2)).
pub(crate) fn collect_adopted(pidfd: BorrowedFd<'_>) -> Option<End> {
    let fd = pidfd.as_raw_fd().cast_unsigned();
    waitid(libc::P_PIDFD, fd, libc::WNOHANG).ok().flatten()
}

fn waitid(kind: libc::idtype_t, id: u32, options: i32) -> io::Result<Option<End>> {
    /// The kernel's `struct rusage`, which differs from the C library's where
    /// that has longer times.
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
    // SAFETY: for a child that has ended, waitid fills the status in.
    let status = unsafe { info.si_status() };
    let micros = |[seconds, micros]: [libc::c_long; 2]| seconds as u64 * 1_000_000 + micros as u64;
    Ok(Some(End {
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

/// How far a process has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Running,
    /// Its parent has not collected it.
    Ended,
    /// Before Linux 6.9 this is not told from the former.
    Collected,
}

/// What the process's pidfd tells (pidfd_open(2)).
pub(crate) fn stage(pidfd: BorrowedFd<'_>) -> io::Result<Stage> {
    let mut fds = [PollFd::new(pidfd, PollFlags::POLLIN)];
    while let Err(error) = poll(&mut fds, PollTimeout::ZERO) {
        if error != Errno::EINTR {
            return Err(error.into());
        }
    }
    let events = fds[0].revents().unwrap_or(PollFlags::empty());
    Ok(match events {
        events if events.contains(PollFlags::POLLHUP) => Stage::Collected,
        events if events.is_empty() => Stage::Running,
        _ => Stage::Ended,
    })
}

/// The status of a process that was collected, from its pidfd; `None` while it
/// was not, and if this kernel does not keep it (`PIDFD_GET_INFO` with
/// `PIDFD_INFO_EXIT`, Linux 6.15).
pub(crate) fn status_kept(pidfd: BorrowedFd<'_>) -> Option<i32> {
    // SAFETY: all-zero is a valid pidfd_info.
    let mut info: libc::pidfd_info = unsafe { mem::zeroed() };
    let wanted = u64::from(libc::PIDFD_INFO_EXIT);
    info.mask = wanted;
    // SAFETY: the request's number has the structure's size in it.
    let asked = unsafe { libc::ioctl(pidfd.as_raw_fd(), libc::PIDFD_GET_INFO, &raw mut info) };
    (asked != -1 && info.mask & wanted != 0).then_some(info.exit_code)
}

/// The status of a process that waits to be collected, from `/proc`; `None` if it
/// does not wait any more, or is none of ours to look at (proc(5)).
///
/// There are first processes that never collect what the kernel leaves to them.
pub(crate) fn status_of_zombie(pid: u32, pidfd: BorrowedFd<'_>) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Who may not look is shown 0. A zombie executes nothing, but only those
    // who may look are told.
    let executed = fs::read_link(format!("/proc/{pid}/exe"));
    let may_look = executed.is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    // While it was not collected, the pid is its own.
    let is_ours = stage(pidfd).ok()? == Stage::Ended;
    let status = stat_field(&stat, 52)?;
    (may_look && is_ours).then_some(status as i32)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::process::{Child, Command, Stdio};

    use super::*;
    use crate::sys::fork;

    /// A child of this test that is not collected yet, and its pidfd. What it
    /// reads comes to no end while the first of the three is there.
    fn child(script: &str) -> (Child, u32, std::os::fd::OwnedFd) {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", script]).stdin(Stdio::piped());
        #[allow(clippy::zombie_processes, reason = "the tests collect it")]
        let child = shell.spawn().unwrap();
        let pid = child.id();
        (child, pid, fork::pidfd(pid).unwrap())
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
            assert_eq!(wait(pid).unwrap().unwrap().status, status, "{script}");
            assert_eq!(look(pid).unwrap().unwrap().status, status, "{script}");
            assert_eq!(stage(pidfd).unwrap(), Stage::Ended);
            assert_eq!(status_of_zombie(pid, pidfd), Some(status), "{script}");
            assert_eq!(status_kept(pidfd), None);
            let end = collect_adopted(pidfd).unwrap();
            assert!(end.status == status && end.peak_memory > 0, "{script}");
            assert!(collect(pid).is_err() && collect_adopted(pidfd).is_none());
            assert_eq!(status_of_zombie(pid, pidfd), None);
            // Older kernels do not tell.
            if let Some(kept) = status_kept(pidfd) {
                assert_eq!((kept, stage(pidfd).unwrap()), (status, Stage::Collected));
            }
        }
    }

    #[test]
    fn a_process_that_runs_has_no_end() {
        let (_child, pid, pidfd) = child("read line");
        let pidfd = pidfd.as_fd();
        assert_eq!(stage(pidfd).unwrap(), Stage::Running);
        assert!(look(pid).unwrap().is_none() && collect(pid).unwrap().is_none());
        assert!(status_of_zombie(pid, pidfd).is_none() && collect_adopted(pidfd).is_none());
        fork::kill_child(pid).unwrap();
        assert_eq!(wait(pid).unwrap().unwrap().status, libc::SIGKILL);
        collect(pid).unwrap().unwrap();
    }
}
