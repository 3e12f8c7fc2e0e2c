//! Whether a template has room for the descriptors of a request.
//! RUNS IN: caller
//!
//! A request without a reply was lost in one of two ways: its receiver's table of
//! descriptors is full, or a spare was killed in the moment in which it had taken the
//! request and could not report it yet. What is no request tells which: a receiver
//! refuses it on the socket that comes with it, if that has arrived.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::exit::Exit;
use crate::protocol::request::HEAD_LEN;
use crate::sys::poll::{self, Interest};
use crate::sys::socket;

/// Timeout for the refusal of what is no request.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Why a request to this control socket was lost, whose template runs.
pub(crate) fn why_lost(control: BorrowedFd<'_>) -> Error {
    if receives_fds(control) {
        let message = "the spare that took the request was killed before it could report it";
        return Error::died(message, Exit::unknown(None));
    }
    let error = io::Error::from_raw_os_error(libc::EMFILE);
    let message = "the template has no room for the descriptors of a request: an `rlimit` of \
                   `NOFILE` that is set before `fork` is the template's, too";
    Error::io(message, error)
}

/// Whether whoever receives from this control socket has room for a descriptor.
fn receives_fds(control: BorrowedFd<'_>) -> bool {
    let Ok((mine, theirs)) = socket::stream_pair() else {
        return false;
    };
    if socket::send(control, &[0; HEAD_LEN], &[theirs.as_fd()]).is_err() {
        return false;
    }
    drop(theirs);
    let deadline = Some(Instant::now() + TIMEOUT);
    let came = poll::wait(mine.as_fd(), Interest::Readable, deadline);
    let received = || socket::receive(mine.as_fd(), &mut [0], &mut Vec::new());
    came.is_ok_and(|came| came) && received().is_ok_and(|received| received.len > 0)
}
