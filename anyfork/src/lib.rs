//! Worker processes from a small template: everything you wanted to use `fork`
//! for, but couldn't.

#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod args;
mod call;
mod early;
mod error;
mod exit;
mod process;
mod protocol;
mod registry;
mod sys;
mod template;

pub use anyfork_macros::{early, worker};

pub use args::{Arg, ArgError, Args, FromArg, IntoArg};
pub use error::{Error, ErrorKind, Result};
pub use exit::{Exit, Usage};
pub use process::{Child, Launch, Process, Target, Worker, blocking};

/// What the attributes' code refers to. No part of the interface.
#[doc(hidden)]
pub mod __private {
    pub use linkme;

    #[cfg(feature = "tokio")]
    pub use crate::call::{AsyncSocket, Flavor, runtime};
    pub use crate::call::{Call, Outcome, Report, Socket};
    pub use crate::process::Worker as RunningWorker;
    pub use crate::registry::{ANYFORK_V1_EARLY as EARLY, ANYFORK_V1_WORKERS as WORKERS};
    pub use crate::registry::{Early, Worker};
    pub use crate::{Args, Error, FromArg, IntoArg, Launch, Process, Result};
}
