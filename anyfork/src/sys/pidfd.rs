//! Descriptors for processes: their state, and signals that reach exactly them.
//! RUNS IN: any

use std::fs;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::OnceLock;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::sys::fd::above_standard;
use crate::sys::missing;
use crate::sys::poll::{Interest, is_any_ready};

/// A descriptor for a process (pidfd_open(2)). `pid` must not have been reaped
/// yet: it is a child of this process, or this process itself.
#[inline]
pub(crate) fn open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes two numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) };
    match fd {
        -1 => Err(missing::PIDFD_OPEN.last_error()),
        // SAFETY: the kernel has just made it for us.
        fd => above_standard(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }),
    }
}

/// Sends a signal to exactly the process that the descriptor stands for
/// (pidfd_send_signal(2)).
pub(crate) fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    send_signal_with(pidfd, signal, 0)
}

/// Sends a signal to the process group that this process leads, or led before it
/// exited (pidfd_send_signal(2); Linux 6.9).
///
/// On an older kernel the signal goes to the group's number (kill(2)), which is
/// the group's own as long as the leader was not reaped.
pub(crate) fn send_signal_to_group(pidfd: BorrowedFd<'_>, pid: u32, signal: i32) -> io::Result<()> {
    /// `PIDFD_SIGNAL_PROCESS_GROUP`.
    const PROCESS_GROUP: u32 = 4;
    match send_signal_with(pidfd, signal, PROCESS_GROUP) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            // Fails if the leader was reaped.
            send_signal_with(pidfd, 0, 0)?;
            let group = -pid.cast_signed();
            // SAFETY: takes two numbers.
            match unsafe { libc::kill(group, signal) } {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        }
        result => result,
    }
}

fn send_signal_with(pidfd: BorrowedFd<'_>, signal: i32, flags: u32) -> io::Result<()> {
    let info = ptr::null::<libc::siginfo_t>();
    // SAFETY: a null info lets the kernel fill in what kill(2) would.
    let sent = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            info,
            flags,
        )
    };
    match sent {
        0 => Ok(()),
        _ => Err(missing::PIDFD_SEND_SIGNAL.last_error()),
    }
}

/// Whose pidfd a descriptor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The sender's. Or that of a process that was reaped, which is as good, because no
    /// signal reaches anybody by it.
    Theirs,
    /// Another process's, or it is no pidfd.
    Others,
    /// The kernel does not tell: before Linux 6.13, without `/proc`.
    Unknown,
}

/// Whether `fd` is the pidfd of the process that has sent it, and whose pid was `pid` then
/// by the kernel's word (`SCM_CREDENTIALS`, unix(7)).
///
/// A pid is nobody else's as long as an unreaped process has it. So if `fd` leads to such a
/// process, with the sender's pid, that is the sender.
pub(crate) fn whose(fd: BorrowedFd<'_>, pid: u32) -> io::Result<Whose> {
    // First, because on what is no pidfd it does nothing: an ioctl may be any program's to
    // answer (FUSE).
    let process = match send_signal(fd, 0) {
        Ok(()) => process_of(fd),
        Err(error) => match error.raw_os_error() {
            Some(libc::EPERM) => process_of(fd),
            Some(libc::ESRCH) => Process::Reaped,
            Some(libc::EINVAL) => Process::Hidden,
            Some(libc::EBADF) => return Ok(Whose::Others),
            _ => return Err(error),
        },
    };
    let is_theirs = match process {
        Process::Pid(found) => found == pid,
        Process::Reaped => true,
        // Such a sender has no pid here, either.
        Process::Hidden => pid == 0,
        Process::Unknown if pid != 0 => return Ok(Whose::Unknown),
        Process::Unknown => false,
    };
    Ok(match is_theirs {
        true => Whose::Theirs,
        false => Whose::Others,
    })
}

/// What a pidfd leads to.
enum Process {
    Pid(u32),
    Reaped,
    /// A process in a pid namespace that this process does not see.
    Hidden,
    /// The kernel does not tell.
    Unknown,
}

