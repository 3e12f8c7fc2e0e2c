//! What others of the same user can see of a template, and of its children.
//! RUNS IN: program before main, template, child, spare
//!
//! A template holds the status pipes of all its children. So its siblings and its children
//! must not reach its descriptors by `/proc`, nor trace it: templates, spares and monitors
//! are not dumpable. A child gets the program's own value back once it has closed the
//! descriptors of its template.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::sys::process_attrs;

/// Whether the program was open to its user when the template began to serve.
static WAS_OPEN: AtomicBool = AtomicBool::new(false);

/// Closes this process, which is about to serve as a template.
pub(crate) fn close() {
    let was_open = process_attrs::is_open_to_its_user();
    WAS_OPEN.store(was_open, Ordering::Relaxed);
    if was_open {
        process_attrs::open_to_its_user(false);
    }
}

/// Gives a child what its template has closed. Not for a child that shares the template's
/// memory: an exec does it there.
#[inline]
pub(crate) fn restore() {
    if WAS_OPEN.load(Ordering::Relaxed) {
        process_attrs::open_to_its_user(true);
    }
}
