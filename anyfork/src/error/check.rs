//! [`Exit::check`]: the error of a failure.
//! RUNS IN: any
//!
//! An error may have an exit inside, so the exit does not know of errors.

use crate::error::{Error, Result};
use crate::exit::Exit;

impl Exit {
    /// Turns a failure into an error, so that `?` passes it on.
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::{ErrorKind, Process};
    ///
    /// #[anyfork::worker]
    /// fn refuse() -> Result<(), String> {
    ///     Err("no work today".into())
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let exit = Process::new()?.run(refuse::NAME).blocking()?.wait()?;
    /// let error = exit.check().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Died);
    /// assert_eq!(error.exit().and_then(|exit| exit.code()), Some(1));
    /// assert_eq!(error.to_string(), "the process failed: exit status: 1 (no work today)");
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Died`](crate::ErrorKind::Died) unless the exit is a
    /// [`success`](Exit::success). The error's [`exit`](Error::exit) is this exit, and its
    /// [`failure`](Error::failure) is the reason.
    pub fn check(self) -> Result<Exit> {
        if self.success() {
            return Ok(self);
        }
        let mut message = format!("the process failed: {self}");
        if let Some(failure) = self.failure() {
            message += &format!(" ({failure})");
        }
        Err(Error::died(message, self))
    }
}
