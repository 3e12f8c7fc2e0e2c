//! What travels between caller, template and child: pure functions of bytes.
//! RUNS IN: any
//!
//! No I/O and no `unsafe`: [`sys`](crate::sys) carries the bytes. All numbers are
//! little-endian, and descriptors travel beside the bytes. The tables here are the
//! specification, and the golden tests copy them.
//!
//! # Request
//!
//! An owner of a template sends one message on the template's control socket
//! (`SOCK_SEQPACKET`):
//!
//! | bytes | field |
//! |---|---|
//! | 2 | `"AF"` |
//! | 1 | version, 1 |
//! | 1 | what the child becomes: 1 a worker, 2 a template, 3 an external program |
//! | 1 | where the body is: 0 behind this head, 1 in a memory file |
//! | 1 | 1: the template kills the child when nobody holds the read end of the status pipe any more; else 0 |
//! | 1 | a bit each: 1, 2, 4 the caller's standard input, output and error come with it; 8 the caller's directory; 16 its streams replace those that the template owns; 32 the same of the directory |
//! | 1 | 0 |
//! | 4 | number of argument descriptors that come with this message |
//! | 4 | number of further ones that come over the reply socket |
//! | 8 | length of the body |
//! | … | the body, if it is here |
//!
//! Descriptors of the message, in this order: the child's end of the reply socket;
//! the write end of the status pipe; for a template, its control socket; for a body
//! in a memory file, that file; the standard streams and the directory; the argument
//! descriptors. The caller queues those
//! that do not fit on the reply socket, up to [`MAX_INLINE_FDS`] with each byte (of
//! value 0), before it sends the request.
//!
//! A large body goes through a memory file and not over the reply socket, so that
//! sending never waits for the child, and an async caller needs no writer. The caller
//! seals the file, and the child takes no other.
//!
//! | body | |
//! |---|---|
//! | 8 + n | the worker's name; else empty |
//! | 4 | number of settings |
//! | … | the settings |
//! | 1 + 8 + n | 0: an argument in bytes |
//! | 1 | 1: an argument that is the next descriptor |
//! | 1 + 8 + n + 4 | 2: an init function: its name, and how many of the following arguments are its own |
//! | 1 + 8 + n | 3: a plugin: its path |
//! | 1 + 2 (8 + n) + 4 + … + 4 + 4 n | 4: the program, last: its path; its name for itself; the arguments; the numbers of the following descriptors |
//! | … | until the end |
//!
//! Text of n bytes is 8 + n bytes: the length and the bytes.
//!
//! A companion asks for its own function among those of the same name: a NUL and the
//! function's identity, 16 hexadecimal digits, follow the name.
//!
//! | setting | |
//! |---|---|
//! | 1, 1, 1 | 1: a standard stream: its number; 1 if it becomes the next descriptor, 0 for `/dev/null` |
//! | 1 + 4 | 2: the process group |
//! | 1 + 4 + 8 + 8 | 3: the limits of a resource: its number, the soft one, the hard one |
//! | 1 + 4 | 4: the number to add to the nice value |
//! | 1 + 4 + 4 n | 5: the supplementary groups: how many, and their ids |
//! | 1 + 4 | 6: the group id |
//! | 1 + 4 | 7: the user id |
//! | 1 + 8 + n | 8: the current directory |
//! | 1 | 9: removes all variables |
//! | 1 + 8 + n + 8 + n | 10: a variable and its value |
//! | 1 + 8 + n | 11: a variable to remove |
//! | 1 + 8 + n | 12: the title |
//! | 1, 1, 8 + n | 15: the environment: 1 if it is the caller's and what the preparation has changed stays; the variables, each as `NAME=value` with a NUL behind it |
//! | 1, 1, 4 × (1 + 8), 8 + n, 4 + 16 n | 17: the caller's attributes: 1 if what the preparation has changed stays; umask, ignored signals, nice value, OOM score, each with 1 before it if it is known; the processors; the number of resources and their limits, the soft one first |
//! | 1 + 4 | 16: the number of spares that a template keeps |
//! | 1 + 4 | 18: the umask |
//! | 1 | 19: a session of its own |
//! | 1 | 20: the next descriptor is the session's terminal |
//! | 1 + 8 + n | 21: the root directory |
//! | 1 | 22: no new privileges |
//! | 1 + 4 | 23: a signal to ignore |
//! | 1 + 8 + n | 24: the directory of a cgroup |
//! | 1 + 4 | 25: the OOM score's adjustment |
//! | 1 + 4 + 4 n | 26: the processors: how many, and their numbers |
//!
//! # Spares
//!
//! Two messages of 16 bytes on a control socket are no requests. One receiver gets
//! each: the template or a spare.
//!
//! | bytes | |
//! |---|---|
//! | 2, 1 | `"AF"`, the version |
//! | 1 | 4: the number of spares to keep; a duplicate of the owner's end comes with it. 5: the spare that receives this exits |
//! | 4 | the number, or 0 |
//! | 8 | when the owner sent it, in nanoseconds of the system's monotonic clock, or 0 |
//!
//! A spare notifies its template over a socket of their own:
//!
//! | bytes | |
//! |---|---|
//! | 1 | 1: the spare has taken a request, whose status pipe comes with this. 2: the spare has received the first message above, and passes on what came with it |
//! | 1 | 1 if the template is to kill the child when nobody holds the read end of the status pipe any more; else 0 |
//! | 2 | 0 |
//! | 4 | the spare's pid, or the number |
//! | 8 | 0, or when the owner sent it: two spares may pass two numbers on in another order |
//!
//! # Monitors
//!
//! A monitor returns a child to its template over a socket of their own. The
//! child's status pipe comes with the message, unless the monitor has none:
//!
//! | bytes | |
//! |---|---|
//! | 1 | 1 if the template is to kill the child when nobody holds the read end of the status pipe any more; else 0 |
//! | 3 | 0 |
//! | 4 | the child's pid |
//!
//! # Hello
//!
//! A process that is exec'ed as a template finds the number of its control socket
//! in its environment ([`hello::VARIABLE`]), and there one message: `"AF"`, the
//! version, 0. The reply socket comes with it.
//!
//! # Reply
//!
//! The child sends one frame on the reply socket: eight bytes and as many more as
//! they announce. For a worker the reply socket is the communication socket, and
//! after `Ready` it is the worker's alone.
//!
//! | bytes | `Ready` | `Failed` |
//! |---|---|---|
//! | 1 | 1 | 2 |
//! | 1 | version | version |
//! | 2 | 0 | the kind, see [`reply`] |
//! | 4 | the child's pid | length of the rest |
//! | 4 | | `errno`, or 0 |
//! | … | | the message, UTF-8 |
//!
//! With `Ready` comes one descriptor: the child's pidfd. The caller takes it only from
//! the process that it is of, as the kernel tells; the pid in the frame counts only where
//! the kernel does not see the sender's (another pid namespace). A child that runs
//! user's code before it is ready first sends `Claim`: `Ready` with 4 for the first byte,
//! without a pid, and with its pidfd. A child that becomes a
//! program sends `Ready` before it executes the program: then the end of the socket
//! means success, and a `Failed` that follows means that the program could not be
//! executed. A process that was exec'ed as a template first sends `Hello`, as soon
//! as it has started: `Ready` with 3 for the first byte, and without a pid.
//!
//! # Status
//!
//! Frames in the status pipe. The child writes one if it fails:
//!
//! | bytes | |
//! |---|---|
//! | 1 | 2 |
//! | 1 | 1 if it panicked |
//! | 2 | 0 |
//! | 4 | length of the rest |
//! | 8 + n, four times | the message, the location, the thread, the backtrace; UTF-8 |
//!
//! The template writes one when it has reaped the child:
//!
//! | bytes | |
//! |---|---|
//! | 1 | 1 |
//! | 3 | 0 |
//! | 4 | the status, as waitpid(2) encodes it |
//! | 8, 8 | user and system time, in microseconds |
//! | 8 | peak memory, in bytes |
//!
//! # Calls
//!
#![cfg_attr(
    feature = "pool",
    doc = "The worker of a typed call speaks the frames of [`call`]."
)]
#![cfg_attr(not(feature = "pool"), doc = "Feature `pool`: `protocol/call.rs`.")]

