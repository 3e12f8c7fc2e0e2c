//! Templates and children that this process has to reap.
//! RUNS IN: caller
//!
//! A template is forked twice, so that it is nobody's child. But in a container, where
//! the program is the first process, or if the program is a subreaper
//! (`PR_SET_CHILD_SUBREAPER`), the kernel makes it the template's parent, and that of the
//! children that a template leaves behind. Then it must find no zombie of this library's,
//! so what may become one is kept here by its pidfd, and reaped when something else is
//! waited for or dropped.

use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::early;
use crate::sys::pidfd::ProcessState;
use crate::sys::poll::{self, Interest};
use crate::sys::{pidfd, wait};

/// Timeout for the exit of a template that nobody can ask any more, and for the reply
/// before that, which tells who the template is. One with living children exits later.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(20);

/// Pidfds of templates and children that have not been reaped yet, as far as is known.
struct Left {
    generation: u32,
    pidfds: Vec<Arc<OwnedFd>>,
}

static LEFT: Mutex<Left> = Mutex::new(Left {
    generation: early::FIRST_GENERATION,
    pidfds: Vec::new(),
});

fn left() -> MutexGuard<'static, Left> {
    let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
    let generation = early::generation();
    if left.generation != generation {
        // Forget: the numbers may be those of other descriptors of this process.
        mem::forget(mem::take(&mut left.pidfds));
        left.generation = generation;
    }
    left
}

/// Reaps a template whose last handle is gone, if this process is its parent. Waits for
/// its exit for a moment.
pub(crate) fn reap(template: Arc<OwnedFd>) {
    await_exit(&template);
    left().pidfds.push(template);
    reap_left();
}

/// Reaps a child, now or when it has exited, if this process is its parent then: the
/// child's template may be gone, or just about to.
pub(crate) fn reap_child(child: &Arc<OwnedFd>, template: Option<Arc<OwnedFd>>) {
    if !wait::adopts_orphans() {
        return;
    }
    if let Some(template) = template {
        // One here, one there: this was the last child of a template without owners, so
        // the template exits now.
        let is_last = Arc::strong_count(&template) == 2;
        let is_left = left()
            .pidfds
            .iter()
            .any(|other| Arc::ptr_eq(other, &template));
        if is_last && is_left {
            await_exit(&template);
        }
    }
    left().pidfds.push(Arc::clone(child));
    reap_left();
}

fn await_exit(process: &OwnedFd) {
    let deadline = Instant::now() + TIMEOUT;
    let _ = poll::wait(process.as_fd(), Interest::Readable, Some(deadline));
}

/// Reaps those that were left and have exited, and forgets those that their own parent has
/// reaped.
pub(crate) fn reap_left() {
    let is_to_reap = |process: BorrowedFd<'_>| match pidfd::state(process) {
        Ok(ProcessState::Running) => true,
        // Not this process's child, or not yet: its parent may be about to exit.
        Ok(ProcessState::Exited) => wait::reap_adopted(process).is_none() && is_there(process),
        Ok(ProcessState::Reaped) | Err(_) => false,
    };
    left().pidfds.retain(|process| is_to_reap(process.as_fd()));
}

/// Whether a process that has exited was not reaped, which older kernels tell by nothing
/// else.
fn is_there(process: BorrowedFd<'_>) -> bool {
    let asked = pidfd::send_signal(process, 0);
    !asked.is_err_and(|error| error.raw_os_error() == Some(libc::ESRCH))
}
