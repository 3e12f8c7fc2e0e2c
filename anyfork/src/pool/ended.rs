//! The errors of calls that have ended without an answer.
//! RUNS IN: caller

use crate::error::{Error, ErrorKind};
use crate::exit::Exit;
use crate::pool::entry::Entry;
use crate::pool::failed;
use crate::pool::state::event::{End, WorkerId};

/// What is known of a worker that has exited.
pub(crate) struct Gone {
    pub(crate) pid: u32,
    pub(crate) exit: Exit,
    pub(crate) has_entered: bool,
}

/// What the owner of a call is told. `None`: its worker has answered.
pub(crate) fn error(
    end: End,
    entry: &Entry,
    gone: impl Fn(WorkerId) -> Option<Gone>,
) -> Option<Error> {
    let name = entry.name;
    let ran = entry.sent.map(|sent| sent.elapsed()).unwrap_or_default();
    let gone = |worker| {
        gone(worker).unwrap_or(Gone {
            pid: 0,
            exit: Exit::unknown(None),
            has_entered: true,
        })
    };
    Some(match end {
        End::Answered => return None,
        End::Died(worker) => {
            let Gone { pid, exit, .. } = gone(worker);
            failed::died(name, pid, Ok(exit), ran, true)
        }
        End::NeverEntered(worker) => {
            let Gone { pid, exit, .. } = gone(worker);
            failed::died(name, pid, Ok(exit), ran, false)
        }
        End::TimedOutInQueue => {
            let message =
                format!("`{name}` waited for a worker longer than `queue_timeout` allows");
            Error::new(ErrorKind::TimedOut, message).before_entry()
        }
        End::TimedOut(worker) => {
            let Gone {
                pid, has_entered, ..
            } = gone(worker);
            failed::too_late(name, pid, entry.timeout, has_entered)
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
