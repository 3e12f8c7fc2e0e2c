//! [`LeaseEntry`]: a lease, as the pool's tables have it.
//! RUNS IN: caller

use crate::error::Error;
use crate::exit::Exit;
use crate::pool::entry::Wake;
use crate::pool::state::event::{Reason, WorkerId};

/// A lease, from its request until its owner has dropped it.
pub(crate) struct LeaseEntry {
    pub(crate) at: LeaseAt,
    /// Who waits for its worker.
    pub(crate) wake: Option<Wake>,
    /// The exit of a worker that it has lost.
    exit: Option<Exit>,
}

/// How far a lease is.
pub(crate) enum LeaseAt {
    Waits,
    /// It gets no worker.
    Failed(Error),
    Has(WorkerId),
    /// Its worker takes no more calls, for this reason.
    Lost(WorkerId, Reason),
}

impl LeaseEntry {
    pub(crate) fn new() -> LeaseEntry {
        LeaseEntry {
            at: LeaseAt::Waits,
            wake: None,
            exit: None,
        }
    }

    /// Why it has lost its worker.
    pub(crate) fn why(&self) -> String {
        let why = match self.at {
            LeaseAt::Lost(_, Reason::Died) => "has exited",
            LeaseAt::Lost(_, Reason::TimedOut) => "was killed, because a call took too long",
            LeaseAt::Lost(_, Reason::Cancelled) => "was killed, because a call was dropped",
            LeaseAt::Lost(_, Reason::Nonsense) => "was killed, because it sent nonsense",
            LeaseAt::Lost(_, Reason::Retired) => "has retired after its last call",
            _ => "has left",
        };
        why.to_owned()
    }

    /// How the worker has exited that it has lost, if that is known.
    pub(crate) fn exit(&self) -> Option<&Exit> {
        self.exit.as_ref()
    }

    /// A worker has left, which may have been this lease's.
    pub(crate) fn note_exit(&mut self, worker: WorkerId, exit: Option<&Exit>) {
        if matches!(self.at, LeaseAt::Lost(lost, _) if lost == worker) {
            self.exit = exit.cloned();
        }
    }
}
