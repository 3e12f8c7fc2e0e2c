//! A forked process, from the fork to the user's code, and from its return to
//! `_exit`.
//!
//! Nothing here may unwind or return into the template's loop, whose descriptors
//! are closed in the child.

pub(crate) mod baseline;
pub(crate) mod exec;
pub(crate) mod fast_path;
pub(crate) mod fd_limit;
pub(crate) mod functions;
#[cfg(feature = "plugin")]
pub(crate) mod plugin;
pub(crate) mod prepare;
pub(crate) mod reply;
pub(crate) mod report;
pub(crate) mod request;
pub(crate) mod role;
pub(crate) mod run;
pub(crate) mod settings;
pub(crate) mod spare;
pub(crate) mod title;
