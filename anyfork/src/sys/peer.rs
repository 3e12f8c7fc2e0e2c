//! The process at the other end of a socket, and the mark of an open file.
//! RUNS IN: any

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::unistd::{Pid, getegid, geteuid, getpgid, setpgid};

use crate::sys::{fork, poll, startup};

/// The pid of the process that made this socket pair (`SO_PEERCRED`, socket(7));
/// `None` if it is in a pid namespace that this process does not see.
pub(crate) fn pid(socket: BorrowedFd<'_>) -> Option<u32> {
    let peer = getsockopt(&socket, PeerCredentials).ok()?;
    u32::try_from(peer.pid()).ok().filter(|pid| *pid != 0)
}

/// Whether the process that made this socket pair had the rights that this process
/// was raised to (`SO_PEERCRED`, socket(7)): a raised program may exec itself, but
/// its caller may not use it.
pub(crate) fn is_trusted(socket: BorrowedFd<'_>) -> bool {
    let Ok(peer) = getsockopt(&socket, PeerCredentials) else {
        return false;
    };
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    startup::runs_as_another() && (peer.uid(), peer.gid()) == (uid, gid)
}

/// Joins the process group of the process that made this socket pair (setpgid(2)).
/// Where that fails, this process stays in its group.
pub(crate) fn join_group(socket: BorrowedFd<'_>) {
    if let Some(peer) = pid(socket)
        && let Ok(group) = getpgid(Some(Pid::from_raw(peer.cast_signed())))
    {
        let _ = setpgid(Pid::from_raw(0), group);
    }
}

/// Makes the kernel kill this process as soon as the other end of the socket
/// closes (`O_ASYNC` and `F_SETSIG`, fcntl(2)). If it is closed already, this
/// process exits.
pub(crate) fn die_with_peer(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_signal(socket, std::process::id().cast_signed(), libc::SIGKILL)?;
    set_signalling(socket, true)?;
    if poll::is_hung_up(socket) {
        fork::exit_now(1);
    }
    Ok(())
}

/// Undoes all of [`die_with_peer`]: the socket may become a worker's, and the
/// worker may want signals of its own.
pub(crate) fn outlive_peer(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_signalling(socket, false)?;
    set_signal(socket, 0, 0)
}

/// Whether the kernel signals what happens on the socket (`O_ASYNC`, fcntl(2)).
fn set_signalling(socket: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    let mut flags = OFlag::from_bits_retain(fcntl(socket, FcntlArg::F_GETFL)?);
    flags.set(OFlag::O_ASYNC, on);
    fcntl(socket, FcntlArg::F_SETFL(flags))?;
    Ok(())
}

/// Which process gets which signal (`F_SETOWN` and `F_SETSIG`, fcntl(2)).
fn set_signal(socket: BorrowedFd<'_>, pid: libc::pid_t, signal: i32) -> io::Result<()> {
    set_number(socket, libc::F_SETOWN, pid)?;
    set_number(socket, F_SETSIG, signal)
}

fn set_number(fd: BorrowedFd<'_>, command: libc::c_int, number: libc::c_int) -> io::Result<()> {
    // SAFETY: both commands take a number.
    match unsafe { libc::fcntl(fd.as_raw_fd(), command, number) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Not in libc for this target: the generic number (fcntl(2)).
const F_SETSIG: libc::c_int = 10;
const F_GETSIG: libc::c_int = 11;

/// The mark of an open file, a signal number (`F_SETSIG`). It is never sent, because nobody
/// sets `O_ASYNC` on these files; and SIGURG is ignored by default.
const MARK: libc::c_int = libc::SIGURG;

/// Marks the open file, for all processes that have it (`F_SETSIG`, fcntl(2)).
pub(crate) fn mark(fd: BorrowedFd<'_>) -> io::Result<()> {
    set_number(fd, F_SETSIG, MARK)
}

/// Whether the open file has the [mark] (`F_GETSIG`, fcntl(2)).
pub(crate) fn is_marked(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: the command takes no argument, and a number that is not open is an error.
    unsafe { libc::fcntl(fd.as_raw_fd(), F_GETSIG) == MARK }
}
