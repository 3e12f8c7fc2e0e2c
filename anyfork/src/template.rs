//! The child's side: the processes that wait for requests, and what they fork.
//!
//! Blocking, single-threaded, without tokio: a template must stay a process
//! that can fork safely and cheaply. Nothing here returns into the program that
//! it was forked from. It knows nothing of the caller's side; both meet in
//! `protocol`.

mod arrival;
mod birth;
mod boot;
mod born;
mod child;
mod enter;
mod limits;
mod lookup;
#[cfg(feature = "plugin")]
mod plugin;
mod prepare;
mod program;
mod reap;
mod report;
mod request;
mod serve;
mod settings;
mod spare;
mod title;

pub(crate) use birth::snapshot;
#[cfg(feature = "plugin")]
pub use plugin::plugin_table;
