//! Forking, signalling, leaving.

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;

use nix::errno::Errno;
use nix::unistd::{ForkResult, Pid};

use crate::sys::fd::above;

/// The two sides of a [`fork`].
pub(crate) enum Side {
    /// The new process.
    Child,
    /// The process that forked, with the other's pid.
    Parent(u32),
}

/// Forks (fork(2), the C library's, so that `pthread_atfork` handlers run).
///
/// For processes with one thread only: the callers see to it.
pub(crate) fn fork() -> io::Result<Side> {
    // SAFETY: the process has one thread, so the child finds every lock free.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Child => Ok(Side::Child),
        ForkResult::Parent { child } => Ok(Side::Parent(child.as_raw().unsigned_abs())),
    }
}

/// This process's pid (getpid(2)).
#[inline]
pub(crate) fn own_pid() -> u32 {
    // SAFETY: getpid has no preconditions.
    unsafe { libc::getpid() }.cast_unsigned()
}

/// Has the kernel kill this process when its parent dies, which has one thread;
/// an error if that has happened already (`PR_SET_PDEATHSIG`, prctl(2)).
pub(crate) fn die_with_parent(parent: u32) -> io::Result<()> {
    // SAFETY: takes numbers.
    if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } != 0 {
        return Err(io::Error::last_os_error());
    }
    match std::os::unix::process::parent_id() == parent {
        true => Ok(()),
        false => Err(io::ErrorKind::NotFound.into()),
    }
}

/// Undoes that.
pub(crate) fn outlive_parent() {
    // SAFETY: takes numbers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, 0) };
}

/// Ends the process at once: no destructor, no `atexit` function (_exit(2)).
#[inline]
pub(crate) fn leave(code: u8) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(code.into()) }
}

/// Writes out what the C library has buffered (fflush(3)).
pub(crate) fn flush_c_streams() {
    // SAFETY: a null stream stands for all output streams.
    unsafe { libc::fflush(std::ptr::null_mut()) };
}

/// A descriptor for a process (pidfd_open(2)). `pid` must not have been reaped
/// yet: a child of this process's, or the process itself.
#[inline]
pub(crate) fn pidfd(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes two numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) };
    match fd {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: the kernel has just made it for us.
        fd => above(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }),
    }
}

/// Sends a signal to exactly the process that the descriptor stands for
/// (pidfd_send_signal(2)).
pub(crate) fn signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    send_signal(pidfd, signal, 0)
}

/// Sends a signal to the process group that has, or had, this process for its
/// leader (pidfd_send_signal(2); Linux 6.9).
///
/// Older kernels are asked by number (kill(2)), which is the group's own as long
/// as the leader was not collected.
pub(crate) fn signal_group(pidfd: BorrowedFd<'_>, pid: u32, signal: i32) -> io::Result<()> {
    const PROCESS_GROUP: u32 = 4;
    match send_signal(pidfd, signal, PROCESS_GROUP) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            // Nobody is there any more if this fails.
            send_signal(pidfd, 0, 0)?;
            let group = Pid::from_raw(-pid.cast_signed());
            // SAFETY: takes two numbers.
            match unsafe { libc::kill(group.as_raw(), signal) } {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        }
        result => result,
    }
}

fn send_signal(pidfd: BorrowedFd<'_>, signal: i32, flags: u32) -> io::Result<()> {
    let info = std::ptr::null::<libc::siginfo_t>();
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
        _ => Err(io::Error::last_os_error()),
    }
}

/// Kills a child that was not collected yet, so that its pid is still its own
/// (kill(2)).
pub(crate) fn kill_child(pid: u32) -> io::Result<()> {
    let pid = Pid::from_raw(pid.cast_signed());
    Ok(nix::sys::signal::kill(pid, nix::sys::signal::SIGKILL)?)
}

/// Waits for a child that is about to end (waitpid(2)). It is no error if
/// somebody else collected it.
pub(crate) fn wait_for(pid: u32) -> io::Result<()> {
    loop {
        match nix::sys::wait::waitpid(Pid::from_raw(pid as i32), None) {
            Err(Errno::EINTR) => {}
            Ok(_) | Err(Errno::ECHILD) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Text for the kernel: without a NUL in it.
pub(crate) fn c_string(text: OsString) -> io::Result<CString> {
    CString::new(text.into_vec()).map_err(|_| io::ErrorKind::InvalidInput.into())
}
