//! [`WaitFor`]: the event that the next step of a spawn needs.
//! RUNS IN: caller

use std::time::Duration;

use crate::sys::poll::Interest;

/// The event that a spawn waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitFor {
    /// Room on the template's control socket.
    Control,
    /// The child's reply, or room for descriptors, on the reply socket.
    Reply(Interest),
    /// The hang-up of the reply socket, or the child's exit: a program is executed.
    Executed,
    /// The record of the child's exit in the status pipe.
    Status,
    /// [`INTERVAL`]: no descriptor reports the event. The kernel does not report that
    /// fewer of this user's descriptors are in flight (`ETOOMANYREFS`, unix(7)).
    Later,
}

/// Interval between two attempts where no descriptor reports the event.
pub(crate) const INTERVAL: Duration = Duration::from_millis(1);
