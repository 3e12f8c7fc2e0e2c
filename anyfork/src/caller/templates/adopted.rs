//! Templates that this process has to reap.
//! RUNS IN: caller
//!
//! A template is forked twice, so that it is nobody's child. But in a container, where
//! the program is the first process, or if the program is a subreaper
//! (`PR_SET_CHILD_SUBREAPER`), the kernel makes it the template's parent. Then it must
//! find no zombie of this library's, so a template is reaped by its pidfd when its last
//! handle is dropped, or later, when its children have exited.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::sys::poll::{self, Interest};
use crate::sys::{pidfd, wait};

/// Timeout for the exit of a template whose last handle is dropped. One with living
/// children exits later.
const TIMEOUT: Duration = Duration::from_millis(20);

/// Pidfds of templates that had not exited when their last handle was dropped.
static LEFT: Mutex<Vec<Arc<OwnedFd>>> = Mutex::new(Vec::new());

fn left() -> MutexGuard<'static, Vec<Arc<OwnedFd>>> {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reaps a template whose last handle is gone, if this process is its parent. Waits for
/// its exit for a moment.
pub(crate) fn reap(template: Arc<OwnedFd>) {
    let deadline = Instant::now() + TIMEOUT;
    let exited = poll::wait(template.as_fd(), Interest::Readable, Some(deadline));
    match exited {
        Ok(true) => drop(wait::reap_adopted(template.as_fd())),
        _ => left().push(template),
    }
    reap_left();
}

/// Reaps a child that has exited, if its template is gone and this process is its parent
/// now.
pub(crate) fn reap_if_exited(child: &OwnedFd) {
    if pidfd::has_exited(child.as_fd()) {
        let _ = wait::reap_adopted(child.as_fd());
    }
}

/// Reaps those of the templates that were left that have exited since.
pub(crate) fn reap_left() {
    left().retain(|template| {
        let has_exited = pidfd::has_exited(template.as_fd());
        if has_exited {
            let _ = wait::reap_adopted(template.as_fd());
        }
        !has_exited
    });
}