pub(crate) mod body;
#[cfg(feature = "pool")]
#[allow(dead_code, reason = "pools are built in steps")]
pub(crate) mod call;
pub(crate) mod codec;
pub(crate) mod control;
pub(crate) mod direct;
pub(crate) mod failure_buffer;
pub(crate) mod hello;
#[cfg(test)]
mod mutated;
pub(crate) mod notice;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod setting;
pub(crate) mod status;
#[cfg(all(feature = "pool", feature = "tracing"))]
pub(crate) mod trace;

use std::fmt;

use crate::error::{Error, ErrorKind};

/// Version of this protocol.
pub(crate) const VERSION: u8 = 1;

/// Maximum number of bytes of a request that is one message. The body of a larger
/// one goes through a memory file. The kernel takes about 200 KiB.
pub(crate) const MAX_REQUEST: usize = 64 * 1024;

/// Maximum number of argument descriptors with one message: the kernel takes 253,
/// and eight may be the library's.
pub(crate) const MAX_INLINE_FDS: usize = 245;

/// Maximum number of bytes of a failure's message. A longer one is cut.
pub(crate) const MAX_FAILURE: usize = 16 * 1024;

/// An error: bytes that this protocol does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// What is wrong.
    Because(&'static str),
    /// The other side speaks this version.
    Version(u8),
}

/// The error for a body that names more descriptors than came with it.
const MISSING: Malformed = Malformed::Because("fewer descriptors came than it names");

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::Because(what) => f.write_str(what),
            Malformed::Version(theirs) => {
                write!(
                    f,
                    "it speaks version {theirs} of it, this program version {VERSION}"
                )
            }
        }
    }
}

impl std::error::Error for Malformed {}

impl From<Malformed> for Error {
    fn from(what: Malformed) -> Error {
        let message = format!("the other side does not speak this protocol: {what}");
        Error::new(ErrorKind::Protocol, message)
    }
}
