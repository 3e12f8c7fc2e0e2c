//! The record of a child that has exited, for the caller that waits for it.
//! RUNS IN: template

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::protocol::status;
use crate::sys::wait::ExitRecord;
use crate::sys::{fd, wait};

/// Writes the record of a child that has exited into its status pipe, and reaps it.
///
/// In this order: a caller that finds a child reaped and no record takes the template
/// for dead. There is no record either if the user's code in this process has reaped
/// the child.
pub(super) fn report_and_reap(
    pid: u32,
    exit: io::Result<Option<ExitRecord>>,
    status: Option<&OwnedFd>,
) {
    if let Ok(Some(exit)) = exit {
        if let Some(status) = status {
            write_record(status, &exit);
        }
        let _ = wait::reap(pid);
    }
}

/// Writes the record; the caller may be gone. The pipe has room, unless the worker has
/// filled its own status pipe on purpose: then the record is dropped. The worker may also
/// have changed the pipe's flags, so the write must not depend on them.
fn write_record(pipe: &OwnedFd, exit: &ExitRecord) {
    let record = status::encode_exit(
        exit.status,
        exit.user_micros,
        exit.system_micros,
        exit.peak_memory,
    );
    let _ = fd::write_without_waiting(pipe.as_fd(), &record);
}
