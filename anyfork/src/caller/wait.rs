//! Waiting for what a launch or a child waits for.

#[cfg(feature = "tokio")]
pub(crate) mod tokio;
