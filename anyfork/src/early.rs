//! Where the early template's owner end lies between the moment before `main`,
//! when `template` forks it, and the first use by `process`.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;

use crate::error::Error;

/// The owner's end of a template that was forked before `main`.
pub(crate) struct EarlyTemplate {
    /// Requests go here.
    pub(crate) control: OwnedFd,
    /// Its one answer: that it serves, or why not.
    pub(crate) answer: UnixStream,
}

/// The early template, or why there is none. Empty in a process whose boot did
/// not run this far: a template, or what was forked from one.
pub(crate) static EARLY: OnceLock<Result<EarlyTemplate, Error>> = OnceLock::new();
