//! What a process can change about itself: ids, groups, nice value, directory.
//! RUNS IN: template, child

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{Gid, Pid, Uid, getuid, setgid, setgroups, setpgid, setuid};

/// Joins a process group, or makes one for 0 (setpgid(2)).
pub(crate) fn set_process_group(group: i32) -> io::Result<()> {
    Ok(setpgid(Pid::from_raw(0), Pid::from_raw(group))?)
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
