//! What is done to a process before it runs a worker or is forked from, in
//! order, and the program that it becomes. The caller's side collects steps, the
//! child's side takes them.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
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

impl Step {
    /// The same step once more, with duplicates of its descriptors.
    pub(crate) fn try_clone(&self) -> io::Result<Step> {
        Ok(match self {
            Step::Arg(arg) => Step::Arg(arg.try_clone()?),
            Step::Init { name, args } => Step::Init {
                name: name.clone(),
                args: args.iter().map(Arg::try_clone).collect::<io::Result<_>>()?,
            },
            Step::Require(path) => Step::Require(path.clone()),
        })
    }
}

/// An external program that a process becomes.
#[derive(Debug)]
pub(crate) struct Program {
    /// A path, or a name that is looked for in `PATH`.
    pub(crate) path: OsString,
    /// What the program finds for its own name.
    pub(crate) arg0: OsString,
    /// Follow the arguments that the process has collected.
    pub(crate) args: Vec<OsString>,
    /// Descriptors, and the numbers that they get.
    pub(crate) placed: Vec<(OwnedFd, i32)>,
}
