//! How a [`Pool`] is ended.
//! RUNS IN: caller

use std::time::Duration;

use crate::pool::handle::Pool;
use crate::pool::live::Live;
use crate::pool::state::event::Event;
use crate::pool::wait::{Goal, Wait};

impl Pool {
    /// Shuts the pool down: new calls fail with [`ErrorKind::Closed`](crate::ErrorKind::Closed).
    /// Calls that wait or run have `grace` to finish; then they are killed. Waits until every
    /// worker has been reaped.
    ///
    /// ```
    /// # mod doctest {
    /// use std::time::Duration;
    ///
    /// use anyfork::{ErrorKind, Pool};
    ///
    /// #[anyfork::call]
    /// fn job(n: u32) -> u32 {
    ///     n + 1
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let pool = Pool::new()?;
    /// let calls: Vec<_> = (0..10).map(|n| job::call(&pool, n)).collect();
    /// let shutdown = pool.shutdown(Duration::from_secs(60));
    /// let error = job::call(&pool, 7).blocking().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Closed);
    /// shutdown.blocking()?;
    /// let sum: u32 = calls.into_iter().map(|call| call.blocking().unwrap()).sum();
    /// assert_eq!(sum, 55);
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    ///
    /// # Errors
    ///
    /// Only in a process that the program has forked: the reason why its pool cannot be made
    /// there.
    pub fn shutdown(&self, grace: Duration) -> Wait {
        let shared = self.shared();
        if let Ok(shared) = &shared {
            shared.tell_alone(Event::Shutdown(grace));
        }
        Wait::new(shared, Goal::Ended)
    }

    /// Kills every worker now. The pool takes no new calls after that. Calls that wait or run
    /// fail with [`ErrorKind::Closed`](crate::ErrorKind::Closed).
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::{ErrorKind, Pool};
    ///
    /// #[anyfork::call]
    /// fn hang() {
    ///     loop {
    ///         std::thread::park();
    ///     }
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let pool = Pool::new()?;
    /// let call = hang::call(&pool);
    /// pool.kill();
    /// assert_eq!(call.blocking().unwrap_err().kind(), ErrorKind::Closed);
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn kill(&self) {
        let Ok(shared) = self.shared() else {
            return;
        };
        let mut inner = shared.lock();
        shared.tell(&mut inner, Event::Shutdown(Duration::ZERO));
        for live in inner.workers.values() {
            if let Live::Up(up) = live {
                let _ = up.watch.kill();
            }
        }
        shared.finish(inner);
    }
}