/// The process of a pidfd (`PIDFD_GET_INFO`, Linux 6.13; before, `/proc/self/fdinfo`,
/// proc(5)).
fn process_of(pidfd: BorrowedFd<'_>) -> Process {
    // SAFETY: all-zero is a valid pidfd_info.
    let mut info: libc::pidfd_info = unsafe { mem::zeroed() };
    info.mask = u64::from(libc::PIDFD_INFO_PID);
    // SAFETY: the request's number has the structure's size in it.
    let asked = unsafe { libc::ioctl(pidfd.as_raw_fd(), libc::PIDFD_GET_INFO, &raw mut info) };
    if asked != -1 && info.pid != 0 {
        return Process::Pid(info.pid);
    }
    // Reaped since the signal was tried, or the kernel does not tell for another reason.
    let was_reaped = |error: io::Error| error.raw_os_error() == Some(libc::ESRCH);
    if send_signal(pidfd, 0).is_err_and(was_reaped) {
        return Process::Reaped;
    }
    let Ok(info) = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())) else {
        return Process::Unknown;
    };
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:"));
    match pid.and_then(|pid| pid.trim().parse::<i32>().ok()) {
        Some(-1) => Process::Reaped,
        Some(0) => Process::Hidden,
        Some(pid) => Process::Pid(pid.cast_unsigned()),
        None => Process::Unknown,
    }
}

/// Kills a child that this process has not reaped yet, so that the pid is still
/// the child's (kill(2)).
pub(crate) fn kill_child(pid: u32) -> io::Result<()> {
    Ok(kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL)?)
}

/// Kills the process group that such a child leads, if it leads one (kill(2)). As long as the
/// child is not reaped, no other group has its number.
pub(crate) fn kill_group_of_child(pid: u32) -> io::Result<()> {
    Ok(killpg(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL)?)
}

/// What a pidfd tells of its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProcessState {
    Running,
    /// The process has exited, and its parent has not reaped it.
    Exited,
    /// The parent has reaped the process. Before Linux 6.9 the kernel reports
    /// [`Exited`](ProcessState::Exited) instead.
    Reaped,
}

/// The state of the process now (poll(2) on a pidfd, pidfd_open(2)).
pub(crate) fn state(pidfd: BorrowedFd<'_>) -> io::Result<ProcessState> {
    let mut fds = [PollFd::new(pidfd, PollFlags::POLLIN)];
    while let Err(error) = poll(&mut fds, PollTimeout::ZERO) {
        if error != Errno::EINTR {
            return Err(error.into());
        }
    }
    let events = fds[0].revents().unwrap_or(PollFlags::empty());
    Ok(match events {
        events if events.contains(PollFlags::POLLHUP) => ProcessState::Reaped,
        events if events.is_empty() => ProcessState::Running,
        _ => ProcessState::Exited,
    })
}

/// Whether the process has exited (poll(2) on a pidfd, pidfd_open(2)).
pub(crate) fn has_exited(pidfd: BorrowedFd<'_>) -> bool {
    is_any_ready(&[(pidfd, Interest::Readable)], Duration::ZERO)
}

/// Whether the kernel keeps the [`exit_status`] of a process that was reaped (uname(2)).
pub(crate) fn keeps_exit_status() -> bool {
    static KEEPS: OnceLock<bool> = OnceLock::new();
    *KEEPS.get_or_init(|| {
        let name = nix::sys::utsname::uname().ok();
        let release = name.and_then(|name| name.release().to_str().map(str::to_owned));
        let mut numbers = release.iter().flat_map(|it| it.split(['.', '-', '+', '_']));
        let mut next = || numbers.next().and_then(|it| it.parse::<u32>().ok());
        matches!((next(), next()), (Some(6), Some(15..)) | (Some(7..), _))
    })
}

/// The wait status of a process that was reaped; `None` before that, and on a
/// kernel that does not keep it (`PIDFD_GET_INFO` with `PIDFD_INFO_EXIT`, Linux
/// 6.15).
pub(crate) fn exit_status(pidfd: BorrowedFd<'_>) -> Option<i32> {
    // SAFETY: all-zero is a valid pidfd_info.
    let mut info: libc::pidfd_info = unsafe { mem::zeroed() };
    let wanted = u64::from(libc::PIDFD_INFO_EXIT);
    info.mask = wanted;
    // SAFETY: the request's number has the structure's size in it.
    let asked = unsafe { libc::ioctl(pidfd.as_raw_fd(), libc::PIDFD_GET_INFO, &raw mut info) };
    (asked != -1 && info.mask & wanted != 0).then_some(info.exit_code)
}
