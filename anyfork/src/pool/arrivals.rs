//! [`Arrivals`]: what a worker has sent for a call before its last answer.
//! RUNS IN: caller
//!
//! Events of the function, or the results of the first of several items. What nobody takes
//! is kept up to a limit; then nobody reads the worker's socket, and the worker waits.

use std::collections::VecDeque;

use crate::error::Result;
use crate::pool::connection::Outcome;
use crate::pool::failed;
use crate::protocol::call::Payload;

/// Maximum number of bytes that are kept for an owner who does not take them.
const MAX_KEPT: u64 = 256 * 1024;

/// Number of bytes that an event counts beside its own.
const OVERHEAD: u64 = 128;

/// What has arrived and was not taken.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    waiting: VecDeque<Result<Payload>>,
    /// Number of bytes of those.
    len: u64,
    /// Number of items that were answered.
    pub(crate) answered: u64,
    /// Nobody will take them.
    is_unwanted: bool,
}

impl Arrivals {
    /// Takes in what has arrived. What is not wanted comes back.
    pub(crate) fn extend(&mut self, name: &str, arrived: Vec<Outcome>) -> Vec<Outcome> {
        self.answered += arrived.len() as u64;
        if self.is_unwanted {
            return arrived;
        }
        for outcome in arrived {
            let result = failed::result(name, outcome);
            self.len += len(&result);
            self.waiting.push_back(result);
        }
        Vec::new()
    }

    /// Takes the first one.
    pub(crate) fn take(&mut self) -> Option<Result<Payload>> {
        self.is_unwanted = false;
        let first = self.waiting.pop_front()?;
        self.len -= len(&first);
        Some(first)
    }

    /// Nobody will take what is here and what will come, until somebody does.
    pub(crate) fn discard(&mut self) -> VecDeque<Result<Payload>> {
        self.is_unwanted = true;
        self.len = 0;
        std::mem::take(&mut self.waiting)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether the worker has to wait.
    pub(crate) fn is_full(&self) -> bool {
        self.len >= MAX_KEPT
    }
}

fn len(arrival: &Result<Payload>) -> u64 {
    OVERHEAD + arrival.as_ref().map_or(0, Payload::len)
}
