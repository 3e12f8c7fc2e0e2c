//! [`Outcome`]: what a function's return value means, as a Rust `main`'s does.
//! RUNS IN: template, child
//!
//! The attributes' code makes it; the child turns a worker's into an exit code,
//! and the template and the child turn that of a preload or an init function into
//! an error.

use std::convert::Infallible;
use std::fmt::{Debug, Display};
use std::process::ExitCode;

/// How a function that returned has ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    code: u8,
    error: Option<String>,
}

/// The return types of workers.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the return type of a worker",
    label = "returned here",
    note = "workers return `()`, `!`, `std::process::ExitCode`, or a `Result` of these whose error implements `Display` and `Debug`",
    note = "a value that comes back to the caller is the result of an `#[anyfork::call]`"
)]
pub trait Report {
    /// Translates the value.
    fn report(self) -> Outcome;
}

impl Outcome {
    pub(crate) const SUCCESS: Outcome = Outcome {
        code: 0,
        error: None,
    };

    /// The outcome of a returned value.
    pub fn of(value: impl Report) -> Outcome {
        value.report()
    }

    /// The same with this text of the error, if there is one: one that has its sources.
    pub fn with_error_text(mut self, text: Option<String>) -> Outcome {
        if self.error.is_some() && text.is_some() {
            self.error = text;
        }
        self
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        self.code
    }

    /// The error that the function returned.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Why a function that was to prepare a process has failed, as a phrase that
    /// follows the function's name.
    pub(crate) fn into_result(self) -> Result<(), String> {
        match self {
            Outcome {
                error: Some(error), ..
            } => Err(format!("failed: {error}")),
            Outcome { code: 0, .. } => Ok(()),
            Outcome { code, .. } => Err(format!("failed with exit code {code}")),
        }
    }
}

impl Report for () {
    fn report(self) -> Outcome {
        Outcome::SUCCESS
    }
}

impl Report for Infallible {
    fn report(self) -> Outcome {
        match self {}
    }
}

impl Report for ExitCode {
    /// `ExitCode` does not give its number, but it compares.
    fn report(self) -> Outcome {
        let code = (0..=u8::MAX).find(|code| ExitCode::from(*code) == self);
        Outcome {
            code: code.unwrap_or(1),
            error: None,
        }
    }
}

impl<T: Report, E: Display + Debug> Report for Result<T, E> {
    fn report(self) -> Outcome {
        self.map_or_else(
            |error| Outcome {
                code: 1,
                // With the sources, where the type prints them so.
                error: Some(format!("{error:#}")),
            },
            Report::report,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_codes_as_in_main() {
        assert_eq!(Outcome::of(()).code(), 0);
        assert_eq!(Outcome::of(ExitCode::from(7)).code(), 7);
        assert_eq!(
            Outcome::of(Ok::<_, String>(ExitCode::from(255))).code(),
            255
        );
        let failed = Outcome::of(Err::<(), _>("disk full"));
        assert_eq!((failed.code(), failed.failure()), (1, Some("disk full")));
    }
}
