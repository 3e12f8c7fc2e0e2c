//! What can be asked of a [`Call`] under way without waiting for it.
//! RUNS IN: caller

use crate::pool::call::Call;
use crate::pool::pending::Pending;

impl<R, E> Call<R, E> {
    /// Whether the result or the failure has arrived, so that nobody has to wait for it.
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::{ErrorKind, Pool};
    ///
    /// #[anyfork::call]
    /// fn hang() {
    ///     std::thread::park();
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let pool = Pool::new()?;
    /// let call = hang::call(&pool);
    /// assert!(!call.is_finished());
    /// pool.kill();
    /// let error = call.blocking().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Closed);
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn is_finished(&self) -> bool {
        match &self.pending {
            Pending::Failed(_) => true,
            Pending::Fresh(call) => call.is_finished(),
            Pending::Pooled(call) => call.is_finished(),
        }
    }

    /// The number of the call, which no other call of this process has.
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::Pool;
    ///
    /// #[anyfork::call]
    /// fn nothing() {}
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let pool = Pool::new()?;
    /// let [one, two] = [nothing::call(&pool), nothing::call(&pool)];
    /// assert_ne!(one.id(), two.id());
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn id(&self) -> u64 {
        self.number
    }

    /// The process in which the call runs, once that is known.
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::{Pool, Sender};
    ///
    /// #[anyfork::call]
    /// fn hang(started: Sender<u32>) {
    ///     let _ = started.send(std::process::id()).blocking();
    ///     loop {
    ///         std::thread::park();
    ///     }
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let pool = Pool::new()?;
    /// let mut call = hang::call(&pool);
    /// let pid = call.recv().blocking();
    /// assert_eq!(call.pid(), pid);
    /// assert!(!call.is_finished());
    /// assert_ne!(call.id(), hang::call(&pool).id());
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn pid(&self) -> Option<u32> {
        match &self.pending {
            Pending::Failed(_) => None,
            Pending::Fresh(call) => call.pid(),
            Pending::Pooled(call) => call.pid(),
        }
    }
}
