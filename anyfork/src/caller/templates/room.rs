//! Whether a template has room for the descriptors of a request.
//! RUNS IN: caller
//!
//! A request without a reply was lost in one of two ways: its receiver's table of
//! descriptors is full, or a spare was killed in the moment in which it had taken the
//! request and could not report it yet. What is no request tells which: a receiver
//! refuses it on the socket that comes with it, if that has arrived.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use crate::protocol::request::HEAD_LEN;
use crate::sys::poll::{self, Interest};
use crate::sys::socket;

/// Timeout for the refusal of what is no request.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Whether whoever receives from this control socket has room for a descriptor.
pub(crate) fn receives_fds(control: BorrowedFd<'_>) -> bool {
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
