//! Errors that cross as text: `text_errors`.
//! RUNS IN: caller, child
//!
//! The attribute's code finds the text of an error with its sources; see
//! [`chain`](crate::entry::chain).

use std::fmt::Display;

use crate::failure::Failure;

/// The results whose error half can cross as text.
#[diagnostic::on_unimplemented(
    message = "`text_errors` is for a function that returns a `Result`",
    label = "not a `Result`"
)]
pub trait TextErrors {
    /// The half that crosses as it is.
    type Value;
    /// The error.
    type Error;

    /// The result with its error as text: `text`, or else its own.
    fn with_text(self, text: Option<String>) -> Result<Self::Value, Failure>
    where
        Self::Error: Display;
}

impl<T, E> TextErrors for Result<T, E> {
    type Value = T;
    type Error = E;

    fn with_text(self, text: Option<String>) -> Result<T, Failure>
    where
        E: Display,
    {
        self.map_err(|error| {
            let message = text.unwrap_or_else(|| error.to_string());
            let none = String::new;
            Failure::new(false, message, none(), none(), none())
        })
    }
}

/// What [`TextErrors`] of that type arrive as.
pub type Arriving<R> = Result<<R as TextErrors>::Value, Failure>;
