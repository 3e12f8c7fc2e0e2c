//! [`Callee`]: a function that can be called, as its companion knows it.
//! RUNS IN: caller

use crate::pool::call::Arguments;
use crate::pool::decode::Decode;

/// A function that can be called with an `A`: its parameter, the tuple of them, or `()`.
#[derive(Debug)]
pub struct Callee<A, R> {
    /// The name that the function is registered under.
    pub name: &'static str,
    /// The digest of its name and signature.
    pub fingerprint: u64,
    /// Whether it is an `async fn`.
    pub is_async: bool,
    /// Encodes the arguments.
    pub encode: fn(A) -> Arguments,
    /// Decodes the result.
    pub decode: Decode<R>,
}

impl<A, R> Clone for Callee<A, R> {
    fn clone(&self) -> Callee<A, R> {
        *self
    }
}

impl<A, R> Copy for Callee<A, R> {}

/// Bound of the `map`, the `each` and the `service` of functions with a `Sender`: no type has
/// it.
#[diagnostic::on_unimplemented(
    message = "a function with a `Sender` can be called one by one only",
    label = "its events would have nobody to receive them",
    note = "use `call`, and `Call::recv` for the events"
)]
pub trait WithoutSender {}
