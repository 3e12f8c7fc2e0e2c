//! The error for a child that has exited before it was ready.
//! RUNS IN: caller

use crate::error::{Error, ErrorKind};
use crate::exit::Exit;
use crate::protocol::reply::{LOST_SOCKET, lost_socket};

/// What the exit says of the child that was to be `what`, and to run these init functions.
pub(crate) fn error(exit: Exit, what: &str, inits: &str) -> Error {
    if exit.code() == Some(LOST_SOCKET.into()) && !inits.is_empty() {
        let message = format!("start `{what}`: {}", lost_socket(inits));
        return Error::new(ErrorKind::InitFailed, message);
    }
    let mut message = format!("`{what}` ended before it was ready: {exit}");
    if let Some(failure) = exit.failure() {
        message += &format!(" ({failure})");
    }
    if exit.signal() == Some(libc::SIGSYS) {
        message += ": a filter (seccomp) forbids a system call that a process needs to answer; \
                    the page `guide::security` lists them";
    }
    Error::died(message, exit)
}
