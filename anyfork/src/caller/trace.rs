//! [`Trace`]: reports a launch to an observer (feature `tracing`).
//! RUNS IN: caller
//!
//! Without the feature it is empty and its methods do nothing. A [`Trace`] only
//! reports: no launch depends on it.

pub(crate) use imp::Trace;

#[cfg(not(feature = "tracing"))]
mod imp {
    use crate::error::Error;
    use crate::exit::Exit;

    /// Reports nothing.
    #[derive(Clone, Debug)]
    pub(crate) struct Trace;

    const _: () = assert!(size_of::<Trace>() == 0);

    impl Trace {
        #[inline]
        pub(crate) fn launch(_what: &str, _template: impl FnOnce() -> Option<u32>) -> Trace {
            Trace
        }

        #[inline]
        pub(crate) fn refused() -> Trace {
            Trace
        }

        #[inline]
        pub(crate) fn none() -> Trace {
            Trace
        }

        #[inline]
        pub(crate) fn ready(&self, _pid: u32) {}

        #[inline]
        pub(crate) fn exited(&self, _exit: &Exit) {}

        #[inline]
        pub(crate) fn failed(&self, _error: &Error) {}
    }
}

#[cfg(feature = "tracing")]
mod imp {
    use std::time::Instant;

    use tracing::field::{Empty, debug, display};
    use tracing::{Span, error, info_span, warn};

    use crate::error::Error;
    use crate::exit::Exit;

    /// The span of a launch, which lasts until the last handle of its process is
    /// dropped.
    #[derive(Clone, Debug)]
    pub(crate) struct Trace {
        span: Span,
        /// The time at which the launch began. `None`: nobody observes it.
        begun: Option<Instant>,
    }

    impl Trace {
        /// Reports that a launch begins. `template` returns the template's pid, and is
        /// called only if somebody observes: it may cost a system call.
        pub(crate) fn launch(what: &str, template: impl FnOnce() -> Option<u32>) -> Trace {
            let span = info_span!(
                target: "anyfork",
                "launch",
                worker = what,
                template = Empty,
                pid = Empty,
                ready_micros = Empty,
                exit_micros = Empty,
                exit = Empty,
            );
            if span.is_disabled() {
                return Trace { span, begun: None };
            }
            if let Some(pid) = template() {
                span.record("template", pid);
            }
            let begun = Some(Instant::now());
            Trace { span, begun }
        }

        /// For a launch that fails before there is a template to ask.
        pub(crate) fn refused() -> Trace {
            let span = info_span!(target: "anyfork", "launch");
            Trace { span, begun: None }
        }

        /// For a template that is forked off another one: the launches from it report
        /// what becomes of it.
        pub(crate) fn none() -> Trace {
            let (span, begun) = (Span::none(), None);
            Trace { span, begun }
        }

        /// Reports that the process is ready.
        pub(crate) fn ready(&self, pid: u32) {
            self.span.record("pid", pid);
            self.record_time("ready_micros");
        }

        /// Reports the process's exit.
        pub(crate) fn exited(&self, exit: &Exit) {
            self.record_time("exit_micros");
            self.span.record("exit", display(exit));
            if !exit.success() {
                let failure = exit.failure().map(display);
                let parent = &self.span;
                warn!(target: "anyfork", parent: parent, %exit, failure, "a process failed");
            }
        }

        /// Reports that the launch has failed, or that the process's exit is unknown.
        pub(crate) fn failed(&self, error: &Error) {
            let (parent, kind) = (&self.span, debug(error.kind()));
            error!(target: "anyfork", parent: parent, kind, "{error}");
        }

        fn record_time(&self, field: &'static str) {
            if let Some(begun) = self.begun {
                let micros = u64::try_from(begun.elapsed().as_micros());
                self.span.record(field, micros.unwrap_or(u64::MAX));
            }
        }
    }
}
