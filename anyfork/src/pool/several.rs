//! [`Several`]: the calls of a worker that may have several at once.
//! RUNS IN: caller
//!
//! Whoever reads the worker's socket reads for all of them. Nobody has to read to send: the
//! [`Outbox`] goes its own way.

mod exchange;
mod giving;
pub(crate) mod outbox;
mod reading;

use std::collections::{BTreeSet, VecDeque};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use crate::pool::connection::WaitFor;
use crate::pool::several::outbox::Outbox;
use crate::pool::state::event::CallId;

/// The calls of a worker that may have several at once.
pub(crate) struct Several {
    pub(crate) outbox: Arc<Outbox>,
    /// The calls that it has, in the order in which it has got them.
    pub(crate) given: VecDeque<Given>,
    /// The numbers of those that it was asked to drop, and that were taken from it because it
    /// leaves: it may still say that they are dropped.
    pub(crate) taken: BTreeSet<u64>,
    /// What sending waits for.
    pub(crate) unsent: Option<WaitFor>,
    /// A call has sent events, or a part of its results: nobody may take them.
    pub(crate) has_arrivals: bool,
    /// It has sent nonsense: nothing of what it sends counts any more.
    pub(crate) is_broken: bool,
}

/// A call that a worker has.
pub(crate) struct Given {
    pub(crate) call: CallId,
    /// The number of its request.
    pub(crate) number: u64,
    /// Number of calls that the request is of; `None`: one.
    pub(crate) items: Option<u32>,
    /// Number of items that were answered.
    pub(crate) answered: u32,
    /// It runs, as far as is known. Otherwise its end may come from elsewhere than the worker,
    /// and its owner does not read.
    pub(crate) runs: bool,
    /// The worker was asked to drop it.
    pub(crate) is_cancelled: bool,
}

impl Several {
    pub(crate) fn new(socket: &Arc<UnixStream>) -> Several {
        Several {
            outbox: Arc::new(Outbox::new(Arc::clone(socket))),
            given: VecDeque::new(),
            taken: BTreeSet::new(),
            unsent: None,
            has_arrivals: false,
            is_broken: false,
        }
    }
}

impl Given {
    /// The number of the call that is answered next.
    pub(crate) fn next(&self) -> u64 {
        self.number + u64::from(self.answered)
    }
}
