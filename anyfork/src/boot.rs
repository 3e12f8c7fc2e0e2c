//! Making a template: before `main`, in a process that was exec'ed as one, or from
//! a process that takes a snapshot of itself.

pub(crate) mod constructor;
pub(crate) mod double_fork;
