//! Limits of resources (getrlimit(2)).
//! RUNS IN: any

use std::fs;
use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// How many descriptors the process may have: `(soft, hard)` (`RLIMIT_NOFILE`,
/// getrlimit(2)).
pub(crate) fn fd_limit() -> io::Result<(u64, u64)> {
    Ok(getrlimit(Resource::RLIMIT_NOFILE)?)
}

/// Sets how many descriptors the process may have (`RLIMIT_NOFILE`, setrlimit(2)).
pub(crate) fn set_fd_limit((soft, hard): (u64, u64)) -> io::Result<()> {
    Ok(setrlimit(Resource::RLIMIT_NOFILE, soft, hard)?)
}

/// Sets both limits of a resource (setrlimit(2)).
pub(crate) fn set_limit(resource: u32, soft: u64, hard: u64) -> io::Result<()> {
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

/// Both limits of a resource: `(soft, hard)` (getrlimit(2)).
pub(crate) fn limit(resource: u32) -> io::Result<(u64, u64)> {
    let mut limit = libc::rlimit64 {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: fills a local.
    match unsafe { libc::getrlimit64(resource as _, &raw mut limit) } {
        0 => Ok((limit.rlim_cur, limit.rlim_max)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Number of bytes of this process's address space, which `RLIMIT_AS` limits
/// (proc_pid_statm(5)).
pub(crate) fn address_space() -> Option<u64> {
    statm(0)
}

/// Number of bytes of this process's data and stack, some more than `RLIMIT_DATA`
/// limits (proc_pid_statm(5)).
pub(crate) fn data() -> Option<u64> {
    statm(5)
}

fn statm(field: usize) -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(field)?.parse().ok()?;
    // SAFETY: takes a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages.checked_mul(page.try_into().ok()?)
}
