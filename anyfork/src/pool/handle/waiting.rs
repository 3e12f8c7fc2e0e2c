//! What a [`Pool`] does that takes time and leaves it in use.
//! RUNS IN: caller

use std::sync::{Arc, OnceLock};

use crate::caller::process::Process;
use crate::pool::base::Base;
use crate::pool::handle::Pool;
use crate::pool::state::event::Event;
use crate::pool::wait::{Goal, Wait};

impl Pool {
    /// Waits until the template and [`idle`](crate::pool::Builder::idle) workers, at least one, are
    /// ready, or says why they are not.
    ///
    /// A program that calls this at its start finds out early if the init of its workers fails,
    /// and its first call does not wait for a start.
    ///
    /// ```
    /// use anyfork::{ErrorKind, Pool, Process};
    ///
    /// # mod doctest {
    /// # use super::*;
    /// # pub fn main() -> anyfork::Result<()> {
    /// let pool = Pool::builder(Process::new()?).idle(1).build()?;
    /// pool.prepare().blocking()?;
    /// assert_eq!(pool.stats().idle, 1);
    ///
    /// let pool = Pool::builder(Process::new()?).init("no such", anyfork::args![]).build()?;
    /// let error = pool.prepare().blocking().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::UnknownWorker);
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    ///
    /// # Errors
    ///
    /// The reason why no worker could be started: see [`Launch`](crate::Launch).
    /// [`ErrorKind::Closed`](crate::ErrorKind::Closed) after a shutdown, and when the last handle is
    /// dropped.
    pub fn prepare(&self) -> Wait {
        let shared = self.shared();
        let mut started = None;
        if let Ok(shared) = &shared {
            let mut inner = shared.lock();
            if !inner.state.is_prepared() {
                started = Some(inner.state.started());
                shared.tell(&mut inner, Event::Prepare);
            }
            shared.finish(inner);
        }
        Wait::new(shared, Goal::Prepared(started))
    }

    /// Waits until a call would neither be refused nor wait for long. This is only a hint:
    /// another thread may be faster.
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::{Pool, Process};
    ///
    /// #[anyfork::call]
    /// fn job() {}
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let pool = Pool::builder(Process::new()?).queue(1).build()?;
    /// for _ in 0..100 {
    ///     pool.ready().blocking()?; // takes no more from a client than it can serve
    ///     job::call(&pool).detach();
    /// }
    /// assert_eq!(pool.stats().refused, 0);
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`](crate::ErrorKind::Closed) after a shutdown, and when the last handle is
    /// dropped.
    pub fn ready(&self) -> Wait {
        Wait::new(self.shared(), Goal::Ready)
    }

    /// Makes all new workers forks of another process, for example of one with newer data. First,
    /// one such worker is started; then the old workers leave, each after its present call. If
    /// the first new worker cannot be started, the old workers go on.
    ///
    /// If the template of the new process is gone later, it is made again if it came from
    /// [`Process::new`] and was given no descriptor. The function of
    /// [`remake`](crate::pool::Builder::remake) is for the builder's process only.
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::{Pool, Process};
    ///
    /// #[anyfork::call]
    /// fn edition() -> String {
    ///     std::env::var("EDITION").unwrap_or_default()
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let pool = Pool::builder(Process::new()?.env("EDITION", "1")).max(1).build()?;
    /// assert_eq!(edition::call(&pool).blocking()?, "1");
    /// pool.renew(Process::new()?.env("EDITION", "2")).blocking()?;
    /// assert_eq!(edition::call(&pool).blocking()?, "2");
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    ///
    /// # Errors
    ///
    /// The reason why the first new worker could not be started; [`ErrorKind::Closed`] if another
    /// renewal begins before that worker is ready, after a shutdown, and when the last handle is
    /// dropped.
    ///
    /// [`ErrorKind::Closed`]: crate::ErrorKind::Closed
    pub fn renew(&self, process: Process) -> Wait {
        let renewal = Arc::new(OnceLock::new());
        let shared = self.shared();
        if let Ok(shared) = &shared {
            let mut inner = shared.lock();
            let id = inner.state.next_base();
            let base = match inner.bases.last() {
                Some((_, base)) => base.with(process),
                None => Base::new(process, Arc::default(), None),
            };
            inner.bases.push((id, Arc::new(base)));
            inner.renewals.push((id, Arc::clone(&renewal)));
            shared.tell(&mut inner, Event::Renew);
            shared.finish(inner);
        }
        Wait::new(shared, Goal::Renewed(renewal))
    }
}
