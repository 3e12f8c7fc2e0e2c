//! The frame below the user's code, and the buffers that the code leaves.
//! RUNS IN: child

use std::hint::black_box;
use std::io::{self, Write};

use crate::sys::fork;

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
