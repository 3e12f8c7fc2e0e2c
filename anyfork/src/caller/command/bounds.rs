//! [`Bounds`]: a program's input, and the time and the output that it is allowed.
//! RUNS IN: caller
//!
//! Plain data, collected by a [`Command`](crate::Command) for
//! [`status`](crate::Command::status) and [`output`](crate::Command::output).

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};

/// What was set. The default has no bounds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bounds {
    /// What the program finds in its standard input.
    pub(crate) input: Option<Arc<Vec<u8>>>,
    pub(crate) time_limit: Option<Duration>,
    /// Time between SIGTERM and SIGKILL.
    pub(crate) grace: Duration,
    /// Maximum number of bytes that are read of each stream.
    pub(crate) output_limit: Option<usize>,
    /// Time that a stream is read after the program's exit.
    pub(crate) drain_limit: Option<Duration>,
}

impl Bounds {
    /// Whether there is anything to do that `status` and `output` do not do anyway.
    pub(crate) fn are_none(&self) -> bool {
        self.input.is_none() && !self.may_end_program() && self.drain_limit.is_none()
    }

    /// Whether a limit may end the program, with the group that it leads.
    pub(crate) fn may_end_program(&self) -> bool {
        self.time_limit.is_some() || self.output_limit.is_some()
    }

    /// The error of a `spawn`, which would not keep these bounds.
    pub(crate) fn refuse_spawn(&self) -> io::Result<()> {
        let name = match self {
            Bounds { input: Some(_), .. } => "input",
            Bounds {
                time_limit: Some(_),
                ..
            } => "time_limit",
            Bounds {
                output_limit: Some(_),
                ..
            } => "output_limit",
            _ => return Ok(()),
        };
        let message = format!("`{name}` holds for `status` and `output`, and not for `spawn`");
        Err(io::Error::new(io::ErrorKind::InvalidInput, message))
    }
}

/// The bounds of one launch, which has begun.
#[derive(Debug)]
pub(crate) struct BoundsOfLaunch {
    pub(crate) bounds: Bounds,
    /// The program, for messages.
    pub(crate) what: String,
    /// The time until which the program may run. `None`: there is no limit, or it is later
    /// than a clock can tell.
    pub(crate) deadline: Option<Instant>,
}

impl BoundsOfLaunch {
    pub(crate) fn new(bounds: &Bounds, what: String) -> BoundsOfLaunch {
        let limit = bounds.time_limit;
        BoundsOfLaunch {
            bounds: bounds.clone(),
            what,
            deadline: limit.and_then(|limit| Instant::now().checked_add(limit)),
        }
    }

    /// The error of a launch that was not ready: says so if the reason is this time limit,
    /// and not the one of `timeout`.
    pub(crate) fn not_ready(&self, error: Error) -> Error {
        let is_late = self.deadline.is_some_and(|it| Instant::now() >= it);
        match error.kind() {
            ErrorKind::TimedOut if is_late => Error::new(ErrorKind::TimedOut, self.too_late()),
            _ => error,
        }
    }

    /// The message of a time limit that has passed.
    pub(crate) fn too_late(&self) -> String {
        let limit = self.bounds.time_limit.unwrap_or_default();
        let what = &self.what;
        format!("`{what}` did not exit within its `time_limit` of {limit:?}, and was killed")
    }
}
