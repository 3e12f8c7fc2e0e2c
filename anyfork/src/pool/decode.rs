//! Decodes what a function has returned or sent.
//! RUNS IN: caller

use crate::error::{Error, ErrorKind, Result};
use crate::pool::pooled::PoolCall;
use crate::protocol::call::Payload;
use crate::value::{Decoder, ValueError};

/// Decodes a function's result, or an event.
pub(crate) type Decode<R> = fn(&mut Decoder) -> Result<R, ValueError>;

/// The result of a call in a pool. If it does not decode, its worker is not to be trusted with
/// other calls, and retires.
pub(crate) fn result_of<R>(
    call: &PoolCall,
    name: &str,
    decode: Decode<R>,
    result: Result<Payload>,
) -> Result<R> {
    let result = decoded("result", name, decode, result?);
    if result.is_err() {
        call.on_bad_result();
    }
    result
}

/// The function's result, or an event.
pub(crate) fn decoded<R>(what: &str, name: &str, decode: Decode<R>, payload: Payload) -> Result<R> {
    let Payload { main, blobs, fds } = payload;
    let mut from = Decoder::new(main, 0, blobs, fds);
    let value = decode(&mut from).and_then(|value| from.finish().map(|()| value));
    value.map_err(|reason| {
        let message = format!("the {what} of `{name}` does not decode: {reason}");
        Error::new(ErrorKind::BadResult, message)
    })
}
