//! The errors of calls that have ended without an answer.
//! RUNS IN: caller

use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};
use crate::exit::Exit;
use crate::pool::failed;
use crate::pool::state::event::{End, WorkerId};

/// What the owner of a call is told. `None`: its worker has answered.
pub(crate) fn error(
    end: End,
    name: &str,
    sent: Option<Instant>,
    timeout: Option<Duration>,
    exit_of: impl Fn(WorkerId) -> Option<(u32, Exit)>,
) -> Option<Error> {
    let ran = sent.map(|sent| sent.elapsed()).unwrap_or_default();
    let died = |worker, has_entered| {
        let (pid, exit) = exit_of(worker).unwrap_or((0, Exit::unknown(None)));
        failed::died(name, pid, Ok(exit), ran, has_entered)
    };
    Some(match end {
        End::Answered => return None,
        End::Died(worker) => died(worker, true),
        End::NeverEntered(worker) => died(worker, false),
        End::TimedOutInQueue => {
            let message = format!("`{name}` waited for a worker longer than `queue_timeout` allows");
            Error::new(ErrorKind::TimedOut, message).before_entry()
        }
        End::TimedOut(worker) => {
            let pid = exit_of(worker).map_or(0, |(pid, _)| pid);
            failed::too_late(name, pid, timeout, true)
        }
        End::Cancelled => {
            let message = format!("the call of `{name}` was dropped");
            Error::new(ErrorKind::Closed, message)
        }
        End::Full => {
            let message =
                format!("`{name}` was refused: as many calls as `queue` allows are waiting");
            Error::new(ErrorKind::Full, message).before_entry()
        }
        End::Closed { was_sent: true } => {
            let message = format!("`{name}` was killed, because its pool was shut down");
            Error::new(ErrorKind::Closed, message)
        }
        End::Closed { was_sent: false } => {
            let message = format!("`{name}` was refused: its pool was shut down");
            Error::new(ErrorKind::Closed, message).before_entry()
        }
        End::NoWorker(error) => error
            .during(format_args!("no worker for `{name}`"))
            .before_entry(),
    })
}

/// The error of what a pool does that ends.
pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the pool was shut down").before_entry()
}
