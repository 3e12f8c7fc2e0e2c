//! [`Leasing`]: a lease that waits for its worker.
//! RUNS IN: caller

use std::fmt;
#[cfg(feature = "tokio")]
use std::pin::Pin;
use std::sync::Arc;
#[cfg(feature = "tokio")]
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use crate::error::Result;
use crate::pool::core::Shared;
use crate::pool::ended;
use crate::pool::entry::Wake;
use crate::pool::handle::Pool;
use crate::pool::inner::{Inner, Trash};
use crate::pool::lease::entry::{LeaseAt, LeaseEntry};
use crate::pool::lease::{Lease, of_another_process};
use crate::pool::prepared::next_number;
use crate::pool::state::event::{CallId, Event, Reason, Return};

/// A lease under way, from [`Pool::lease`](crate::Pool::lease). Finish it with `.await` (feature
/// `tokio`, in any runtime) or [`blocking`](Leasing::blocking).
///
/// If it is dropped before that, its place in the queue goes to the next.
///
/// ```
/// # fn main() -> anyfork::Result<()> {
/// use anyfork::pool::Leasing;
/// use anyfork::{Pool, Process};
///
/// let pool = Pool::builder(Process::new()?).max(1).build()?;
/// let first = pool.lease().blocking()?;
/// let pid = first.pid();
/// let next: Leasing = pool.lease(); // in the queue, behind the first
/// drop(first);
/// assert_eq!(next.blocking()?.pid(), pid);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Those of [`Pool::lease`](crate::Pool::lease).
#[must_use = "a lease that is dropped is given up: `.await` it or call `.blocking()`"]
pub struct Leasing {
    shared: Result<Arc<Shared>>,
    id: CallId,
    /// Nothing is left to undo.
    is_over: bool,
}

impl Pool {
    /// Asks for a worker for the caller alone, until the [`Lease`] is dropped. The request waits
    /// in one queue with the calls, for a free worker or a new one.
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::Pool;
    ///
    /// #[anyfork::call]
    /// fn whoami() -> u32 {
    ///     std::process::id()
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let pool = Pool::new()?;
    /// let mut lease = pool.lease().blocking()?;
    /// for _ in 0..3 {
    ///     assert_eq!(whoami::call(&mut lease).blocking()?, lease.pid());
    /// }
    /// lease.retire();
    /// assert_eq!(pool.stats().leased, 0);
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Full`], and [`ErrorKind::TimedOut`] after the pool's
    /// [`queue_timeout`](crate::pool::Builder::queue_timeout), as for a call;
    /// [`ErrorKind::Closed`] after a shutdown, even one that comes while the request waits; and
    /// the reason why no worker could be started: see [`Launch`](crate::Launch).
    ///
    /// [`ErrorKind::Full`]: crate::ErrorKind::Full
    /// [`ErrorKind::TimedOut`]: crate::ErrorKind::TimedOut
    /// [`ErrorKind::Closed`]: crate::ErrorKind::Closed
    pub fn lease(&self) -> Leasing {
        Leasing::start(self.shared())
    }
}

impl Leasing {
    pub(crate) fn start(shared: Result<Arc<Shared>>) -> Leasing {
        let id = CallId(next_number());
        if let Ok(shared) = &shared {
            let mut inner = shared.lock();
            inner.leases.insert(id, LeaseEntry::new());
            request(shared, &mut inner, id);
            shared.finish(inner);
        }
        Leasing {
            shared,
            id,
            is_over: false,
        }
    }

    /// Limits how long the request waits for a worker, in place of the pool's
    /// [`queue_timeout`](crate::pool::Builder::queue_timeout).
    ///
    /// ```
    /// # fn main() -> anyfork::Result<()> {
    /// use std::time::Duration;
    ///
    /// use anyfork::{ErrorKind, Pool, Process};
    ///
    /// let pool = Pool::builder(Process::new()?).max(1).build()?;
    /// let _lease = pool.lease().blocking()?;
    /// let another = pool.lease().queue_timeout(Duration::from_millis(10));
    /// assert_eq!(another.blocking().unwrap_err().kind(), ErrorKind::TimedOut);
    /// # Ok(())
    /// # }
    /// ```
    pub fn queue_timeout(self, limit: Duration) -> Leasing {
        if let Ok(shared) = &self.shared
            && !shared.is_copy()
        {
            shared.tell_alone(Event::QueueTimeout(self.id, limit));
        }
        self
    }

