//! Runs a worker: enters it, reports how it returned, and flushes what it printed.
//! RUNS IN: child
//!
//! The exit itself is [`role`](crate::child::role)'s, and finding the worker is
//! [`functions`](crate::child::functions)'.

use std::mem;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::args::Args;
use crate::child::frame::{__anyfork_begin_short_backtrace, flush_at_exit};
use crate::child::functions::Found;
#[cfg(feature = "plugin")]
use crate::child::reply::wake_template;
use crate::child::reply::{answer_failure, die_with_caller, say_ready};
use crate::child::report;
use crate::entry::{Entry, Hooks};
use crate::registry::Function;

/// The exit code of a Rust program that panicked.
pub(crate) const PANICKED: u8 = 101;

/// Runs the worker that was found, and gives its exit code. A failure is reported in
/// the pipe `status`.
pub(crate) fn run(found: Found, args: Args, socket: UnixStream, status: BorrowedFd<'_>) -> u8 {
    // Only a plugin's copy of this library has yet to learn of the pipe.
    #[cfg(not(feature = "plugin"))]
    let _ = status;
    match found {
        Found::Own(worker) => run_worker(worker, args, socket),
        #[cfg(feature = "plugin")]
        Found::Plugin(worker) => {
            // The plugin's copy of this library cannot wake the template.
            wake_template();
            worker.work(args, socket, status)
        }
    }
}

/// Runs a worker of this program (or, in a plugin, of the plugin), reports its
/// failure, and gives its exit code.
pub(crate) fn run_worker(worker: &Function, args: Args, socket: UnixStream) -> u8 {
    let name = worker.name;
    report::set_worker(name);
    let hooks = Hooks {
        die_with_caller,
        ready: say_ready,
    };
    let mut entry = Entry::worker(name, args, socket, hooks);
    let returned = catch_unwind(AssertUnwindSafe(|| {
        __anyfork_begin_short_backtrace(worker.enter, &mut entry)
    }));
    let code = match returned {
        Err(panic) => {
            report::on_unwind(&*panic);
            // Forget: the payload's destructor is user code and might panic, too.
            mem::forget(panic);
            PANICKED
        }
        Ok(Ok(outcome)) => {
            match outcome.failure() {
                Some(why) => report::on_error(why),
                None if outcome.code() != 0 => report::on_failure_code(),
                None => {}
            }
            outcome.code()
        }
        Ok(Err(error)) => {
            match entry.socket() {
                Some(socket) => answer_failure(socket, &error),
                None => report::on_error(&error.to_string()),
            }
            1
        }
    };
    // The worker has returned and dropped its sockets; what it printed must come out.
    flush_at_exit();
    code
}
