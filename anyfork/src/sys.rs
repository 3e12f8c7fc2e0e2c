//! Every system call, and all `unsafe`.
//! RUNS IN: any
//!
//! A file covers one topic of the man pages. A function makes one system call
//! and names its page; `OwnedFd` and `BorrowedFd` are in the signatures, and every
//! descriptor is close-on-exec from birth. No protocol, no policy, nothing of the
//! other rooms, all of which call it.

#![allow(unsafe_code)]

pub(crate) mod attributes;
pub(crate) mod code;
pub(crate) mod constructors;
pub(crate) mod crash;
pub(crate) mod deliver;
#[cfg(feature = "plugin")]
pub(crate) mod dl;
pub(crate) mod environ;
pub(crate) mod epoll;
pub(crate) mod eventfd;
pub(crate) mod exec;
pub(crate) mod fd;
pub(crate) mod fd_identity;
pub(crate) mod fork;
#[cfg(feature = "pool")]
pub(crate) mod fork_mark;
pub(crate) mod memfd;
pub(crate) mod missing;
pub(crate) mod objects;
pub(crate) mod peer;
pub(crate) mod pidfd;
#[cfg(feature = "plugin")]
pub(crate) mod plugin_table;
pub(crate) mod poll;
pub(crate) mod posix_spawn;
pub(crate) mod proc_stat;
pub(crate) mod proc_title;
pub(crate) mod process_attrs;
mod raw_call;
pub(crate) mod rights;
pub(crate) mod rlimit;
#[cfg(feature = "pool")]
pub(crate) mod shared_page;
pub(crate) mod signal;
pub(crate) mod socket;
pub(crate) mod stack;
pub(crate) mod startup;
pub(crate) mod threads;
pub(crate) mod time;
pub(crate) mod tools;
pub(crate) mod vm_child;
pub(crate) mod wait;
