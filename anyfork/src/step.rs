//! What is done to a process before it runs a worker or is forked from, in
//! order. The caller's side collects steps, the child's side takes them.

use std::path::PathBuf;

use crate::args::{Arg, Args};

/// One step.
#[derive(Debug)]
pub(crate) enum Step {
    /// An argument is added to those that the worker will get.
    Arg(Arg),
    /// An init function runs.
    Init { name: String, args: Args },
    /// A plugin is loaded.
    Require(PathBuf),
}
