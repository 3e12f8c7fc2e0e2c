//! [`Lease`]: a worker that one caller has for itself.
//! RUNS IN: caller

pub(crate) mod entry;
pub(crate) mod leasing;

use std::fmt;
use std::sync::Arc;

#[cfg(feature = "tokio")]
use crate::caller::child::ChildHandle;
use crate::caller::child::blocking;
use crate::caller::child::exit_watch::ExitWatch;
use crate::error::{Error, ErrorKind, Result};
use crate::pool::core::Shared;
use crate::pool::entry::Aim;
use crate::pool::inner::Trash;
use crate::pool::pooled::PoolCall;
use crate::pool::prepared::Prepared;
use crate::pool::state::event::{CallId, Event, Return, To, WorkerId};

/// A worker of a pool that one caller has for itself, from
/// [`Pool::lease`](crate::Pool::lease).
///
/// All calls with `&mut lease` run in the same process, one after the other (except those of
/// `async fn`s in a pool with [`concurrency`](crate::pool::Builder::concurrency)), and nobody
/// else's calls run between them. This is for a session that keeps something in the process, such
/// as an interpreter or an open transaction.
///
/// ```
/// # mod doctest {
/// use std::sync::Mutex;
///
/// use anyfork::{ErrorKind, Pool, Process};
///
/// static SUM: Mutex<u64> = Mutex::new(0);
///
/// #[anyfork::call]
/// fn add(n: u64) -> u64 {
///     let mut sum = SUM.lock().unwrap();
///     *sum += n;
///     *sum
/// }
///
/// #[anyfork::call]
/// fn crash() {
///     std::process::abort();
/// }
///
/// # pub fn main() -> anyfork::Result<()> {
/// let pool = Pool::builder(Process::new()?).max(2).build()?;
/// let [mut one, mut two] = [pool.lease().blocking()?, pool.lease().blocking()?];
/// assert_eq!(add::call(&mut one, 3).blocking()?, 3);
/// assert_eq!(add::call(&mut two, 100).blocking()?, 100);
/// assert_eq!(add::call(&mut one, 4).blocking()?, 7);
/// assert_eq!(pool.stats().leased, 2);
///
/// // A session ends with its process, and every further call says so.
/// crash::call(&mut one).blocking().unwrap_err();
/// let error = add::call(&mut one, 1).blocking().unwrap_err();
/// assert_eq!((error.kind(), error.never_entered()), (ErrorKind::Died, true));
/// # Ok(())
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
///
/// A lease that is dropped between two calls gives the worker back to the pool, with everything
/// that the calls have left in it; with [`retire`](Lease::retire), the worker leaves instead. A
/// lease that is dropped while a call runs kills the worker, unless the call was
/// [detached](crate::Call::detach).
///
/// # Errors
///
/// A call with a lease whose worker is gone, or takes no more calls, fails with
/// [`ErrorKind::Died`], and is never entered. The worker is gone when it has died, when a call
/// took too long or was dropped, and when it has retired after a panic or by
/// [`anyfork::retire`](crate::retire). After a [`shutdown`](crate::Pool::shutdown), calls fail
/// with [`ErrorKind::Closed`].
///
/// # Caveats
///
/// The worker counts towards [`max`](crate::pool::Builder::max): if there are as many leases as
/// that, calls with the pool wait. If a worker is to be replaced because of its number of calls,
/// its age, its growth or a renewal, the replacement waits for the end of the lease.
/// [`each`](crate::pool::Each) runs in leased workers, too, between the calls of the lease. In a
/// process that the program has forked, calls with the lease fail with [`ErrorKind::Closed`], and
/// dropping it does nothing.
pub struct Lease {
    shared: Arc<Shared>,
    id: CallId,
    worker: WorkerId,
    watch: ExitWatch,
    is_over: bool,
}

