//! The errors of calls that have ended without an answer.
//! RUNS IN: caller

use crate::error::{Error, ErrorKind};
use crate::exit::Exit;
use crate::pool::entry::Entry;
use crate::pool::failed;
use crate::pool::lease::entry::LeaseEntry;
use crate::pool::state::event::{End, WorkerId};

/// What is known of a worker that has exited.
pub(crate) struct Gone {
    pub(crate) pid: u32,
    pub(crate) exit: Exit,
}

/// What the owner of a call is told. `None`: its worker has answered.
pub(crate) fn error(
    end: End,
    entry: &Entry,
    gone: impl Fn(WorkerId) -> Option<Gone>,
    lease: Option<&LeaseEntry>,
) -> Option<Error> {
    let name = entry.name;
    let ran = entry.sent.map(|sent| sent.elapsed()).unwrap_or_default();
    let gone = |worker| {
        gone(worker).unwrap_or(Gone {
            pid: 0,
            exit: Exit::unknown(None),
        })
    };
    Some(match end {
        End::Answered => return None,
        End::Died(worker) => {
            let Gone { pid, exit } = gone(worker);
            failed::died((name, pid), Ok(exit), ran, Some(entry.others))
        }
        End::NeverEntered(worker) => {
            let Gone { pid, exit } = gone(worker);
            failed::died((name, pid), Ok(exit), ran, None)
        }
        End::Gone => {
            let (pid, exit) = (entry.aim.pid, lease.and_then(LeaseEntry::exit));
            let why = lease.map_or_else(|| "has left".to_owned(), LeaseEntry::why);
            let message =
                format!("`{name}` was not called: process {pid}, which it was for, {why}");
            match exit {
                Some(exit) => Error::died(format!("{message}: {exit}"), exit.clone()),
                None => Error::new(ErrorKind::Died, message),
            }
            .before_entry()
        }
        End::LeaseDropped { was_sent } => {
            let pid = entry.aim.pid;
            let message =
                format!("the lease of process {pid} was dropped before `{name}` was done");
            let error = Error::new(ErrorKind::Closed, message);
            match was_sent {
                true => error,
                false => error.before_entry(),
            }
        }
        End::TimedOutInQueue => too_long_in_queue(name),
        End::TimedOutAhead => {
            let message = format!(
                "`{name}` waited longer than `queue_timeout` allows, behind the calls of a worker"
            );
            Error::new(ErrorKind::TimedOut, message)
        }
        End::TimedOutThere => failed::too_late_there(name, entry.timeout),
        End::TimedOut(worker) => {
            let pid = gone(worker).pid;
            failed::too_late(name, pid, entry.timeout, entry.has_entered)
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

/// What the owner of a lease is told that has got no worker.
pub(crate) fn of_lease(end: End) -> Error {
    match end {
        End::TimedOutInQueue => too_long_in_queue("lease"),
        End::Full => {
            let message = "`lease` was refused: as many calls as `queue` allows are waiting";
            Error::new(ErrorKind::Full, message).before_entry()
        }
        End::NoWorker(error) => error.during("no worker for `lease`").before_entry(),
        _ => closed(),
    }
}

fn too_long_in_queue(name: &str) -> Error {
    let message = format!("`{name}` waited for a worker longer than `queue_timeout` allows");
    Error::new(ErrorKind::TimedOut, message).before_entry()
}

/// The error of what a pool does that ends.
pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the pool was shut down").before_entry()
}
