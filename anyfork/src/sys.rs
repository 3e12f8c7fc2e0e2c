//! Every system call, and all `unsafe`.
//!
//! One call a function, `OwnedFd` and `BorrowedFd` in the signatures, every
//! descriptor close-on-exec from birth. No protocol and no policy: `template`
//! and `process` decide what to call.

#![allow(unsafe_code)]

pub(crate) mod exec;
pub(crate) mod fd;
pub(crate) mod fd_identity;
pub(crate) mod fork;
pub(crate) mod memfd;
pub(crate) mod pipes;
#[cfg(feature = "plugin")]
pub(crate) mod plugin;
pub(crate) mod poll;
pub(crate) mod posix_spawn;
pub(crate) mod proc_title;
pub(crate) mod process_attrs;
pub(crate) mod signal;
pub(crate) mod socket;
pub(crate) mod startup;
pub(crate) mod wait;
