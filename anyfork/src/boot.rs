//! The making of a template: before `main`, or as a snapshot.
//! RUNS IN: program before main, caller, template
//!
//! A template is forked before `main`, becomes one in a process that was exec'ed for it, or
//! is a snapshot of a running program. The caller of a snapshot runs this, too: a snapshot
//! forks the caller itself.

pub(crate) mod constructor;
pub(crate) mod double_fork;
