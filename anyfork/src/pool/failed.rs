//! The errors of calls, from what their workers have said or how they have exited.
//! RUNS IN: caller

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::pool::connection::Outcome;
use crate::protocol::call::Payload;

/// What the call of `name` gives its caller.
pub(crate) fn result(name: &str, outcome: Outcome) -> Result<Payload> {
    Err(match outcome {
        Outcome::Returned(payload) => return Ok(payload),
        Outcome::Panicked(failure) => panicked(name, failure, None),
        Outcome::BadArgument(text) => Error::new(ErrorKind::BadArgument, text).before_entry(),
        Outcome::TooLarge(size) => {
            let message =
                format!("the result of `{name}` has {size} bytes, more than its limit allows");
            Error::new(ErrorKind::TooLarge, message)
        }
        Outcome::BadResult(text) => Error::new(ErrorKind::BadResult, text),
    })
}

/// The error for a worker that has exited without an answer. `entered`: with how many other
/// calls it had entered this one, if it had.
pub(crate) fn died(
    (name, pid): (&str, u32),
    exit: Result<Exit>,
    ran: Duration,
    entered: Option<usize>,
) -> Error {
    let exit = match exit {
        Ok(exit) => exit,
        Err(error) => match error.exit() {
            Some(exit) => exit.clone(),
            None => return error.during(format_args!("call `{name}`")),
        },
    };
    // Of several, nobody knows whose panic it was.
    if let Some(failure) = exit.failure().filter(|it| it.is_panic())
        && entered == Some(0)
    {
        return panicked(name, failure.clone(), Some(exit.clone()));
    }
    let peak = exit.usage().peak_memory / 1024;
    let memory = match peak {
        0 => String::new(),
        peak => format!(", peak memory {peak} KiB"),
    };
    let why = match exit.failure() {
        Some(failure) => format!(": {failure}"),
        None => String::new(),
    };
    let others = match entered {
        Some(others @ 1..) => format!(" and {others} other calls"),
        _ => String::new(),
    };
    let message = match entered {
        Some(_) => {
            format!("process {pid} died in `{name}`{others} after {ran:.1?}: {exit}{memory}{why}")
        }
        None => format!("process {pid} died before it entered `{name}`: {exit}{memory}{why}"),
    };
    let error = Error::died(message, exit);
    match entered {
        Some(_) => error,
        None => error.before_entry(),
    }
}

/// The error for a call whose worker was killed at its deadline.
pub(crate) fn too_late(name: &str, pid: u32, limit: Option<Duration>, has_entered: bool) -> Error {
    let limit = limit.unwrap_or_default();
    let message = format!(
        "`{name}` was not done in the time that `timeout` allows ({limit:?}), and process {pid} \
         was killed"
    );
    let error = Error::new(ErrorKind::TimedOut, message);
    match has_entered {
        true => error,
        false => error.before_entry(),
    }
}

/// The error for a call whose worker has dropped it at its deadline.
pub(crate) fn too_late_there(name: &str, limit: Option<Duration>) -> Error {
    let limit = limit.unwrap_or_default();
    let message = format!(
        "`{name}` was not done in the time that `timeout` allows ({limit:?}), and was dropped in \
         its process"
    );
    Error::new(ErrorKind::TimedOut, message)
}

fn panicked(name: &str, failure: Failure, exit: Option<Exit>) -> Error {
    let message = format!("`{name}` {failure}");
    Error::failed(ErrorKind::Panicked, message, failure, exit)
}