    /// Waits for the worker.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::lease`](crate::Pool::lease).
    pub fn blocking(mut self) -> Result<Lease> {
        loop {
            let wake = || Wake::Thread(thread::current());
            match self.take_or_wait(wake) {
                Some(result) => return result,
                None => thread::park(),
            }
        }
    }

    /// The lease, if it has its worker. Otherwise somebody is woken when it has.
    fn take_or_wait(&mut self, wake: impl FnOnce() -> Wake) -> Option<Result<Lease>> {
        let shared = match &self.shared {
            Ok(shared) if shared.is_copy() => return Some(Err(of_another_process())),
            Ok(shared) => Arc::clone(shared),
            Err(error) => return Some(Err(error.clone())),
        };
        let mut inner = shared.lock();
        let result = self.take(&shared, &mut inner);
        match &result {
            Some(Ok(_)) => self.is_over = true,
            Some(Err(_)) => {
                self.is_over = true;
                inner.leases.remove(&self.id);
            }
            None => {
                let entry = inner.leases.get_mut(&self.id);
                let before = entry.and_then(|entry| entry.wake.replace(wake()));
                inner.todo.trash.extend(before.map(Trash::Wake));
            }
        }
        shared.finish(inner);
        result
    }

    fn take(&self, shared: &Arc<Shared>, inner: &mut Inner) -> Option<Result<Lease>> {
        loop {
            let Some(entry) = inner.leases.get_mut(&self.id) else {
                return Some(Err(ended::closed()));
            };
            match &entry.at {
                LeaseAt::Waits => return None,
                LeaseAt::Failed(error) => return Some(Err(error.clone())),
                LeaseAt::Lost(_, Reason::ShutDown) => return Some(Err(ended::closed())),
                // Nobody has used that worker: it waits for another one.
                LeaseAt::Lost(..) => {
                    entry.at = LeaseAt::Waits;
                    request(shared, inner, self.id);
                }
                LeaseAt::Has(worker) => {
                    let worker = *worker;
                    let watch = inner.up(worker)?.watch.clone();
                    return Some(Ok(Lease::new(Arc::clone(shared), self.id, worker, watch)));
                }
            }
        }
    }
}

fn request(shared: &Shared, inner: &mut Inner, id: CallId) {
    let queue_timeout = shared.options.queue_timeout;
    shared.tell(inner, Event::Lease { id, queue_timeout });
}

/// The future of a lease. A future that is dropped before it resolves leaves the queue.
#[cfg(feature = "tokio")]
impl Future for Leasing {
    type Output = Result<Lease>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Lease>> {
        match self.take_or_wait(|| Wake::Task(context.waker().clone())) {
            Some(result) => Poll::Ready(result),
            None => Poll::Pending,
        }
    }
}

impl Drop for Leasing {
    fn drop(&mut self) {
        let Ok(shared) = &self.shared else {
            return;
        };
        if self.is_over || shared.is_copy() {
            return;
        }
        let mut inner = shared.lock();
        let Some(entry) = inner.leases.remove(&self.id) else {
            return;
        };
        let event = match entry.at {
            LeaseAt::Waits => Some(Event::Drop(self.id)),
            LeaseAt::Has(worker) => Some(Event::Return(Return {
                lease: self.id,
                worker,
                retires: false,
            })),
            LeaseAt::Failed(_) | LeaseAt::Lost(..) => None,
        };
        inner.todo.trash.extend(entry.wake.map(Trash::Wake));
        if let Some(event) = event {
            shared.tell(&mut inner, event);
        }
        shared.finish(inner);
    }
}

impl fmt::Debug for Leasing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leasing").finish_non_exhaustive()
    }
}
