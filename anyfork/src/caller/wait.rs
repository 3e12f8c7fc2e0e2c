//! Waiting: for a spawn, a child's exit, and a template's preparation.
//! RUNS IN: caller
//!
//! [`blocking`] and [`tokio`] have the same functions. What is waited for
//! takes steps that never block, and names the descriptor that reports the next event;
//! only this room waits.

pub(crate) mod blocking;
#[cfg(all(feature = "pool", feature = "tokio"))]
pub(crate) mod events;
#[cfg(feature = "tokio")]
pub(crate) mod readiness;
#[cfg(feature = "tokio")]
pub(crate) mod registration;
pub(crate) mod shortage;
#[cfg(all(feature = "pool", feature = "tokio"))]
pub(crate) mod socket;
pub(crate) mod sources;
#[cfg(feature = "tokio")]
pub(crate) mod tokio;
