//! Typed calls: one call to one worker, and pools of workers.
//! RUNS IN: caller

pub(crate) mod call;
pub(crate) mod connection;
pub(crate) mod entered;
pub(crate) mod failed;
pub(crate) mod fresh;
pub(crate) mod limits;
pub(crate) mod on;
pub(crate) mod pending;
pub(crate) mod prepared;
pub(crate) mod state;
pub(crate) mod stats;
