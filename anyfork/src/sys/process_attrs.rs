//! What a process can change about itself: ids, groups, session, nice value, directories.
//! RUNS IN: template, child

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{Gid, Pid, Uid, getuid, setgid, setgroups, setpgid, setsid, setuid};

/// Joins a process group, or makes one for 0 (setpgid(2)).
pub(crate) fn set_process_group(group: i32) -> io::Result<()> {
    Ok(setpgid(Pid::from_raw(0), Pid::from_raw(group))?)
}

/// Makes a session of its own, without a terminal (setsid(2)).
pub(crate) fn new_session() -> io::Result<()> {
    setsid()?;
    Ok(())
}

/// Makes the terminal that of this process's session, which it leads (`TIOCSCTTY`,
/// ioctl_tty(2)).
pub(crate) fn set_terminal(terminal: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes numbers.
    match unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY, 0) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Joins the cgroup of a directory (cgroups(7)).
pub(crate) fn join_cgroup(directory: &Path) -> io::Result<()> {
    let file = directory.join("cgroup.procs");
    // 0 stands for the process that writes. It makes no file where there is no cgroup.
    OpenOptions::new().write(true).open(file)?.write_all(b"0")
}

/// Makes the directory the root directory and the current one (chroot(2)).
pub(crate) fn change_root(directory: &Path) -> io::Result<()> {
    nix::unistd::chroot(directory)?;
    change_directory("/".as_ref())
}

/// Keeps what this process executes from having more rights (`PR_SET_NO_NEW_PRIVS`,
/// prctl(2)).
pub(crate) fn set_no_new_privs() -> io::Result<()> {
    // SAFETY: takes numbers.
    match unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Adds to the nice value (nice(2)).
pub(crate) fn add_nice(step: i32) -> io::Result<()> {
    Errno::clear();
    // SAFETY: takes a number.
    let now = unsafe { libc::nice(step) };
    // -1 is a nice value, too.
    match Errno::last_raw() {
        errno if now == -1 && errno != 0 => Err(io::Error::from_raw_os_error(errno)),
        _ => Ok(()),
    }
}

/// Sets the supplementary groups (setgroups(2)).
pub(crate) fn set_groups(groups: &[u32]) -> io::Result<()> {
    let groups: Vec<_> = groups.iter().copied().map(Gid::from_raw).collect();
    Ok(setgroups(&groups)?)
}

/// Sets all group ids (setgid(2)).
pub(crate) fn set_group(id: u32) -> io::Result<()> {
    Ok(setgid(Gid::from_raw(id))?)
}

/// Sets all user ids (setuid(2)).
pub(crate) fn set_user(id: u32) -> io::Result<()> {
    Ok(setuid(Uid::from_raw(id))?)
}

/// The real user id (getuid(2)).
pub(crate) fn user() -> u32 {
    getuid().as_raw()
}

/// Whether the user is root (getuid(2)).
pub(crate) fn is_root() -> bool {
    getuid().is_root()
}

/// Whether processes of the same user may look into this one: into its descriptors, its
/// memory (`PR_GET_DUMPABLE`, prctl(2)).
pub(crate) fn is_open_to_its_user() -> bool {
    // SAFETY: takes a number.
    unsafe { libc::prctl(libc::PR_GET_DUMPABLE) == 1 }
}

/// Lets processes of the same user look into this one, or not (`PR_SET_DUMPABLE`,
/// prctl(2)).
#[inline]
pub(crate) fn open_to_its_user(is_open: bool) {
    // SAFETY: takes numbers.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, libc::c_long::from(is_open)) };
}

/// Changes to a directory (chdir(2)).
pub(crate) fn change_directory(path: &Path) -> io::Result<()> {
    Ok(nix::unistd::chdir(path)?)
}

/// Changes to an open directory (fchdir(2)).
pub(crate) fn change_to_open_directory(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(nix::unistd::fchdir(fd)?)
}
