//! [`Launched`]: a start of a worker that was asked for.
//! RUNS IN: caller

use std::os::unix::net::UnixStream;

use crate::caller::spawn::Spawn;
use crate::caller::spawn::wait_for::WaitFor;
use crate::pool::entered::EnteredPage;
use crate::pool::logs::outputs::Outputs;

/// A start of a worker that was asked for. Dropped, it is undone.
pub(crate) struct Launched {
    pub(crate) spawn: Spawn<UnixStream>,
    pub(crate) page: EnteredPage,
    /// What it prints. `None`: nobody wants to know.
    pub(crate) outputs: Option<Outputs>,
    /// What its next step needs.
    pub(crate) wait: WaitFor,
}
