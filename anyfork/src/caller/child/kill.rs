//! Ending a child: the one place that does it, and knows process groups.
//! RUNS IN: caller
//!
//! A child that leads a process group takes the group along: what it has started would
//! be nobody's otherwise.

use std::io;
use std::os::fd::BorrowedFd;

use crate::error::{Error, Result};
use crate::sys::pidfd::{self, ProcessState};

/// Sends SIGKILL to the process, and to the group that it leads. One that has exited is
/// no error.
pub(crate) fn kill(pidfd: BorrowedFd<'_>, pid: u32) -> Result<()> {
    // The group first: once its leader is reaped, older kernels do not find it.
    let group = pidfd::send_signal_to_group(pidfd, pid, libc::SIGKILL);
    let process = signal(pidfd, libc::SIGKILL);
    match group {
        // There is no group, or nobody in it.
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => process,
        // One of the group is another user's, which kill(2) only reports if all are.
        _ => process,
    }
}

/// Asks the process and the group that it leads to end themselves: SIGTERM, and SIGCONT
/// should they be stopped. The leader gets each once.
pub(crate) fn terminate(pidfd: BorrowedFd<'_>, pid: u32) -> Result<()> {
    for number in [libc::SIGTERM, libc::SIGCONT] {
        if pidfd::send_signal_to_group(pidfd, pid, number).is_err() {
            signal(pidfd, number)?;
        }
    }
    Ok(())
}

/// Whether nobody is in the group that the process leads or led, who could be sent a
/// signal.
pub(crate) fn is_group_gone(pidfd: BorrowedFd<'_>, pid: u32) -> bool {
    pidfd::send_signal_to_group(pidfd, pid, 0).is_err()
}

/// Sends a signal to the process. One that has exited is no error.
pub(crate) fn signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<()> {
    match pidfd::send_signal(pidfd, signal) {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        sent => sent.map_err(|error| failed(signal, error)),
    }
}

/// Sends a signal to the process group that the process leads. An empty group, whose
/// leader has exited, is no error; a process that leads none is one.
pub(crate) fn signal_group(pidfd: BorrowedFd<'_>, pid: u32, signal: i32) -> Result<()> {
    match pidfd::send_signal_to_group(pidfd, pid, signal) {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {
            let state = pidfd::state(pidfd).map_err(|error| failed(signal, error))?;
            match state {
                ProcessState::Running => Err(failed(
                    signal,
                    io::Error::new(
                        io::ErrorKind::InvalidInput,
                        "the process leads no process group; start it with `process_group(0)`",
                    ),
                )),
                ProcessState::Exited | ProcessState::Reaped => Ok(()),
            }
        }
        sent => sent.map_err(|error| failed(signal, error)),
    }
}

fn failed(signal: i32, error: io::Error) -> Error {
    Error::io(format_args!("send a worker signal {signal}"), error)
}
