//! [`CallTrace`]: reports a call to an observer (feature `tracing`).
//! RUNS IN: caller
//!
//! Without the feature it is empty and its methods do nothing. None of them is called under
//! a lock: an observer is others' code.

pub(crate) use imp::CallTrace;

#[cfg(not(feature = "tracing"))]
mod imp {
    use crate::error::Result;

    /// Reports nothing.
    pub(crate) struct CallTrace;

    impl CallTrace {
        #[inline]
        pub(crate) fn begin(_function: &str, _id: u64) -> CallTrace {
            CallTrace
        }

        #[inline]
        pub(crate) fn ended<T>(&self, _result: &Result<T>) {}
    }
}

#[cfg(feature = "tracing")]
mod imp {
    use std::time::Instant;

    use tracing::field::{Empty, debug};
    use tracing::{Span, info_span, warn};

    use crate::error::Result;

    /// The span of a call, which lasts until its result is taken or it is dropped.
    pub(crate) struct CallTrace {
        span: Span,
        /// The time at which the call was made. `None`: nobody observes it.
        begun: Option<Instant>,
    }

    impl CallTrace {
        /// Reports that a call is made.
        pub(crate) fn begin(function: &str, id: u64) -> CallTrace {
            let span = info_span!(target: "anyfork", "call", function, id, micros = Empty);
            let begun = (!span.is_disabled()).then(Instant::now);
            CallTrace { span, begun }
        }

        /// Reports its end, and why it failed.
        pub(crate) fn ended<T>(&self, result: &Result<T>) {
            if let Some(begun) = self.begun {
                let micros = u64::try_from(begun.elapsed().as_micros());
                self.span.record("micros", micros.unwrap_or(u64::MAX));
            }
            if let Err(error) = result {
                let (parent, kind) = (&self.span, debug(error.kind()));
                warn!(target: "anyfork", parent: parent, kind, "{error}");
            }
        }
    }
}
