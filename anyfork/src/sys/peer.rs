//! The process at the other end of a socket, and the owner of an open file.
//! RUNS IN: any

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::unistd::{Pid, getegid, geteuid, getgid, getpgid, getuid, setpgid};

use crate::sys::{fork, poll};

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
    let (uid, gid) = (geteuid(), getegid());
    let raised = uid != getuid() || gid != getgid();
    raised && (peer.uid(), peer.gid()) == (uid.as_raw(), gid.as_raw())
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

/// Which process has claimed an open file. All processes that have it open see
/// the same owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// No process yet.
    Nobody,
    /// The process of this pid, which has not been reaped yet.
    Process(u32),
    /// A process that was reaped.
    Gone,
}

/// Makes this process the owner of the open file (`F_SETOWN`, fcntl(2)). Without
/// `O_ASYNC` the kernel sends the owner no signal.
pub(crate) fn claim(fd: BorrowedFd<'_>) -> io::Result<()> {
    set_number(fd, libc::F_SETOWN, std::process::id().cast_signed())
}

/// Which process has [claimed](claim) the open file (`F_GETOWN_EX`, fcntl(2)).
pub(crate) fn owner(fd: BorrowedFd<'_>) -> io::Result<Owner> {
    /// `struct f_owner_ex` of fcntl(2).
    #[repr(C)]
    struct OwnerEx {
        kind: libc::c_int,
        pid: libc::pid_t,
    }
    let mut found = OwnerEx { kind: 0, pid: 0 };
    // SAFETY: writes to a local of the kernel's layout.
    if unsafe { libc::fcntl(fd.as_raw_fd(), F_GETOWN_EX, &raw mut found) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(match (found.kind, found.pid) {
        (F_OWNER_PID, 1..) => Owner::Process(found.pid.unsigned_abs()),
        (F_OWNER_PID, _) => Owner::Gone,
        // The kernel reports another kind for a file that has had no owner.
        _ => Owner::Nobody,
    })
}

/// Not in libc for all targets: the generic numbers (fcntl(2)).
const F_GETOWN_EX: libc::c_int = 16;
const F_OWNER_PID: libc::c_int = 1;
