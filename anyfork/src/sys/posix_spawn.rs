//! Executing a program in a child without a fork (posix_spawn(3)).
//! RUNS IN: caller
//!
//! For processes of any size and with any number of threads.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use crate::sys::exec::c_string;
use crate::sys::wait;

/// Executes `program` in a process group of its own, for [`kill_group`], and with
/// all signals blocked (posix_spawn(3)). The child inherits `fd` under its number,
/// the standard streams, and what is not close-on-exec. Returns the child's pid,
/// which is the group's, too.
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
    // A duplicate onto itself takes close-on-exec off, in the child only.
    actions.add_dup2(fd.as_raw_fd(), fd.as_raw_fd())?;
    let mut attributes = PosixSpawnAttr::init()?;
    let group_and_mask =
        PosixSpawnFlags::POSIX_SPAWN_SETPGROUP | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK;
    attributes.set_flags(group_and_mask)?;
    attributes.set_pgroup(Pid::from_raw(0))?;
    // The child is still in this process's group for a moment, and a Ctrl-C that
    // comes then is for the program, not for the child.
    attributes.set_sigmask(&SigSet::all())?;
    let pid = posix_spawn(program, &actions, &attributes, &args, &variables)?;
    Ok(pid.as_raw().unsigned_abs())
}

/// Kills a child that [`spawn`] has started, and the rest of its process group
/// (kill(2)). If somebody else has reaped the child, the number may be another
/// process's, and nothing is killed.
pub(crate) fn kill_group(pid: u32) {
    if wait::peek(pid).is_ok() {
        let group = Pid::from_raw(-pid.cast_signed());
        let _ = kill(group, Signal::SIGKILL);
    }
}
