//! [`Entry`]: a call of a pool's, until its owner has taken the result.
//! RUNS IN: caller

#[cfg(feature = "tokio")]
use std::task::Waker;
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::pool::arrivals::Arrivals;
use crate::pool::request::Request;
use crate::pool::state::event::{CallId, To, WorkerId};
use crate::pool::trace::Home;
use crate::protocol::call::Payload;

/// A call, until its owner has taken the result.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) aim: Aim,
    /// Before a worker has it.
    pub(crate) request: Option<Request>,
    /// The number of the request that was sent last, to a worker with one call at a time.
    pub(crate) number: u64,
    pub(crate) worker: Option<WorkerId>,
    pub(crate) sent: Option<Instant>,
    pub(crate) timeout: Option<Duration>,
    /// Its worker, which is gone, had entered it.
    pub(crate) has_entered: bool,
    /// Number of other calls that its worker, which is gone, had entered.
    pub(crate) others: usize,
    pub(crate) result: Option<Result<Payload>>,
    pub(crate) owner: Owner,
    /// Before the result.
    pub(crate) arrivals: Arrivals,
    /// Where what its worker reports belongs.
    pub(crate) home: Home,
}

impl Entry {
    /// Whether its worker has to wait, because the owner does not take what arrives.
    pub(crate) fn is_full(&self) -> bool {
        self.arrivals.is_full()
    }

    /// Whether its drop may run others' code, or system calls.
    pub(crate) fn has_others(&self) -> bool {
        let is_simple = matches!(self.owner, Owner::Away | Owner::Gone | Owner::Reads);
        let is_empty = self.request.is_none() && self.result.is_none();
        !is_empty || !self.arrivals.is_empty() || !is_simple || self.home.is_somewhere()
    }
}

/// The worker that a call is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aim {
    pub(crate) to: To,
    /// Its process id, unless it is whichever is free.
    pub(crate) pid: u32,
}

impl Aim {
    /// Whichever is free first.
    pub(crate) const ANY: Aim = Aim {
        to: To::Any,
        pid: 0,
    };

    /// The lease that the call is of.
    pub(crate) fn lease(&self) -> Option<CallId> {
        match self.to {
            To::Lease(lease, _) => Some(lease),
            _ => None,
        }
    }
}

/// What the owner of a call does.
pub(crate) enum Owner {
    /// Nothing with the call.
    Away,
    /// It will never do anything.
    Gone,
    /// It reads the worker's socket, or is about to.
    Reads,
    /// It sleeps until it is woken.
    Sleeps(Thread),
    /// It sleeps, and the watcher reads in its place.
    Watched(Thread),
    /// It is a task.
    #[cfg(feature = "tokio")]
    Awaits(Waker, Until),
}

/// What wakes a task that owns a call.
#[cfg(feature = "tokio")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// Its runtime, when the worker's socket is readable.
    Readable,
    /// Whoever has the worker's connection, or gives the call a worker.
    Turn,
    /// The watcher, when the result is there: there is no runtime that would.
    Result,
}

/// Somebody to be woken.
pub(crate) enum Wake {
    Thread(Thread),
    #[cfg(feature = "tokio")]
    Task(Waker),
}

impl Wake {
    pub(crate) fn wake(self) {
        match self {
            Wake::Thread(thread) => thread.unpark(),
            #[cfg(feature = "tokio")]
            Wake::Task(waker) => waker.wake(),
        }
    }

    /// Whether the two wake the same.
    pub(crate) fn is_like(&self, other: &Wake) -> bool {
        match (self, other) {
            (Wake::Thread(one), Wake::Thread(two)) => one.id() == two.id(),
            #[cfg(feature = "tokio")]
            (Wake::Task(one), Wake::Task(two)) => one.will_wake(two),
            #[cfg(feature = "tokio")]
            _ => false,
        }
    }
}

impl Owner {
    /// The owner has its result.
    pub(crate) fn wake(&mut self) -> Option<Wake> {
        match std::mem::replace(self, Owner::Away) {
            Owner::Sleeps(thread) | Owner::Watched(thread) => Some(Wake::Thread(thread)),
            #[cfg(feature = "tokio")]
            Owner::Awaits(waker, _) => Some(Wake::Task(waker)),
            Owner::Gone => {
                *self = Owner::Gone;
                None
            }
            Owner::Away | Owner::Reads => None,
        }
    }

    /// Something has arrived for it. An owner that reads goes on by itself.
    pub(crate) fn arrived(&mut self) -> Option<Wake> {
        match self {
            Owner::Reads => None,
            _ => self.wake(),
        }
    }

    /// It is the owner's turn to read.
    pub(crate) fn hand_over(&mut self) -> Option<Wake> {
        match self {
            Owner::Sleeps(_) => {
                let woken = self.wake();
                *self = Owner::Reads;
                woken
            }
            #[cfg(feature = "tokio")]
            Owner::Awaits(_, Until::Turn) => self.wake(),
            _ => None,
        }
    }

    /// The worker has exited that has had the call: a task that waits for its socket is to
    /// wait for another one.
    pub(crate) fn lose_worker(&mut self) -> Option<Wake> {
        match self {
            #[cfg(feature = "tokio")]
            Owner::Awaits(_, Until::Readable) => self.wake(),
            _ => None,
        }
    }
}
