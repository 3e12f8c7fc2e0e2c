//! Whether a template has room for the descriptors of a request.
//! RUNS IN: caller
//!
//! A request without a reply was lost in one of two ways: its receiver's table of
//! descriptors is full, or a spare was killed in the moment in which it had taken the
//! request and could not report it yet. What is no request tells which: a receiver
//! refuses it on the socket that comes with it, and the kernel closes a socket for which the
//! receiver has no room.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::exit::Exit;
use crate::protocol::request::HEAD_LEN;
use crate::sys::poll::{self, Interest};
use crate::sys::{deliver, socket};

/// Timeout for the refusal of what is no request. Longer than a template leaves a message to
/// spares that do not take it.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Number of pauses for which the question waits until the kernel takes its descriptor.
const MAX_PAUSES: u32 = 100;

/// Why a request to this control socket was lost, whose template runs.
pub(crate) fn why_lost(control: BorrowedFd<'_>) -> Error {
    if has_no_room(control) {
        let error = io::Error::from_raw_os_error(libc::EMFILE);
        let message = "the template has no room for the descriptors of a request: an `rlimit` of \
                       `NOFILE` that is set before `fork` is the template's, too";
        return Error::io(message, error);
    }
    let message = "the spare that took the request was killed before it could report it";
    Error::died(message, Exit::unknown(None))
}

/// Whether whoever receives from this control socket surely has no room for a descriptor.
fn has_no_room(control: BorrowedFd<'_>) -> bool {
    let Ok((mine, theirs)) = socket::stream_pair() else {
        return false;
    };
    let (bytes, fds) = ([0; HEAD_LEN], [theirs.as_fd()]);
    if deliver::send_if_room(control, &bytes, &fds, &mut { MAX_PAUSES }).is_err() {
        return false;
    }
    drop(theirs);
    let deadline = Some(Instant::now() + TIMEOUT);
    let came = poll::wait(mine.as_fd(), Interest::Readable, deadline);
    let received = || socket::receive(mine.as_fd(), &mut [0], &mut Vec::new());
    came.is_ok_and(|came| came) && received().is_ok_and(|received| received.len == 0)
}
