//! Typed calls: one call in one worker, and pools of workers.
//! <!-- RUNS IN: caller -->
//!
//! A [`Pool`](crate::Pool) has worker processes, and gives each call of a function with
//! [`#[anyfork::call]`](macro@crate::call) to one of them.
//!
//! # A worker, or a call?
//!
//! | | [`worker`](macro@crate::worker) | [`call`](macro@crate::call) |
//! |---|---|---|
//! | is | a function with a socket, in a process of its own | a function with parameters and a result |
//! | talks | whatever the two sides agree on, for as long as they like | once: arguments in, result out |
//! | runs | in a fresh process | in a process of a pool, or a fresh one |
//! | fails | with its [`Exit`](crate::Exit) | with the call's [`Error`](crate::Error), which says whether the function was entered |
//!
//! A call suits work that is handed over and awaited: an image to resize, a document to parse,
//! code that may crash. A worker suits a conversation, or a service that keeps running.

pub(crate) mod arrivals;
pub(crate) mod base;
pub(crate) mod builder;
pub(crate) mod call;
pub(crate) mod callee;
pub(crate) mod connection;
pub(crate) mod core;
pub(crate) mod decode;
pub(crate) mod each;
pub(crate) mod ended;
pub(crate) mod entered;
pub(crate) mod entry;
pub(crate) mod exchange;
pub(crate) mod failed;
pub(crate) mod few;
pub(crate) mod fresh;
pub(crate) mod handle;
pub(crate) mod inner;
pub(crate) mod launched;
pub(crate) mod lease;
pub(crate) mod left;
pub(crate) mod limits;
pub(crate) mod live;
pub(crate) mod logs;
pub(crate) mod map;
pub(crate) mod memory;
pub(crate) mod on;
pub(crate) mod over;
pub(crate) mod pending;
pub(crate) mod pooled;
pub(crate) mod prepared;
pub(crate) mod recipe;
pub(crate) mod recv;
pub(crate) mod request;
#[cfg(feature = "tower")]
pub(crate) mod service;
pub(crate) mod several;
pub(crate) mod starting;
pub(crate) mod state;
pub(crate) mod stats;
pub(crate) mod table;
pub(crate) mod trace;
pub(crate) mod wait;
pub(crate) mod watcher;
pub(crate) mod worker_info;

pub use crate::pool::builder::Builder;
pub use crate::pool::each::Each;
pub use crate::pool::lease::Lease;
pub use crate::pool::lease::leasing::Leasing;
pub use crate::pool::left::Left;
pub use crate::pool::logs::printed::Printed;
pub use crate::pool::map::Map;
pub use crate::pool::map::blocking::Blocking;
pub use crate::pool::map::unordered::Unordered;
pub use crate::pool::recv::Recv;
#[cfg(feature = "tower")]
pub use crate::pool::service::Service;
pub use crate::pool::state::event::Reason;
pub use crate::pool::stats::Stats;
pub use crate::pool::wait::Wait;
pub use crate::pool::worker_info::{Worker, WorkerState};
