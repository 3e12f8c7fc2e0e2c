//! Waits until an operation of this program ends, and so gives its descriptors back.
//! RUNS IN: caller
//!
//! For a launch that the full descriptor table refuses. An [`Operation`] is a launch, or a
//! wait for a process, that a thread or a task waits for at present: it ends by itself. A
//! launch that nobody waits for yet, and a process that is only held, are none. A launch
//! that waits here holds nothing and is none either, so no two wait for each other; and
//! without operations nobody waits.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
#[cfg(feature = "tokio")]
use std::task::{Context, Poll};
use std::time::Instant;

use crate::early;
use crate::error::Error;

struct State {
    generation: u32,
    /// Number of operations.
    active: usize,
    /// Number of operations that have ended.
    ended: u64,
    /// Number of threads that wait, which a notification wakes.
    waiting: usize,
    wakers: Vec<Waker>,
}

static STATE: Mutex<State> = Mutex::new(State {
    generation: early::FIRST_GENERATION,
    active: 0,
    ended: 0,
    waiting: 0,
    wakers: Vec::new(),
});

static ENDED: Condvar = Condvar::new();

fn state() -> MutexGuard<'static, State> {
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    let generation = early::generation();
    if state.generation != generation {
        // The operations of the process that this one was forked from.
        state.generation = generation;
        state.active = 0;
        state.waiting = 0;
        std::mem::forget(std::mem::take(&mut state.wakers));
    }
    state
}

/// An operation under way, which ends with this guard.
pub(crate) struct Operation {
    generation: u32,
}

impl Operation {
    pub(crate) fn begin() -> Operation {
        let mut state = state();
        state.active += 1;
        Operation {
            generation: state.generation,
        }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        let (is_awaited, wakers) = {
            let mut state = state();
            if state.generation != self.generation {
                return;
            }
            state.active -= 1;
            state.ended += 1;
            (state.waiting > 0, std::mem::take(&mut state.wakers))
        };
        // Otherwise it would be a system call for nobody.
        if is_awaited {
            ENDED.notify_all();
        }
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Number of operations that have ended, to be asked before an attempt that may fail.
pub(crate) fn ended() -> u64 {
    state().ended
}

/// Number of operations under way.
pub(crate) fn active() -> usize {
    state().active
}

/// How often an operation waits for room that others may take all the time.
#[derive(Default)]
pub(crate) struct Patience(u32);

impl Patience {
    /// Whether the operation waits once more for others to make room.
    pub(crate) fn is_left(&mut self) -> bool {
        /// Maximum number of waits, with the interval of a launch between them.
        const MAX_WAITS: u32 = 2000;
        self.0 += 1;
        active() > 1 && self.0 <= MAX_WAITS
    }
}

/// Whether the descriptor table was full.
pub(crate) fn is_full(error: &Error) -> bool {
    is_full_table(error.raw_os_error())
}

/// The same of an error of the system.
pub(crate) fn is_full_io(error: &io::Error) -> bool {
    is_full_table(error.raw_os_error())
}

fn is_full_table(errno: Option<i32>) -> bool {
    errno == Some(libc::EMFILE)
}

/// Waits until more operations than so many have ended, or none is under way: `false` at
/// the deadline.
pub(crate) fn wait(ended: u64, deadline: Option<Instant>) -> bool {
    let mut state = state();
    while state.active > 0 && state.ended <= ended {
        let rest = deadline.map(|it| it.saturating_duration_since(Instant::now()));
        if rest.is_some_and(|rest| rest.is_zero()) {
            return false;
        }
        state.waiting += 1;
        let waited = match rest {
            Some(rest) => ENDED.wait_timeout(state, rest).map(|it| it.0).ok(),
            None => ENDED.wait(state).ok(),
        };
        state = waited.unwrap_or_else(self::state);
        state.waiting -= 1;
    }
    true
}

/// [`wait`] of a task, without a deadline.
#[cfg(feature = "tokio")]
pub(crate) fn poll(ended: u64, context: &Context<'_>) -> Poll<()> {
    let mut state = state();
    if state.active == 0 || state.ended > ended {
        return Poll::Ready(());
    }
    if !state.wakers.iter().any(|it| it.will_wake(context.waker())) {
        state.wakers.push(context.waker().clone());
    }
    Poll::Pending
}
