//! A child, from the fork to the user's code, and from the return of that to `_exit`.
//! RUNS IN: template, child, spare
//!
//! `template` forks, and calls [`fast_path`], [`role`] or [`spare`] in the new process;
//! `boot` uses the parts that a template's birth has in common with a child's. Nothing
//! here may unwind or return into the template's loop, whose descriptors are closed in
//! the child; [`role::Next`] is what is left to do, by value.

pub(crate) mod attributes;
pub(crate) mod baseline;
#[cfg(feature = "pool")]
pub(crate) mod calls;
pub(crate) mod environment;
pub(crate) mod exec;
pub(crate) mod fast_path;
pub(crate) mod fd_limit;
pub(crate) mod frame;
pub(crate) mod functions;
pub(crate) mod own_limits;
#[cfg(feature = "plugin")]
pub(crate) mod plugin;
pub(crate) mod prepare;
pub(crate) mod privacy;
pub(crate) mod rehearsal;
pub(crate) mod reply;
pub(crate) mod report;
pub(crate) mod request;
pub(crate) mod role;
pub(crate) mod run;
pub(crate) mod settings;
pub(crate) mod spare;
pub(crate) mod surroundings;
pub(crate) mod title;
#[cfg(all(feature = "pool", feature = "tracing"))]
pub(crate) mod trace;
pub(crate) mod trust;
