//! Errors in the use of an attribute, collected so that one compilation shows them
//! all.
//! RUNS IN: the compiler

use std::fmt::Display;

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Error, Result};

/// The errors that were found so far.
#[derive(Default)]
pub(crate) struct Errors(Option<Error>);

impl Errors {
    /// Adds an error about `tokens`.
    pub(crate) fn at(&mut self, tokens: impl ToTokens, message: impl Display) {
        self.add(Error::new_spanned(tokens, message));
    }

    pub(crate) fn add(&mut self, error: Error) {
        match &mut self.0 {
            Some(errors) => errors.combine(error),
            None => self.0 = Some(error),
        }
    }

    /// The value; or `None`, and the error is added.
    pub(crate) fn ok<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.add(error)).ok()
    }

    /// The code beside the user's function: the errors, or the expansion if there
    /// are none.
    pub(crate) fn or(self, expand: impl FnOnce() -> TokenStream) -> TokenStream {
        self.0.map_or_else(expand, Error::into_compile_error)
    }
}
