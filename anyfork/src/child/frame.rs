//! The frame below the user's code, and the buffers that the code leaves.
//! RUNS IN: child

use std::hint::black_box;
use std::io::{self, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::sys::fork;
use crate::sys::threads;

/// Calls a worker or a function. A backtrace is shown up to this function, which
/// [`panic_note`](crate::child::report::panic_note) finds by its name, also where a
/// build keeps nothing else of it.
#[inline(never)]
pub(crate) fn __anyfork_begin_short_backtrace<E, T>(enter: fn(&mut E) -> T, entry: &mut E) -> T {
    let returned = enter(entry);
    // Otherwise the call would be a tail call, which leaves no frame of this function.
    black_box(());
    returned
}

/// Writes out the buffers of std and of the C library.
pub(crate) fn flush() {
    let _ = io::stdout().flush();
    fork::flush_c_streams();
}

/// Writes out the buffers when a worker has returned. Another thread of the worker may
/// hold a stream's lock for as long as it likes: then that stream's buffer is lost, as
/// it is in a Rust program whose `main` returns.
pub(crate) fn flush_at_exit() {
    /// Timeout for the locks.
    const TIMEOUT: Duration = Duration::from_millis(200);
    if threads::was_always_single() {
        return flush();
    }
    let (done, flushed) = mpsc::channel();
    let flusher = move || {
        flush();
        let _ = done.send(());
    };
    if thread::Builder::new().spawn(flusher).is_ok() {
        let _ = flushed.recv_timeout(TIMEOUT);
    }
}
