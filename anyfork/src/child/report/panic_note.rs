//! [`PanicNote`]: a panic, as the panic hook has seen it.
//! RUNS IN: template, child
//!
//! The location and the stack of a panic are known in the hook only, so
//! [`report`](crate::child::report) notes each panic there, and reports those that
//! turn out to be failures.

use std::any::Any;
use std::backtrace::Backtrace;
use std::panic::PanicHookInfo;
use std::thread::{self, ThreadId};

use crate::failure::Failure;

/// A panic, as the hook has seen it.
pub(crate) struct PanicNote {
    pub(crate) message: String,
    location: String,
    /// The name of the thread; empty for the thread that enters the worker.
    pub(crate) thread: String,
    pub(crate) id: ThreadId,
    /// The backtrace is not resolved yet: most are never shown.
    backtrace: Backtrace,
}

impl PanicNote {
    /// Notes a panic of the current thread. `entering` is the thread that enters the
    /// worker.
    pub(crate) fn new(info: &PanicHookInfo<'_>, entering: Option<ThreadId>) -> PanicNote {
        let location = info.location().map(ToString::to_string);
        let current = thread::current();
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
            backtrace: Backtrace::force_capture(),
        }
    }

    /// The panic as a failure, with `more` behind its message. Resolves the
    /// backtrace.
    pub(crate) fn failure(&self, more: &str) -> Failure {
        self.with(self.message.clone() + more, self.stack())
    }

    /// The backtrace, without the frames below the worker and above the panic.
    pub(crate) fn stack(&self) -> String {
        let all = self.backtrace.to_string();
        let frames: Vec<&str> = all.split_inclusive('\n').collect();
        let has = |name| frames.iter().position(|line| line.contains(name));
        let is_location = |line: &&&str| line.trim_start().starts_with("at ");
        let below = has("__anyfork_begin_short_backtrace").unwrap_or(frames.len());
        let above = has("__rust_end_short_backtrace").map_or(0, |end| {
            let locations = frames[end + 1..].iter().take_while(is_location);
            end + 1 + locations.count()
        });
        let shown = frames.get(above..below).unwrap_or(&frames);
        shown.concat().trim_end().to_owned()
    }

    /// The panic in one line, without the backtrace.
    pub(crate) fn headline(&self) -> String {
        self.with(self.message.clone(), String::new()).to_string()
    }

    fn with(&self, message: String, backtrace: String) -> Failure {
        Failure::new(
            true,
            message,
            self.location.clone(),
            self.thread.clone(),
            backtrace,
        )
    }
}

/// The message of a panic, if its payload is text.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let owned = || panic.downcast_ref::<String>().map(String::as_str);
    let text = panic.downcast_ref::<&str>().copied().or_else(owned);
    text.unwrap_or("a value that is no text")
}
