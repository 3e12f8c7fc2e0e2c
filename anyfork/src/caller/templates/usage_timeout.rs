//! [`UsageTimeout`]: how long a wait for a child also waits for the child's usage.
//! RUNS IN: caller
//!
//! A child that exits by itself reports its exit code, and its template, or a monitor of
//! the template's, what the child has used. Only one that is stopped (SIGSTOP) takes
//! long. Then one wait in a while is long, and not each.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Timeout for a usage.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Timeout for a usage after another one was missed.
const SHORT_TIMEOUT: Duration = Duration::from_millis(1);

/// Interval after a missed usage in which the timeout is short.
const MEMORY: Duration = Duration::from_secs(10);

/// The timeout for the children of one template.
#[derive(Debug, Default)]
pub(crate) struct UsageTimeout {
    /// The time of the latest timeout.
    missed: Mutex<Option<Instant>>,
}

impl UsageTimeout {
    /// The time until which the usage of a child that was found exited now is waited for.
    pub(crate) fn deadline(&self, now: Instant) -> Instant {
        let missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        match *missed {
            Some(at) if now < at + MEMORY => now + SHORT_TIMEOUT,
            _ => now + TIMEOUT,
        }
    }

    /// Notes that a usage did not come in time.
    pub(crate) fn note_missed(&self, now: Instant) {
        *self.missed.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wait_in_a_while_is_long() {
        let timeout = UsageTimeout::default();
        let now = Instant::now();
        assert_eq!(timeout.deadline(now), now + TIMEOUT);
        timeout.note_missed(now);
        let soon = now + MEMORY / 2;
        assert_eq!(timeout.deadline(soon), soon + SHORT_TIMEOUT);
        let later = now + MEMORY;
        assert_eq!(timeout.deadline(later), later + TIMEOUT);
    }
}
