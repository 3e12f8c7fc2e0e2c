//! [`Options`]: what is set for each process that is started, and is not part of
//! a template: the caller's side keeps it, and gives it to every fork.

use std::time::{Duration, Instant};

/// See [`Process`](crate::caller::process::Process).
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) kill_on_drop: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) title: Option<String>,
    /// Which of the standard streams are pipes.
    pub(crate) piped: [bool; 3],
}

impl Options {
    /// When a launch that begins now has to be ready. `None` also if that is
    /// later than a clock can tell.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        Instant::now().checked_add(self.timeout?)
    }
}
