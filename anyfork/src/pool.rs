//! Typed calls: one call to one worker, and pools of workers.
//! RUNS IN: caller

pub(crate) mod connection;
pub(crate) mod entered;
pub(crate) mod limits;
pub(crate) mod state;
pub(crate) mod stats;
