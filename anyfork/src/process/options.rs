//! [`Options`]: what is set for each process that is started, and is not part of
//! a template: the caller's side keeps it, and gives it to every fork.

use std::time::{Duration, Instant};

/// See [`Process`](super::builder::Process).
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    pub(super) kill_on_drop: bool,
    pub(super) timeout: Option<Duration>,
    pub(super) title: Option<String>,
    /// Which of the standard streams are pipes.
    pub(super) piped: [bool; 3],
}

impl Options {
    /// When a launch that begins now has to be ready. `None` also if that is
    /// later than a clock can tell.
    pub(super) fn deadline(&self) -> Option<Instant> {
        Instant::now().checked_add(self.timeout?)
    }
}
