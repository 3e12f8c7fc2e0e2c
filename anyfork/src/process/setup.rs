//! [`Setup`]: what is collected for a process until it comes into being.

use super::builder::Process;
use crate::args::{Args, IntoArg};
use crate::error::{Error, ErrorKind};
use crate::protocol::request::Body;
use crate::step::Step;

/// The steps so far, and the first thing that went wrong.
#[derive(Debug, Default)]
pub(super) struct Setup {
    steps: Vec<Step>,
    error: Option<Error>,
}

impl Setup {
    /// Nothing but an error that is there already.
    pub(super) fn failed(error: Option<Error>) -> Setup {
        Setup {
            steps: Vec::new(),
            error,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    pub(super) fn error(&self) -> Option<Error> {
        self.error.clone()
    }

    /// Keeps the first error: the launch reports it.
    pub(super) fn fail(&mut self, error: Error) {
        self.error.get_or_insert(error);
    }

    pub(super) fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// What the child is told.
    pub(super) fn into_body(self, name: &str) -> Body {
        Body {
            name: name.to_owned(),
            steps: self.steps,
        }
    }
}

/// The arguments of an init function, as its companion collects them.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct InitArgs {
    args: Args,
    error: Option<Error>,
}

impl InitArgs {
    #[must_use]
    pub fn new() -> InitArgs {
        InitArgs::default()
    }

    #[must_use]
    pub fn send_arg(mut self, arg: impl IntoArg) -> InitArgs {
        if let Err(error) = self.args.push(arg) {
            self.error.get_or_insert(error);
        }
        self
    }

    #[must_use]
    pub fn send_args(mut self, args: Args) -> InitArgs {
        self.args.extend(args);
        self
    }

    #[must_use]
    pub fn refuse(mut self, message: &str) -> InitArgs {
        let error = Error::new(ErrorKind::BadArgument, message);
        self.error.get_or_insert(error);
        self
    }

    pub fn init(self, process: Process, name: &str) -> Process {
        match self.error {
            Some(error) => process.fail(error),
            None => process.init(name, self.args),
        }
    }
}
