//! What a child or a template answers its caller on the reply socket.
//! RUNS IN: child, template, program before main
//!
//! Until the answer is sent, the caller may go at any time: then the process ends,
//! by [`die_with_caller`] or because nobody takes its answer. Nothing here unwinds.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::child::report;
use crate::error::{Error, Result};
use crate::protocol::reply as frame;
use crate::sys::eventfd::EventFd;
use crate::sys::{fork, peer, pidfd, socket as message};

/// Tells the caller, who may be gone, why there will be no process.
pub(crate) fn answer_failure(socket: &UnixStream, error: &Error) {
    tell(socket, &frame::failed(error));
}

/// Sends a frame to the caller, who may be gone.
pub(crate) fn tell(socket: &UnixStream, bytes: &[u8]) {
    let _ = message::send(socket.as_fd(), bytes, &[]);
}

/// Tells the caller why there will be no process, and gives the code that this one
/// exits with.
pub(crate) fn refuse(socket: &UnixStream, error: &Error) -> u8 {
    answer_failure(socket, error);
    1
}

/// The event descriptor that wakes the template of a process that was a spare.
static WAKE: Mutex<Option<EventFd>> = Mutex::new(None);

/// Notes in a spare that its template is to be woken before anything happens that
/// might take long. Not at once: the caller has better use for the processors.
pub(crate) fn wake_later(wake: EventFd) {
    *WAKE.lock().unwrap_or_else(PoisonError::into_inner) = Some(wake);
}

/// Wakes the template, if [`wake_later`] has put that off.
pub(crate) fn wake_template() {
    let wake = WAKE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(wake) = wake {
        wake.signal();
    }
}

/// Whether the kernel kills this process when its caller goes.
static TIED_TO_CALLER: AtomicBool = AtomicBool::new(false);

/// Has the kernel kill this process if its caller goes before it is ready: called
/// before code of the user's, which might never end.
pub(crate) fn die_with_caller(socket: &UnixStream) -> Result<()> {
    if TIED_TO_CALLER.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    wake_template();
    report::claim_pipe();
    peer::die_with_peer(socket.as_fd()).map_err(|error| Error::io("watch the caller's end", error))
}

/// Notes in a plugin's copy of this library that the program's copy has called
/// [`die_with_caller`].
#[cfg(feature = "plugin")]
pub(crate) fn assume_tied_to_caller() {
    TIED_TO_CALLER.store(true, Ordering::Relaxed);
}

/// Tells the caller that the process is about to do what it was made for. The
/// process opens the pidfd that goes with the answer on itself, so the pid cannot be
/// another's.
pub(crate) fn say_ready(socket: &UnixStream) -> Result<()> {
    let failed = |error| Error::io("tell the caller that the process is ready", error);
    let pid = fork::current_pid();
    let pidfd = pidfd::open(pid).map_err(failed)?;
    if TIED_TO_CALLER.swap(false, Ordering::Relaxed) {
        peer::outlive_peer(socket.as_fd()).map_err(failed)?;
    }
    let bytes = frame::ready(pid);
    let sent = message::send(socket.as_fd(), &bytes, &[pidfd.as_fd()]).map_err(failed)?;
    wake_template();
    match sent == bytes.len() {
        true => Ok(()),
        false => Err(failed(io::ErrorKind::WriteZero.into())),
    }
}
