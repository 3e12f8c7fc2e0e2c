//! Errors that cross as text: `text_errors`.
//! RUNS IN: caller, child

use std::cell::Cell;
use std::error::Error;
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
    /// The result itself.
    fn into_result(self) -> Result<Self::Value, Self::Error>;
}

impl<T, E> TextErrors for Result<T, E> {
    type Value = T;
    type Error = E;

    fn into_result(self) -> Result<T, E> {
        self
    }
}

/// What [`TextErrors`] of that type arrive as.
pub type Arriving<R> = Result<<R as TextErrors>::Value, Failure>;

/// An error, for the probes below.
pub struct Errors<E>(Cell<Option<E>>);

impl<E> Errors<E> {
    /// The probe of an error.
    pub fn new(error: E) -> Errors<E> {
        Errors(Cell::new(Some(error)))
    }

    fn take(&self) -> E {
        self.0.take().expect("it is taken once")
    }
}

/// Errors with sources.
pub trait ChainError {
    /// The error as text.
    fn failure(&self) -> Failure;
}

impl<E: Into<Box<dyn Error>>> ChainError for &&Errors<E> {
    fn failure(&self) -> Failure {
        chain(&*self.take().into())
    }
}

/// Boxed errors that are no `Box<dyn Error>`.
pub trait BoxedError {
    /// The error as text.
    fn failure(&self) -> Failure;
}

impl BoxedError for &Errors<Box<dyn Error + Send + Sync>> {
    fn failure(&self) -> Failure {
        chain(&*self.take())
    }
}

impl BoxedError for &Errors<Box<dyn Error + Send>> {
    fn failure(&self) -> Failure {
        chain(&*self.take())
    }
}

/// Errors that are text alone.
pub trait DisplayError {
    /// The error as text.
    fn failure(&self) -> Failure;
}

impl<E: Display> DisplayError for Errors<E> {
    fn failure(&self) -> Failure {
        text(self.take().to_string())
    }
}

fn chain(error: &dyn Error) -> Failure {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        // Many errors show their source themselves.
        if !message.ends_with(&more) {
            message = format!("{message}: {more}");
        }
        source = error.source();
    }
    text(message)
}

fn text(message: String) -> Failure {
    let none = String::new;
    Failure::new(false, message, none(), none(), none())
}
