//! [`PanicNote`]: a panic, as the panic hook has seen it.
//! RUNS IN: template, child
//!
//! The location and the stack of a panic are known in the hook only, so
//! [`report`](crate::child::report) notes each panic there, and reports those that
//! turn out to be failures.

use std::any::Any;
use std::panic::PanicHookInfo;
use std::thread::{self, ThreadId};

use crate::child::report::frames::write_stack;
use crate::failure::Failure;

/// A panic, as the hook has seen it.
pub(crate) struct PanicNote {
    pub(crate) message: String,
    location: String,
    /// The name of the thread; empty for the thread that enters the worker.
    pub(crate) thread: String,
    pub(crate) id: ThreadId,
    /// The addresses of the stack.
    stack: String,
}

impl PanicNote {
    /// Notes a panic of the current thread. `entering` is the thread that enters the
    /// worker.
    pub(crate) fn new(info: &PanicHookInfo<'_>, entering: Option<ThreadId>) -> PanicNote {
        let location = info.location().map(ToString::to_string);
        let current = thread::current();
        let mut stack = String::new();
        // A string takes all.
        let _ = write_stack(&mut stack);
        PanicNote {
            message: panic_text(info.payload()).to_owned(),
            location: location.unwrap_or_default(),
            thread: match entering {
                Some(thread) if thread != current.id() => {
                    current.name().unwrap_or("unnamed").into()
                }
                _ => String::new(),
            },
            id: current.id(),
            stack,
        }
    }

    /// The panic as a failure, with `more` behind its message.
    pub(crate) fn failure(&self, more: &str) -> Failure {
        self.with(self.message.clone() + more, self.stack.clone())
    }

    /// The panic in one line, without the backtrace.
    pub(crate) fn headline(&self) -> String {
        self.with(self.message.clone(), String::new()).to_string()
    }

    fn with(&self, message: String, stack: String) -> Failure {
        Failure::new(
            true,
            message,
            self.location.clone(),
            self.thread.clone(),
            stack,
        )
    }
}

/// The message of a panic, if its payload is text.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let owned = || panic.downcast_ref::<String>().map(String::as_str);
    let text = panic.downcast_ref::<&str>().copied().or_else(owned);
    text.unwrap_or("a value that is no text")
}
