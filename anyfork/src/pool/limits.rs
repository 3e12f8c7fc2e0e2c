//! [`Limits`]: the numbers of a pool's builder that its state goes by.
//! RUNS IN: caller

use std::time::Duration;

/// The numbers of `pool::Builder`.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) max: usize,
    pub(crate) idle: usize,
    pub(crate) start: Duration,
    pub(crate) stop: Duration,
    pub(crate) queue: Option<usize>,
    pub(crate) grace: Duration,
    pub(crate) retire_after: Option<u64>,
    pub(crate) retire_age: Option<Duration>,
    /// Calls that a worker may have, those that run included.
    pub(crate) load: usize,
    /// Calls of `async fn`s that a worker runs at once.
    pub(crate) concurrency: usize,
}

impl Limits {
    /// Whether a worker may have several calls.
    pub(crate) fn gives_several(&self) -> bool {
        self.load > 1 || self.concurrency > 1
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max: 1,
            idle: 0,
            start: Duration::ZERO,
            stop: Duration::from_secs(10),
            queue: None,
            grace: Duration::ZERO,
            retire_after: None,
            retire_age: None,
            load: 1,
            concurrency: 1,
        }
    }
}
