//! The caller's side: processes in preparation, launches under way, and
//! workers that run; blocking beside async.
//!
//! Works from any thread of any program. It never forks, and it knows nothing of
//! the child's side; both meet in `protocol`.

pub(crate) mod child;
pub(crate) mod command;
pub(crate) mod launch;
pub(crate) mod options;
pub(crate) mod process;
pub(crate) mod spawn;
pub(crate) mod spec;
pub(crate) mod stdio;
pub(crate) mod templates;
pub(crate) mod trace;
pub(crate) mod wait;

pub use crate::caller::child::{Child, Worker};
pub use crate::caller::command::Command;
pub use crate::caller::launch::{Launch, Target};
pub use crate::caller::process::Process;
pub use crate::caller::spec::InitArgs;
pub use crate::caller::stdio::Stdio;
