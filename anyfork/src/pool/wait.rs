//! [`Wait`]: what a pool does that takes time.
//! RUNS IN: caller

use std::fmt;
#[cfg(feature = "tokio")]
use std::pin::Pin;
use std::sync::Arc;
#[cfg(feature = "tokio")]
use std::task::{Context, Poll};
use std::thread;

use crate::error::Result;
use crate::pool::core::Shared;
use crate::pool::ended;
use crate::pool::entry::Wake;
use crate::pool::inner::{Inner, Renewal};

/// An operation of a pool that takes time. It is under way when its method returns; wait for its
/// end with `.await` or [`blocking`](Wait::blocking).
///
/// It may be awaited in any runtime. If it is dropped, only the waiting stops: the operation goes
/// on.
///
/// ```
/// # fn main() -> anyfork::Result<()> {
/// use anyfork::pool::Wait;
/// use anyfork::{Pool, Process};
///
/// let pools = [Pool::builder(Process::new()?).idle(1).build()?, Pool::new()?];
/// // Both start at the same time.
/// let waits: Vec<Wait> = pools.iter().map(Pool::prepare).collect();
/// waits.into_iter().try_for_each(Wait::blocking)?;
/// assert!(pools.iter().all(|pool| pool.stats().idle == 1));
/// # Ok(())
/// # }
/// ```
#[must_use = "nobody waits for it yet: `.await` it or call `.blocking()`"]
pub struct Wait {
    shared: Result<Arc<Shared>>,
    goal: Goal,
}

/// What is waited for.
#[derive(Clone)]
pub(crate) enum Goal {
    /// Workers are there, or were there at some moment since so many workers had been started.
    /// `None`: they were there when it was asked for.
    Prepared(Option<u64>),
    /// A call would not wait for long.
    Ready,
    /// A renewal has succeeded or failed.
    Renewed(Renewal),
    /// Every worker was collected.
    Ended,
}

impl Wait {
    pub(crate) fn new(shared: Result<Arc<Shared>>, goal: Goal) -> Wait {
        Wait { shared, goal }
    }

    /// Waits until the operation has finished.
    ///
    /// # Errors
    ///
    /// Those of the method that returned this `Wait`.
    pub fn blocking(self) -> Result<()> {
        let shared = self.shared?;
        loop {
            let mut inner = shared.lock();
            let result = self.goal.result(&inner);
            if result.is_none() {
                inner.wait(Wake::Thread(thread::current()));
            }
            shared.finish(inner);
            match result {
                Some(result) => return result,
                None => thread::park(),
            }
        }
    }
}

impl Goal {
    fn result(&self, inner: &Inner) -> Option<Result<()>> {
        let state = &inner.state;
        let is_there = match self {
            Goal::Ended => inner.has_ended,
            Goal::Renewed(renewal) => return renewal.get().cloned(),
            _ if state.is_ending() => return Some(Err(ended::closed())),
            Goal::Ready => state.has_room(),
            Goal::Prepared(None) => true,
            Goal::Prepared(Some(started)) => match state.start_error() {
                Some(error) => return Some(Err(error)),
                None => state.is_prepared() || state.was_prepared(*started),
            },
        };
        is_there.then_some(Ok(()))
    }
}

#[cfg(feature = "tokio")]
impl Future for Wait {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let shared = match &self.shared {
            Ok(shared) => shared,
            Err(error) => return Poll::Ready(Err(error.clone())),
        };
        let wake = Wake::Task(context.waker().clone());
        let mut inner = shared.lock();
        let result = self.goal.result(&inner);
        if result.is_none() {
            inner.wait(wake);
        }
        shared.finish(inner);
        match result {
            Some(result) => Poll::Ready(result),
            None => Poll::Pending,
        }
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").finish_non_exhaustive()
    }
}
