//! [`Over`]: how a wait ends for a call of which nothing is left.
//! RUNS IN: caller

use crate::error::{Error, Result};
use crate::protocol::call::Payload;

/// What can be waited for.
pub(crate) trait Over {
    /// The call is over, and somebody has taken its result.
    fn over() -> Self;

    /// It cannot be waited for.
    fn failed(error: Error) -> Self;
}

impl Over for Result<Payload> {
    fn over() -> Result<Payload> {
        let kind = std::io::ErrorKind::InvalidInput;
        Err(Error::io("wait for a call that is over", kind))
    }

    fn failed(error: Error) -> Result<Payload> {
        Err(error)
    }
}

impl Over for Option<Result<Payload>> {
    fn over() -> Option<Result<Payload>> {
        None
    }

    fn failed(error: Error) -> Option<Result<Payload>> {
        Some(Err(error))
    }
}

/// What a call of several items gives next.
pub(crate) enum Next {
    /// The result of an item, and there will be another one.
    More(Result<Payload>),
    /// The last result. Not all items may have got one: then the whole request is here, if
    /// it can be sent again.
    Last(Result<Payload>, Option<Payload>),
}

impl Over for Next {
    fn over() -> Next {
        Next::Last(Over::over(), None)
    }

    fn failed(error: Error) -> Next {
        Next::Last(Err(error), None)
    }
}
