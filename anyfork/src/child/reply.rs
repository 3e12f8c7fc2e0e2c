//! What a child answers its caller, and what it does until then.
//! RUNS IN: program before main, template, child
//!
//! A process answers once, on its reply socket, with a pidfd of its own: the caller takes
//! no other process's. Until then it wakes its template before
//! anything that might take long, and dies with its caller: it is killed as
//! [`die_with_caller`] arranges, or exits because the answer cannot be sent. Nothing here
//! unwinds.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::protocol::reply as frame;
use crate::sys::eventfd::EventFd;
use crate::sys::{deliver, fd, fork, peer, pidfd, signal, socket as message};

/// Answers a caller, which may be gone, that there will be no process, and why.
pub(crate) fn answer_failure(socket: &UnixStream, error: &Error) {
    send_frame(socket, &frame::failed(error));
}

/// Answers a caller, which may be gone, that the program it has exec'ed is one that
/// can be a template.
pub(crate) fn say_hello(socket: &UnixStream) {
    send_frame(socket, &frame::hello());
}

fn send_frame(socket: &UnixStream, bytes: &[u8]) {
    if let Err(error) = message::send(socket.as_fd(), bytes, &[])
        && matches!(
            error.raw_os_error(),
            Some(libc::EPERM | libc::EACCES | libc::ENOSYS)
        )
    {
        // A sandbox of user's code forbids that, but hardly write(2), which knows no MSG_NOSIGNAL.
        let _ = signal::without_sigpipe(|| fd::write(socket.as_fd(), bytes));
    }
}

/// Answers the caller that there will be no process, and why. Gives the code that
/// this process exits with.
pub(crate) fn refuse(socket: &UnixStream, error: &Error) -> u8 {
    answer_failure(socket, error);
    1
}

/// The event descriptor that wakes the template of a process that was a spare.
static WAKE: Mutex<Option<EventFd>> = Mutex::new(None);

/// Arranges in a spare that its template is woken when this process is ready, or
/// before anything that might take long. Until then the caller is to have the
/// processors.
pub(crate) fn wake_later(wake: EventFd) {
    *WAKE.lock().unwrap_or_else(PoisonError::into_inner) = Some(wake);
}

/// Wakes the template, if [`wake_later`] has arranged it and nobody has woken it
/// since.
pub(crate) fn wake_template() {
    let wake = WAKE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(wake) = wake {
        wake.signal();
    }
}

/// Whether the kernel kills this process when its caller is gone.
static TIED_TO_CALLER: AtomicBool = AtomicBool::new(false);

/// Makes the kernel kill this process if its caller is gone before the process is
/// ready. Called before user code, which might never return.
pub(crate) fn die_with_caller(socket: &UnixStream) -> Result<()> {
    if TIED_TO_CALLER.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    wake_template();
    peer::die_with_peer(socket.as_fd())
        .map_err(|error| Error::io("watch the caller's end", error))?;
    claim(socket);
    Ok(())
}

/// Tells the caller which process this is, before user's code that may leave a process
/// behind, which holds all descriptors that this process has: if the template is killed,
/// the caller knows which process to wait for. It can do without.
fn claim(socket: &UnixStream) {
    if let Ok(pidfd) = own_pidfd() {
        let (socket, fds) = (socket.as_fd(), [pidfd.as_fd()]);
        let _ = deliver::send_if_room(socket, &frame::claim(), &fds, &mut { MAX_PAUSES });
    }
}

/// Notes in a plugin's copy of this library that the program's copy has called
/// [`die_with_caller`], so that [`say_ready`] undoes it.
#[cfg(feature = "plugin")]
pub(crate) fn assume_tied_to_caller() {
    TIED_TO_CALLER.store(true, Ordering::Relaxed);
}

/// Answers the caller that this process is about to do what it was made for.
pub(crate) fn say_ready(socket: &UnixStream) -> Result<()> {
    send_ready(socket, &own_pidfd()?)
}

/// A pidfd for this process, to send along with the answer. The process opens it on
/// itself, so that the pid cannot be another process's.
#[inline]
pub(crate) fn own_pidfd() -> Result<OwnedFd> {
    pidfd::open(fork::current_pid()).map_err(not_told)
}

/// Number of pauses for which the answer waits until the kernel takes its descriptor.
const MAX_PAUSES: u32 = 1000;

/// Sends the answer of [`say_ready`].
#[inline]
pub(crate) fn send_ready(socket: &UnixStream, pidfd: &OwnedFd) -> Result<()> {
    // Written to only if it is set: in a child that costs a page.
    if TIED_TO_CALLER.load(Ordering::Relaxed) {
        TIED_TO_CALLER.store(false, Ordering::Relaxed);
        peer::outlive_peer(socket.as_fd()).map_err(not_told)?;
    }
    let bytes = frame::ready(fork::current_pid());
    let (socket, fds) = (socket.as_fd(), [pidfd.as_fd()]);
    let sent = deliver::send_if_room(socket, &bytes, &fds, &mut { MAX_PAUSES });
    let sent = sent.map_err(not_told)?;
    wake_template();
    match sent == bytes.len() {
        true => Ok(()),
        false => Err(not_told(io::ErrorKind::WriteZero.into())),
    }
}

fn not_told(error: io::Error) -> Error {
    Error::io("tell the caller that the process is ready", error)
}