impl Lease {
    pub(super) fn new(
        shared: Arc<Shared>,
        id: CallId,
        worker: WorkerId,
        watch: ExitWatch,
    ) -> Lease {
        Lease {
            shared,
            id,
            worker,
            watch,
            is_over: false,
        }
    }

    pub(crate) fn call(&mut self, call: Prepared) -> Result<PoolCall> {
        if self.shared.is_copy() {
            return Err(of_another_process().before_entry());
        }
        let aim = Aim {
            to: To::Lease(self.id, self.worker),
            pid: self.watch.pid(),
        };
        Ok(PoolCall::start_at(Arc::clone(&self.shared), call, aim))
    }

    /// The worker's process id.
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
    /// assert_eq!(whoami::call(&mut lease).blocking()?, lease.pid());
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn pid(&self) -> u32 {
        self.watch.pid()
    }

    /// A handle of the worker's process, for code with a runtime: to signal the process, or to
    /// wait for its exit.
    ///
    /// The handle outlives the lease. After the lease, other callers may have calls in this
    /// process.
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::Pool;
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    /// # runtime.block_on(async {
    /// let lease = Pool::new()?.lease().await?;
    /// let child = lease.child();
    /// assert_eq!(child.pid(), lease.pid());
    /// lease.retire();
    /// assert!(child.wait().await?.success());
    /// # Ok(())
    /// # })
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    #[cfg(feature = "tokio")]
    pub fn child(&self) -> ChildHandle {
        ChildHandle::new(self.watch.clone())
    }

    /// A handle of the worker's process, for code without a runtime: see [`child`](Lease::child).
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::{ErrorKind, Pool};
    ///
    /// #[anyfork::call]
    /// fn hello() {}
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let pool = Pool::new()?;
    /// let mut lease = pool.lease().blocking()?;
    /// let child = lease.blocking_child();
    /// assert_eq!(child.pid(), lease.pid());
    /// child.kill()?;
    /// let error = hello::call(&mut lease).blocking().unwrap_err();
    /// assert_eq!((error.kind(), error.never_entered()), (ErrorKind::Died, true));
    /// hello::call(&pool).blocking()?; // another worker
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn blocking_child(&self) -> blocking::handle::ChildHandle {
        blocking::handle::ChildHandle::new(self.watch.clone())
    }

    /// Ends the lease, and makes the worker leave the pool, so that nobody else finds what the
    /// calls have left in it. Calls that were made before this still run.
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::{Pool, Process};
    ///
    /// #[anyfork::call]
    /// fn whoami() -> u32 {
    ///     std::process::id()
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let pool = Pool::builder(Process::new()?).max(1).build()?;
    /// let mut lease = pool.lease().blocking()?;
    /// let pid = whoami::call(&mut lease).blocking()?;
    /// lease.retire();
    /// assert_ne!(whoami::call(&pool).blocking()?, pid);
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn retire(mut self) {
        self.end(true);
    }

    fn end(&mut self, retires: bool) {
        if self.is_over || self.shared.is_copy() {
            return;
        }
        self.is_over = true;
        let mut inner = self.shared.lock();
        let has_call = inner.up(self.worker).is_some_and(|up| up.has_calls());
        if has_call {
            drop(inner);
            // A result that has arrived counts.
            self.shared.read_for_owner(self.worker);
            inner = self.shared.lock();
        }
        let entry = inner.leases.remove(&self.id);
        let wake = entry.and_then(|entry| entry.wake);
        inner.todo.trash.extend(wake.map(Trash::Wake));
        let end = Event::Return(Return {
            lease: self.id,
            worker: self.worker,
            retires,
        });
        self.shared.tell(&mut inner, end);
        self.shared.finish(inner);
    }
}

/// The error for a lease of the process that this one was forked from.
fn of_another_process() -> Error {
    let message = "the lease belongs to the process from which this one was forked";
    Error::new(ErrorKind::Closed, message)
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.end(false);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("pid", &self.pid())
            .finish_non_exhaustive()
    }
}
