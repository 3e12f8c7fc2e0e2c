//! [`Trace`]: what an observer of a launch is told (feature `tracing`). Without
//! the feature, and so for everybody else, nothing.

pub(crate) use imp::Trace;

#[cfg(not(feature = "tracing"))]
mod imp {
    use crate::caller::templates::handle::TemplateHandle;
    use crate::error::Error;
    use crate::exit::Exit;

    /// Tells nobody.
    #[derive(Clone, Debug)]
    pub(crate) struct Trace;

    const _: () = assert!(size_of::<Trace>() == 0);

    impl Trace {
        #[inline]
        pub(crate) fn launch(_what: &str, _origin: &TemplateHandle) -> Trace {
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
        pub(crate) fn ended(&self, _exit: &Exit) {}

        #[inline]
        pub(crate) fn failed(&self, _error: &Error) {}
    }
}

#[cfg(feature = "tracing")]
mod imp {
    use std::time::Instant;

    use tracing::field::{Empty, debug, display};
    use tracing::{Span, error, info_span, warn};

    use crate::caller::templates::handle::TemplateHandle;
    use crate::error::Error;
    use crate::exit::Exit;

    /// The span of a launch, which lasts until the last handle of its process is
    /// dropped.
    #[derive(Clone, Debug)]
    pub(crate) struct Trace {
        span: Span,
        begun: Option<Instant>,
    }

    impl Trace {
        /// A launch that begins.
        pub(crate) fn launch(what: &str, template: &TemplateHandle) -> Trace {
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
            if let Some(pid) = template.pid() {
                span.record("template", pid);
            }
            let begun = Some(Instant::now());
            Trace { span, begun }
        }

        /// A launch that fails before there is anybody to ask.
        pub(crate) fn refused() -> Trace {
            let span = info_span!(target: "anyfork", "launch");
            Trace { span, begun: None }
        }

        /// What is no launch: a template that others are to be forked from, of
        /// which their launches tell.
        pub(crate) fn none() -> Trace {
            let (span, begun) = (Span::none(), None);
            Trace { span, begun }
        }

        /// The process is ready.
        pub(crate) fn ready(&self, pid: u32) {
            self.span.record("pid", pid);
            self.record_time("ready_micros");
        }

        /// The process has ended.
        pub(crate) fn ended(&self, exit: &Exit) {
            self.record_time("exit_micros");
            self.span.record("exit", display(exit));
            if !exit.success() {
                let failure = exit.failure().map(display);
                let parent = &self.span;
                warn!(target: "anyfork", parent: parent, %exit, failure, "a process failed");
            }
        }

        /// The launch has failed, or the process's end cannot be told.
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
