//! Executing a program from a process of any size and any number of threads.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::SigSet;
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::unistd::{Pid, getpgid, setpgid};

use crate::sys::fork::c_string;
use crate::sys::wait;

/// Executes `program` in a process group of its own, for [`kill_group`], and
/// with all signals blocked. It inherits `fd` under its number beside the standard streams and what is not
/// close-on-exec. Gives the child's pid, which is the group's too
/// (posix_spawn(3)).
pub(crate) fn spawn(
    program: &Path,
    args: impl IntoIterator<Item = OsString>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    fd: &OwnedFd,
) -> io::Result<u32> {
    let args = args
        .into_iter()
        .map(c_string)
        .collect::<io::Result<Vec<_>>>()?;
    let variables = variables.into_iter().map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        c_string(name)
    });
    let variables = variables.collect::<io::Result<Vec<_>>>()?;
    let mut actions = PosixSpawnFileActions::init()?;
    // Onto itself: that takes close-on-exec off, in the child only.
    actions.add_dup2(fd.as_raw_fd(), fd.as_raw_fd())?;
    let mut attributes = PosixSpawnAttr::init()?;
    let group_and_mask =
        PosixSpawnFlags::POSIX_SPAWN_SETPGROUP | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK;
    attributes.set_flags(group_and_mask)?;
    attributes.set_pgroup(Pid::from_raw(0))?;
    // For a moment the child is in this process's group still, and a Ctrl-C that
    // comes then would end it, though it is for the program.
    attributes.set_sigmask(&SigSet::all())?;
    let pid = posix_spawn(program, &actions, &attributes, &args, &variables)?;
    Ok(pid.as_raw().unsigned_abs())
}

/// Kills a child that was spawned here, and all that it has started in its group,
/// unless somebody else has collected it, so that the number may be another's
/// (kill(2)).
pub(crate) fn kill_group(pid: u32) {
    if wait::look(pid).is_ok() {
        let group = Pid::from_raw(-pid.cast_signed());
        let _ = nix::sys::signal::kill(group, nix::sys::signal::SIGKILL);
    }
}

/// The pid of whoever made this socket pair (`SO_PEERCRED`, socket(7)).
pub(crate) fn peer(socket: BorrowedFd<'_>) -> Option<u32> {
    let peer = getsockopt(&socket, PeerCredentials).ok()?;
    u32::try_from(peer.pid()).ok().filter(|pid| *pid != 0)
}

/// Joins the process group of whoever made this socket pair (setpgid(2)). Where
/// that fails, the process stays where it is.
pub(crate) fn join_group_of_peer(socket: BorrowedFd<'_>) {
    if let Some(peer) = peer(socket)
        && let Ok(group) = getpgid(Some(Pid::from_raw(peer.cast_signed())))
    {
        let _ = setpgid(Pid::from_raw(0), group);
    }
}

/// The path that this program was executed as, for systems without `/proc`
/// (`AT_EXECFN`, getauxval(3)). Relative to the directory that the program
/// began in.
pub(crate) fn executed_as() -> Option<OsString> {
    // SAFETY: getauxval takes any number.
    let name = unsafe { libc::getauxval(libc::AT_EXECFN) } as *const libc::c_char;
    if name.is_null() {
        return None;
    }
    // SAFETY: the kernel put a C string there, which stays.
    let name = unsafe { std::ffi::CStr::from_ptr(name) };
    Some(OsStr::from_bytes(name.to_bytes()).to_owned())
}
