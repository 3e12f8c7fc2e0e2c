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
        }
    }
}
