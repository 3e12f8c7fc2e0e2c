//! What a process can change about itself, for one that was just forked and has
//! one thread.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{Gid, Pid, Uid, getuid, setgid, setgroups, setpgid, setuid};

/// `/dev/null`, to read from for standard input and to write to for the others,
/// as std opens it.
pub(crate) fn null(number: u8) -> io::Result<OwnedFd> {
    let reads = number == 0;
    let null = OpenOptions::new()
        .read(reads)
        .write(!reads)
        .open("/dev/null");
    null.map(OwnedFd::from)
}

/// Makes standard stream `number` a duplicate of `fd` (dup2(2)).
pub(crate) fn stream(number: u8, fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: whoever writes to a standard stream refers to its number.
    match unsafe { libc::dup2(fd.as_raw_fd(), number.into()) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Joins a process group, or makes one for 0 (setpgid(2)).
pub(crate) fn process_group(group: i32) -> io::Result<()> {
    Ok(setpgid(Pid::from_raw(0), Pid::from_raw(group))?)
}

/// Sets both limits of a resource (setrlimit(2)).
pub(crate) fn limit(resource: u32, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit64 {
        rlim_cur: soft,
        rlim_max: hard,
    };
    // SAFETY: reads from a local.
    match unsafe { libc::setrlimit64(resource as _, &raw const limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Adds to the nice value (nice(2)).
pub(crate) fn nice(step: i32) -> io::Result<()> {
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
pub(crate) fn groups(groups: &[u32]) -> io::Result<()> {
    let groups: Vec<_> = groups.iter().copied().map(Gid::from_raw).collect();
    Ok(setgroups(&groups)?)
}

/// Sets all group ids (setgid(2)).
pub(crate) fn group(id: u32) -> io::Result<()> {
    Ok(setgid(Gid::from_raw(id))?)
}

/// Sets all user ids (setuid(2)).
pub(crate) fn user(id: u32) -> io::Result<()> {
    Ok(setuid(Uid::from_raw(id))?)
}

/// Whether the user is root.
pub(crate) fn is_root() -> bool {
    getuid().is_root()
}

/// Enters a directory (chdir(2)).
pub(crate) fn directory(path: &Path) -> io::Result<()> {
    Ok(nix::unistd::chdir(path)?)
}

/// Enters an open directory (fchdir(2)).
pub(crate) fn open_directory(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(nix::unistd::fchdir(fd)?)
}

/// Sets or removes a variable of the environment (setenv(3)).
pub(crate) fn variable(name: &OsStr, value: Option<&OsStr>) -> io::Result<()> {
    let bytes = name.as_encoded_bytes();
    let has_nul = |text: &OsStr| text.as_encoded_bytes().contains(&0);
    if bytes.is_empty() || bytes.contains(&b'=') || has_nul(name) || value.is_some_and(has_nul) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    match value {
        // SAFETY: the process has one thread.
        Some(value) => unsafe { std::env::set_var(name, value) },
        // SAFETY: as above.
        None => unsafe { std::env::remove_var(name) },
    }
    Ok(())
}

/// Removes all variables (clearenv(3)).
pub(crate) fn clear_environment() {
    // SAFETY: the process has one thread.
    unsafe { libc::clearenv() };
}
