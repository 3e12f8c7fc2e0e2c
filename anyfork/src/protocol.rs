//! What travels between a caller, a template and its children: pure functions
//! of bytes. No I/O, no `unsafe`; `sys` carries, `template` and `process` meet
//! here.
//!
//! All numbers are little-endian. Descriptors travel beside the bytes.
//!
//! # Request
//!
//! One message on a template's control socket (`SOCK_SEQPACKET`):
//!
//! | bytes | field |
//! |---|---|
//! | 2 | `"AF"` |
//! | 1 | version, 1 |
//! | 1 | what the child becomes: 1 a worker, 2 a template, 3 an external program |
//! | 1 | where the body is: 0 here, 1 in the memory file |
//! | 1 | 1: the child is killed when nobody reads its status pipe any more; else 0 |
//! | 2 | 0 |
//! | 4 | how many argument descriptors come with this message |
//! | 4 | how many more come over the answer socket |
//! | 8 | length of the body |
//! | … | the body, if it is here |
//!
//! Its descriptors, in this order: the child's end of the answer socket; the
//! write end of the status pipe; for a template, its control socket; if the body
//! is there, the memory file; the argument descriptors. Those that do not fit
//! are queued on the answer socket, up to [`MAX_INLINE_FDS`] with each byte (of
//! value 0), before the request is sent.
//!
//! A large body goes through a memory file and not over the answer socket, so
//! that sending never waits for the child, and an async caller needs no writer.
//!
//! | body | |
//! |---|---|
//! | 8 + n | the worker's name; else empty |
//! | 4 | how many settings follow |
//! | … | the settings |
//! | 1 | 0: an argument in bytes: 8 bytes of length and the bytes |
//! | 1 | 1: an argument that is the next descriptor |
//! | 1 + 8 + n + 4 | 2: an init function is run: its name, and how many of the following arguments are its own |
//! | 1 + 8 + n | 3: a plugin is loaded: its path |
//! | 1 + 2 (8 + n) + 4 + … + 4 + 4 n | 4: the program, last: its path; its own name for it; the arguments; the numbers of the following descriptors |
//! | … | until the end |
//!
//! | setting | |
//! |---|---|
//! | 1, 1, 1 | 1: a standard stream, its number, and 1 if it becomes the next descriptor, 0 for `/dev/null` |
//! | 1 + 4 | 2: the process group |
//! | 1 + 4 + 8 + 8 | 3: a resource's limits: its number, the soft one, the hard one |
//! | 1 + 4 | 4: what is added to the nice value |
//! | 1 + 4 + 4 n | 5: the supplementary groups, their number first |
//! | 1 + 4 | 6: the group |
//! | 1 + 4 | 7: the user |
//! | 1 + 8 + n | 8: the directory |
//! | 1 | 9: no variable is left |
//! | 1 + 8 + n + 8 + n | 10: a variable and its value |
//! | 1 + 8 + n | 11: a variable that is removed |
//! | 1 + 8 + n | 12: what the process is called |
//! | 1, 1, 1 | 13: the caller's standard stream is the next descriptor; 1 if what was prepared goes before; its number |
//! | 1, 1 | 14: the caller's directory is the next descriptor; as above |
//! | 1, 1, 4 + 2 (8 + n) n | 15: the caller's environment; as above; how many names and values |
//! | 1 + 4 | 16: how many spares a template has |
//!
//! # Spares
//!
//! Two messages of 16 bytes on a control socket are no requests. Each goes to one
//! receiver, the template or a spare.
//!
//! | bytes | |
//! |---|---|
//! | 2, 1 | `"AF"`, the version |
//! | 1 | 4: so many spares are to be kept; an owner's end comes with it. 5: the spare that gets this ends |
//! | 4 | the number, or 0 |
//! | 8 | when it was said, in nanoseconds of the system's monotonic clock, or 0 |
//!
//! A spare tells its template, over a socket of their own:
//!
//! | bytes | |
//! |---|---|
//! | 1 | 1: it has taken a request; the status pipe comes with this. 2: it has got the first of the above, and what came with it |
//! | 1 | 1 if it is to be killed when nobody reads its status pipe any more; else 0 |
//! | 2 | 0 |
//! | 4 | its pid, or the number |
//! | 8 | 0, or when it was said: two spares may tell of two numbers in another order |
//!
//! # Keepers
//!
//! A keeper gives its template a child back, over a socket of their own, with the
//! child's status pipe, unless there is none:
//!
//! | bytes | |
//! |---|---|
//! | 1 | 1 if it is to be killed when nobody reads its status pipe any more; else 0 |
//! | 3 | 0 |
//! | 4 | its pid |
//!
//! # Boot
//!
//! A process that is exec'ed as a template finds the number of its control
//! socket in its environment ([`hello::VARIABLE`]), and there one message: `"AF"`,
//! the version, 0; with it comes the answer socket.
//!
//! # Answer
//!
//! One frame on the answer socket, eight bytes and what they announce. For a
//! worker this is the communication socket, and after `Ready` it is the
//! worker's alone.
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
//! With `Ready` comes one descriptor: the child's pidfd. A child that becomes a
//! program says `Ready` before: then the socket's end means success, and
//! `Failed`, after all, that it could not be executed. A process that was
//! exec'ed as a template sends `Born` before, as soon as it is there: `Ready`
//! with 3 for the first byte, and without a pid.
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
//! | 8 + n, four times | the message, the place, the thread, the backtrace; UTF-8 |
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

pub(crate) mod body;
pub(crate) mod codec;
pub(crate) mod control;
pub(crate) mod hello;
pub(crate) mod notice;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod setting;
pub(crate) mod status;

use std::fmt;

use crate::error::{Error, ErrorKind};

/// The version that both sides of this crate speak.
pub(crate) const VERSION: u8 = 1;

/// A request of up to so many bytes is one message; the body of a larger one
/// goes through a memory file. The kernel takes about 200 KiB.
pub(crate) const MAX_REQUEST: usize = 64 * 1024;

/// So many argument descriptors go with one message: the kernel takes 253, and
/// four may be the library's.
pub(crate) const MAX_INLINE_FDS: usize = 249;

/// A message of a failure is cut to so many bytes.
pub(crate) const MAX_FAILURE: usize = 16 * 1024;

/// Bytes that are not what this protocol says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// What is wrong.
    Because(&'static str),
    /// The other side speaks this version.
    Version(u8),
}

/// A body names descriptors that have not come.
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
