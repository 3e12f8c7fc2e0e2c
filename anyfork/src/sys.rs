//! Every system call, and all `unsafe`.
//!
//! One call a function, `OwnedFd` and `BorrowedFd` in the signatures, every
//! descriptor close-on-exec from birth. No protocol and no policy: `template`
//! and `process` decide what to call.

#![allow(unsafe_code)]

pub(crate) mod boot;
pub(crate) mod descriptor;
pub(crate) mod end;
pub(crate) mod exec;
pub(crate) mod fork;
pub(crate) mod inspect;
pub(crate) mod memory;
pub(crate) mod message;
pub(crate) mod pipes;
#[cfg(feature = "plugin")]
pub(crate) mod plugin;
pub(crate) mod poll;
pub(crate) mod setting;
pub(crate) mod signal;
pub(crate) mod spawn;
pub(crate) mod title;
