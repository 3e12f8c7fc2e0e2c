//! [`Prepared`]: a call that is ready to go, wherever it will run.
//! RUNS IN: caller

use std::sync::atomic::{AtomicU64, Ordering};

use crate::protocol::call::Payload;

/// Number of the latest call, or lease, of this process.
static LATEST: AtomicU64 = AtomicU64::new(0);

/// Maximum number of bytes of a result where nothing else is set.
pub(crate) const MAX_RESULT: u64 = 1 << 30;

/// A call that is ready to go.
#[derive(Debug)]
pub struct Prepared {
    pub(crate) number: u64,
    pub(crate) name: &'static str,
    pub(crate) fingerprint: u64,
    /// The function is an `async fn`.
    pub(crate) is_async: bool,
    pub(crate) arguments: Payload,
    /// Number of calls of which these are the arguments; `None`: one, alone.
    pub(crate) items: Option<u32>,
}

/// The number of a new call, or of a new lease.
pub(crate) fn next_number() -> u64 {
    LATEST.fetch_add(1, Ordering::Relaxed) + 1
}
