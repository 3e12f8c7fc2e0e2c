//! Limits of resources (getrlimit(2)).
//! RUNS IN: any

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
