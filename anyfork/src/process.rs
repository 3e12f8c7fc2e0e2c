//! The caller's side: processes in preparation, launches under way, and
//! workers that run; blocking beside async.
//!
//! Works from any thread of any program. It never forks, and it knows nothing of
//! the child's side; both meet in `protocol`.

mod birth;
mod builder;
mod child;
mod command;
mod default;
mod exec;
mod handle;
mod launch;
mod options;
mod origin;
mod running;
mod settings;
mod setup;
mod status;
mod stdio;
mod trace;

pub mod blocking;

pub use builder::Process;
pub use child::{Child, Worker};
pub use command::Command;
pub use launch::{Launch, Target};
pub use setup::InitArgs;
pub use stdio::Stdio;
