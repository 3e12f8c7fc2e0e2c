//! The caller's side: processes in preparation, launches under way, and running workers.
//! RUNS IN: caller
//!
//! Works in any thread of any program, async or blocking. It never forks, and it knows
//! nothing of the child's side; both meet in [`protocol`](crate::protocol).
//!
//! ```text
//! command ─► process ─► child, wait ─► launch, spawn ─► templates ─► spawn/reply
//! ```

pub(crate) mod child;
pub(crate) mod command;
pub(crate) mod launch;
pub(crate) mod process;
pub(crate) mod spawn;
pub(crate) mod spec;
pub(crate) mod stdio;
pub(crate) mod templates;
pub(crate) mod trace;
pub(crate) mod wait;
