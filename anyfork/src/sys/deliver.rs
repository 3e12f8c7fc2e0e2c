//! Sending descriptors where the kernel may have no room for them yet (unix(7)).
//! RUNS IN: caller, template, child, spare, monitor
//!
//! Nothing here depends on the socket's `O_NONBLOCK`, which other processes may change.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use crate::sys::poll::{self, Interest};
use crate::sys::socket;

/// Interval between two tries to send a descriptor.
const PAUSE: Duration = Duration::from_millis(10);

/// Number of pauses for a message that cannot do without its descriptors.
pub(crate) const MAX_PAUSES: u32 = 1000;

/// Whether the kernel takes no more descriptors of this user for now: too many are in
/// flight (unix(7)).
pub(crate) fn is_too_many_in_flight(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ETOOMANYREFS)
}

/// Sends a message with descriptors, and waits for room on the socket. Also waits while
/// too many descriptors are in flight, at most for so many pauses.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
    pauses_left: &mut u32,
) -> io::Result<usize> {
    loop {
        match send_if_room(socket, bytes, fds, pauses_left) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll::wait(socket, Interest::Writable, None)?;
            }
            result => return result,
        }
    }
}

/// [`send`] that fails with `WouldBlock` where there is no room on the socket.
pub(crate) fn send_if_room(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
    pauses_left: &mut u32,
) -> io::Result<usize> {
    loop {
        match socket::send(socket, bytes, fds) {
            Err(error) if is_too_many_in_flight(&error) && *pauses_left > 0 => {
                *pauses_left -= 1;
                poll::wait(socket, Interest::HungUp, Some(Instant::now() + PAUSE))?;
            }
            result => return result,
        }
    }
}

/// [`send`] with a descriptor that the message can do without: it is left out when the
/// pauses are used up.
pub(crate) fn send_with_or_without(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fd: Option<BorrowedFd<'_>>,
    pauses_left: &mut u32,
) -> io::Result<()> {
    match send(socket, bytes, fd.as_slice(), pauses_left) {
        Err(error) if fd.is_some() && is_too_many_in_flight(&error) => {
            send(socket, bytes, &[], pauses_left).map(drop)
        }
        sent => sent.map(drop),
    }
}
