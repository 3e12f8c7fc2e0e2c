//! [`CallEntry`]: a function of a typed call that is about to be called, and its result.
//! RUNS IN: child
//!
//! The attribute's code decodes the parameters with it, calls the function, and gives it
//! the result. It knows no frames and no socket.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::value::{Codec, Decoder, Encoder};

/// Whether the function that is being called, or an earlier one, has asked for it.
static RETIRES: AtomicBool = AtomicBool::new(false);

/// In a worker of a pool: takes no more calls after this one. The pool starts another worker
/// in its place.
///
/// For code that has found out that its process is spent: a leak in a library, a state that
/// cannot be reset. Outside of a typed call, and in a process of a call's own, it does
/// nothing.
pub fn retire() {
    RETIRES.store(true, Ordering::Relaxed);
}

/// Whether this process is to take no more calls.
pub(crate) fn retires() -> bool {
    RETIRES.load(Ordering::Relaxed)
}

/// One call.
#[derive(Debug)]
pub struct CallEntry {
    name: &'static str,
    arguments: Decoder,
    pub(crate) result: Encoder,
}

/// Why a call has no result, although its function did not panic.
#[derive(Debug)]
pub enum Refusal {
    /// The function was not called.
    BadArgument(String),
    /// The result does not encode.
    BadResult(String),
}

impl CallEntry {
    pub(crate) fn new(name: &'static str, arguments: Decoder) -> CallEntry {
        CallEntry {
            name,
            arguments,
            result: Encoder::default(),
        }
    }

    /// Decodes the next parameter.
    pub fn parameter<T>(
        &mut self,
        codec: &impl Codec<T>,
        parameter: &str,
        ty: &str,
    ) -> Result<T, Refusal> {
        let name = self.name;
        codec.decode(&mut self.arguments).map_err(|reason| {
            Refusal::BadArgument(format!(
                "parameter `{parameter}` ({ty}) of `{name}` does not decode: {reason}"
            ))
        })
    }

    /// The last step before the function is called.
    pub fn finish(&mut self) -> Result<(), Refusal> {
        let name = self.name;
        let refused = |reason| Refusal::BadArgument(format!("the arguments of `{name}`: {reason}"));
        self.arguments.finish().map_err(refused)
    }

    /// Takes the result.
    pub fn result<T>(&mut self, codec: &impl Codec<T>, value: T) -> Result<(), Refusal> {
        let name = self.name;
        codec.encode(value, &mut self.result).map_err(|reason| {
            Refusal::BadResult(format!("the result of `{name}` does not encode: {reason}"))
        })
    }
}
