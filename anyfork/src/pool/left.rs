//! [`Left`]: a worker that has left its pool.
//! RUNS IN: caller

use std::fmt;

use crate::exit::Exit;
use crate::pool::state::event::Reason;

/// A worker that has left its pool: what [`Builder::on_exit`](crate::pool::Builder::on_exit)
/// is told.
#[derive(Clone, Debug)]
pub struct Left {
    pid: u32,
    exit: Exit,
    reason: Reason,
    calls: u64,
}

impl Left {
    pub(crate) fn new(pid: u32, exit: Exit, reason: Reason, calls: u64) -> Left {
        Left {
            pid,
            exit,
            reason,
            calls,
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// How it exited.
    pub fn exit(&self) -> &Exit {
        &self.exit
    }

    /// Why it left.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// How many calls it was given.
    pub fn calls(&self) -> u64 {
        self.calls
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Left {
            pid,
            exit,
            reason,
            calls,
        } = self;
        write!(
            f,
            "worker {pid} left after {calls} calls ({reason:?}): {exit}"
        )
    }
}
