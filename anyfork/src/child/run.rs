//! The worker's entry, and from its return to the end of the process.

use std::hint::black_box;
use std::io::{self, Write};
use std::mem;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::args::Args;
use crate::child::report;
use crate::entry::{Entry, Hooks, Outcome};
use crate::error::{Error, Result};
use crate::protocol::reply;
use crate::registry::Function;
use crate::sys::eventfd::EventFd;
use crate::sys::{fork, peer, pidfd, socket, threads};
use crate::template::server::answer_failure;

/// The exit code of a Rust program that panicked.
pub(crate) const PANICKED: u8 = 101;

/// Enters a worker of this program (or, in a plugin, of the plugin) and reports
/// how it ended.
pub(crate) fn run_worker(worker: &Function, args: Args, socket: UnixStream) -> u8 {
    let name = worker.name;
    report::enter(name);
    let hooks = Hooks {
        die_with_caller,
        ready: say_ready,
    };
    let mut entry = Entry::worker(name, args, socket, hooks);
    let returned = catch_unwind(AssertUnwindSafe(|| {
        __anyfork_begin_short_backtrace(worker, &mut entry)
    }));
    let code = match returned {
        Err(panic) => {
            report::unwound(&*panic);
            // Its destructor is the user's code, and might panic, too.
            mem::forget(panic);
            PANICKED
        }
        Ok(Ok(outcome)) => {
            match outcome.failure() {
                Some(why) => report::returned(why),
                None if outcome.code() != 0 => report::failed(),
                None => {}
            }
            outcome.code()
        }
        Ok(Err(error)) => {
            match entry.socket() {
                Some(socket) => answer_failure(socket, &error),
                None => report::returned(&error.to_string()),
            }
            1
        }
    };
    // The worker's sockets are closed by now; what it printed must come out.
    flush_at_end();
    code
}

/// Calls the worker. A backtrace that is shown ends at this function, which is
/// found by its name also where a build keeps no more of it.
#[inline(never)]
fn __anyfork_begin_short_backtrace(worker: &Function, entry: &mut Entry) -> Result<Outcome> {
    let returned = (worker.enter)(entry);
    // Else this frame would be the callee's.
    black_box(());
    returned
}

/// Writes out what std and the C library have buffered.
pub(crate) fn flush() {
    let _ = io::stdout().flush();
    fork::flush_c_streams();
}

/// The same at a worker's end, where another thread may hold a stream's lock
/// for as long as it likes: then what is buffered there is lost, as it is in a
/// Rust program whose `main` returns.
fn flush_at_end() {
    const PATIENCE: Duration = Duration::from_millis(200);
    if threads::is_single() {
        return flush();
    }
    let (done, flushed) = mpsc::channel();
    let flusher = move || {
        flush();
        let _ = done.send(());
    };
    if thread::Builder::new().spawn(flusher).is_ok() {
        let _ = flushed.recv_timeout(PATIENCE);
    }
}

/// What wakes the template of a process that was a spare.
static WAKE: Mutex<Option<EventFd>> = Mutex::new(None);

/// This process was a spare, and its template is to be woken: not now, when the
/// caller has better use for the processors, but before anything happens that
/// might take long.
pub(crate) fn wake_later(wake: EventFd) {
    *WAKE.lock().unwrap_or_else(PoisonError::into_inner) = Some(wake);
}

/// Wakes the template, if that was put off.
pub(crate) fn wake_template() {
    let wake = WAKE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(wake) = wake {
        wake.signal();
    }
}

/// Whether this process dies with its caller.
static TIED_TO_CALLER: AtomicBool = AtomicBool::new(false);

/// Before code of the user's that might never end: from here on, until it is
/// ready, this process is killed if its caller goes.
pub(crate) fn die_with_caller(socket: &UnixStream) -> Result<()> {
    if TIED_TO_CALLER.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    wake_template();
    report::own();
    peer::die_with_peer(socket.as_fd()).map_err(|error| Error::io("watch the caller's end", error))
}

/// Takes it that the process was guarded before it came here.
#[cfg(feature = "plugin")]
pub(crate) fn tie_to_caller() {
    TIED_TO_CALLER.store(true, Ordering::Relaxed);
}

/// Tells the caller that the process is about to do what it was made for: its
/// pid, and a pidfd that it opens on itself, for which no race is possible.
pub(crate) fn say_ready(socket: &UnixStream) -> Result<()> {
    let failed = |error| Error::io("tell the caller that the process is ready", error);
    let pid = fork::current_pid();
    let pidfd = pidfd::open(pid).map_err(failed)?;
    if TIED_TO_CALLER.swap(false, Ordering::Relaxed) {
        peer::outlive_peer(socket.as_fd()).map_err(failed)?;
    }
    let frame = reply::ready(pid);
    let sent = socket::send(socket.as_fd(), &frame, &[pidfd.as_fd()]).map_err(failed)?;
    wake_template();
    match sent == frame.len() {
        true => Ok(()),
        false => Err(failed(io::ErrorKind::WriteZero.into())),
    }
}
