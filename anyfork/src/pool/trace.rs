//! [`CallTrace`] reports a call to an observer; [`Home`]: where its worker's reports belong.
//! RUNS IN: caller
//!
//! Without the feature it is empty and its methods do nothing. None of them is called under
//! a lock: an observer is others' code.

pub(crate) use imp::{CallTrace, Home};

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
        pub(crate) fn home(&self) -> Home {
            Home {}
        }

        #[inline]
        pub(crate) fn ended<T>(&self, _result: &Result<T>) {}
    }

    /// Nowhere.
    #[derive(Clone, Default)]
    pub(crate) struct Home {}

    impl Home {
        #[inline]
        pub(crate) fn is_somewhere(&self) -> bool {
            false
        }
    }
}

#[cfg(feature = "tracing")]
mod imp {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Instant;

    use tracing::dispatcher::{self, Dispatch};
    use tracing::field::{Empty, debug};
    use tracing::span::Id;
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
            let span = info_span!(
                target: "anyfork",
                "call",
                function,
                id,
                pid = Empty,
                micros = Empty
            );
            let begun = (!span.is_disabled()).then(Instant::now);
            CallTrace { span, begun }
        }

        /// Where what its worker reports belongs: into its span, or if nobody wants to know
        /// of that, into the present one.
        pub(crate) fn home(&self) -> Home {
            let span = match self.span.is_disabled() {
                true => Span::current(),
                false => self.span.clone(),
            };
            let here = || dispatcher::get_default(Dispatch::clone);
            let dispatch = span.with_subscriber(|(_, dispatch)| dispatch.clone());
            Home::new(span, dispatch.unwrap_or_else(here))
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

    /// The span that something belongs into, and its observer. Dropped, it may run others'
    /// code.
    #[derive(Clone, Default)]
    pub(crate) struct Home(Option<Arc<Place>>);

    struct Place {
        span: Span,
        dispatch: Dispatch,
        is_named: AtomicBool,
    }

    impl Home {
        pub(crate) fn new(span: Span, dispatch: Dispatch) -> Home {
            Home(Some(Arc::new(Place {
                span,
                dispatch,
                is_named: AtomicBool::new(false),
            })))
        }

        /// The present observer, and no span.
        pub(crate) fn here() -> Home {
            Home::new(Span::none(), dispatcher::get_default(Dispatch::clone))
        }

        /// Whether its drop may run others' code.
        pub(crate) fn is_somewhere(&self) -> bool {
            self.0.is_some()
        }

        /// Runs something that the observer is told by.
        pub(crate) fn observe<T>(&self, tell: impl FnOnce(&Dispatch) -> T) -> T {
            match &self.0 {
                Some(place) => dispatcher::with_default(&place.dispatch, || tell(&place.dispatch)),
                None => tell(&Dispatch::none()),
            }
        }

        /// The span.
        pub(crate) fn id(&self) -> Option<Id> {
            self.0.as_ref()?.span.id()
        }

        /// Tells the observer, once, which process it is that reports.
        pub(crate) fn set_pid(&self, pid: u32) {
            if let Some(place) = &self.0
                && !place.is_named.swap(true, Ordering::Relaxed)
            {
                place.span.record("pid", pid);
            }
        }
    }
}
