//! [`Launched`]: a start of a worker that was asked for.
//! RUNS IN: caller

use std::os::unix::net::UnixStream;

use crate::caller::spawn::Spawn;
use crate::caller::spawn::wait_for::WaitFor;
use crate::pool::entered::EnteredPage;

/// A start of a worker that was asked for. Dropped, it is undone.
pub(crate) struct Launched {
    pub(crate) spawn: Spawn<UnixStream>,
    pub(crate) page: EnteredPage,
    /// What its next step needs.
    pub(crate) wait: WaitFor,
}
