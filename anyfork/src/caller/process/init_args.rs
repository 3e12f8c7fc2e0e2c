//! [`InitArgs`]: the arguments that the companion of an init function collects.
//! RUNS IN: caller
//!
//! The companion that `#[anyfork::init]` makes calls this, in place of [`Args`], so
//! that a worker's and an init function's companion are generated alike.

use crate::args::Args;
use crate::args::value::IntoArg;
use crate::caller::process::Process;
use crate::error::{Error, ErrorKind};
use crate::spec::name::FunctionName;

/// The arguments so far, and the first error.
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
        self.args.push(arg);
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

    /// Adds the init function whose companion is `T` to the preparation of `process`.
    pub fn init<T: 'static>(self, mut process: Process, name: &str) -> Process {
        match self.error {
            Some(error) => process.fail(error),
            None => {
                let name = FunctionName::of_companion::<T>(name);
                process.setup().init(name, self.args);
                process
            }
        }
    }
}
