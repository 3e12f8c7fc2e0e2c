//! The failure that is written where nothing can be allocated any more.
//! RUNS IN: template, child
//!
//! The panic hook prepares the frame of a panic in a buffer that is always there. A
//! handler of [`crash`] writes it when the process aborts on its way to the report: a
//! panic needs memory, and the memory may be what is missing. A stack that has
//! overflowed and an allocation that has failed have a frame made in the handler.
//! Nothing here allocates or waits for a lock.

use std::fmt::{self, Display};
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::sync::{Mutex, TryLockError};
use std::thread::{self, ThreadId};

use crate::child::report::frames::{self, write_stack};
use crate::child::report::panic_note::panic_text;
use crate::protocol::failure_buffer::FailureBuffer;
use crate::sys::crash::{self, Crash};
use crate::sys::fd_identity::RememberedFd;
use crate::sys::fork;

/// Number of bytes of the buffer.
const LEN: usize = 16 * 1024;

static PREPARED: Mutex<FailureBuffer<LEN>> = Mutex::new(FailureBuffer::EMPTY);

/// Where this process reports, without the lock of the report's state.
static TARGET: Target = Target {
    pid: AtomicU32::new(0),
    number: AtomicI32::new(-1),
    has_reported: AtomicBool::new(false),
    ends: AtomicBool::new(false),
};

struct Target {
    /// The process that reports there; a process that its code forks off does not.
    pid: AtomicU32,
    number: AtomicI32,
    /// Whether the failure is in the pipe, which takes one.
    has_reported: AtomicBool,
    /// Whether the panic that was noted last has ended the worker.
    ends: AtomicBool,
}

/// Has this process, and those that it forks, write their last words.
pub(crate) fn install() {
    frames::note_program();
    // Without handlers, an abort is an exit without a failure.
    let _ = crash::install(write);
}

/// Sets where this process reports.
#[inline]
pub(crate) fn set_target(pid: u32, pipe: Option<&RememberedFd>) {
    let number = pipe.map_or(-1, RememberedFd::number);
    TARGET.number.store(number, Ordering::Relaxed);
    TARGET.has_reported.store(false, Ordering::Relaxed);
    TARGET.ends.store(false, Ordering::Relaxed);
    TARGET.pid.store(pid, Ordering::Relaxed);
}

/// Whether this is the process's first report, which is the only one that counts.
pub(crate) fn claim_report() -> bool {
    let is_own = TARGET.pid.load(Ordering::Relaxed) == fork::current_pid();
    is_own && !TARGET.has_reported.swap(true, Ordering::Relaxed)
}

/// Prepares the frame of a panic of this thread. `entering` is the thread that enters
/// the worker.
pub(crate) fn prepare_panic(info: &PanicHookInfo<'_>, entering: Option<ThreadId>) {
    let Ok(mut prepared) = PREPARED.try_lock() else {
        return;
    };
    let current = thread::current();
    let thread = match entering {
        Some(thread) if thread != current.id() => current.name().unwrap_or("unnamed"),
        _ => "",
    };
    let message = panic_text(info.payload());
    let location: &dyn Display = match info.location() {
        Some(location) => location,
        None => &"",
    };
    prepared.fill(true, message, location, thread, |out| write_stack(out));
}

/// A panic has ended the worker: until it is reported, nothing else has.
pub(crate) fn panic_ends_worker() {
    TARGET.ends.store(true, Ordering::Relaxed);
}

/// Writes why this process is about to abort, in a signal handler.
fn write(crash: Crash) {
    let panics = thread::panicking() || TARGET.ends.load(Ordering::Relaxed);
    let mut prepared = match PREPARED.try_lock() {
        Ok(prepared) => prepared,
        Err(TryLockError::Poisoned(prepared)) => prepared.into_inner(),
        // This thread was filling it.
        Err(TryLockError::WouldBlock) => return,
    };
    let message = match crash {
        Crash::StackOverflow => {
            print_overflow();
            "stack overflow: the first thread has no stack left"
        }
        Crash::Abort | Crash::OutOfMemory if panics && !prepared.is_empty() => "",
        Crash::OutOfMemory => "memory allocation failed",
        // The program wants it so, and says why elsewhere.
        Crash::Abort => return,
    };
    if !message.is_empty() {
        let with_stack = crash == Crash::OutOfMemory;
        prepared.fill(false, message, &"", "", |out| match with_stack {
            true => write_stack(out),
            // The handler's own stack says nothing.
            false => Ok(()),
        });
    }
    let pipe = RememberedFd::of_number(TARGET.number.load(Ordering::Relaxed));
    if let Some(pipe) = pipe
        && claim_report()
    {
        // A page is left free for the record of the exit.
        let room = pipe.pipe_capacity().saturating_sub(4096);
        let _ = pipe.write(prepared.bytes(room));
    }
}

/// Prints what a Rust program does.
fn print_overflow() {
    use fmt::Write;
    let mut text = FixedText::<80>::default();
    let pid = fork::current_pid();
    let _ = writeln!(
        text,
        "anyfork process ({pid}): stack overflow: the first thread has no stack left"
    );
    crash::print(text.bytes());
}

/// A text of at most `N` bytes.
struct FixedText<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Default for FixedText<N> {
    fn default() -> FixedText<N> {
        FixedText {
            bytes: [0; N],
            len: 0,
        }
    }
}

impl<const N: usize> FixedText<N> {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl<const N: usize> fmt::Write for FixedText<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.len() - self.len;
        let text = &text.as_bytes()[..text.len().min(room)];
        self.bytes[self.len..self.len + text.len()].copy_from_slice(text);
        self.len += text.len();
        Ok(())
    }
}
