//! Frames of calls: a request, and its answer, on a worker's communication socket.
//! RUNS IN: caller, child
//!
//! A frame is a head, the lengths of its blobs, the main part, and the blobs. Small values
//! are in the main part; a large run of bytes is a blob, which is received into memory of
//! its own and never copied. Descriptors travel beside the first bytes of a frame.
//!
//! | bytes | head |
//! |---|---|
//! | 1 | the kind |
//! | 1 | version, 1 |
//! | 2 | flags: 1 the worker stays after a panic; 2 it exits after this call; 4 it has taken its last call; 8 calls are before this one, and it may be cancelled |
//! | 4 | number of descriptors |
//! | 8 | number of the call |
//! | 8 | length of the main part |
//! | 4 | number of blobs |
//! | 2 | length of the function's name, which begins the main part of a request; else 0 |
//! | 2 | a request: number of calls that may run at once with this one among them; 0: it runs alone; else 0 |
//! | 8 | a request: the fingerprint of the function; `TooLarge`: the size of the result; else 0 |
//! | 8 | a request: maximum size of the result; else 0 |
//!
//! The lengths of the blobs follow, 8 bytes each.
//!
//! | kind | from | main part |
//! |---|---|---|
//! | 1 `Call` | caller | the name, the arguments |
//! | 2 `Items` | caller | the name; the arguments of several calls, see [`items`] |
//! | 3 `Cancel` | caller | nothing: the call of that number is dropped, if it runs, or not begun |
//! | 16 `Returned` | worker | what the function has returned |
//! | 17 `Panicked` | worker | 1 if it is a panic; message, location, thread and backtrace, 8 + n bytes each |
//! | 18 `BadArgument` | worker | why the arguments were refused: the function was not entered |
//! | 19 `TooLarge` | worker | nothing |
//! | 20 `BadResult` | worker | why the result does not encode |
//! | 21 `Event` | worker | an event of the function, which runs on |
//! | 22 `Cancelled` | worker | nothing: the call was dropped, or not begun |
//!
//! The calls of `Items` have numbers that follow each other, from the request's on, and each
//! has an answer of its own.
//!
//! A worker runs calls in the order of their numbers. The first one runs, and if calls may run
//! beside it, those that follow it, up to the first that runs alone. `Cancel` of a call that was
//! answered is no error: the two have crossed.
//!
//! 4 to 15 and 23 to 31 are kept for what may come, such as credit. A receiver refuses them.
//!
//! Up to [`MAX_FDS_AT_ONCE`] descriptors go with each of the head's bytes.

pub(crate) mod incoming;
pub(crate) mod items;
pub(crate) mod outgoing;

use std::io;
use std::os::fd::OwnedFd;

use crate::args::message_fds::MessageFds;
use crate::failure::Failure;
use crate::protocol::codec::{Reader, put_counted};
use crate::protocol::{Malformed, VERSION};

/// Number of bytes of a head.
pub(crate) const HEAD_LEN: usize = 48;

/// Maximum number of descriptors with one message: the kernel takes 253.
pub(crate) const MAX_FDS_AT_ONCE: usize = 250;

/// Maximum number of descriptors of a frame.
pub(crate) const MAX_FDS: usize = 10_000;

/// Maximum number of blobs of a frame.
pub(crate) const MAX_BLOBS: usize = 256;

/// Maximum length of a function's name.
pub(crate) const MAX_NAME: usize = 4096;

/// Maximum length of all that a frame carries: no memory is larger.
pub(crate) const MAX_LEN: u64 = 1 << 47;

/// What a frame carries beside its head.
#[derive(Debug, Default)]
pub(crate) struct Payload {
    pub(crate) main: Vec<u8>,
    pub(crate) blobs: Vec<Vec<u8>>,
    pub(crate) fds: MessageFds,
}

impl Payload {
    /// A payload of a main part alone.
    pub(crate) fn of(main: Vec<u8>) -> Payload {
        Payload {
            main,
            ..Payload::default()
        }
    }

    /// The same again, with duplicates of the descriptors.
    pub(crate) fn try_clone(&self) -> io::Result<Payload> {
        let fds: io::Result<Vec<OwnedFd>> = self.fds.iter().map(OwnedFd::try_clone).collect();
        Ok(Payload {
            main: self.main.clone(),
            blobs: self.blobs.clone(),
            fds: fds?.into(),
        })
    }

    /// Number of its bytes.
    pub(crate) fn len(&self) -> u64 {
        let blobs = self.blobs.iter().map(|blob| blob.len() as u64);
        self.main.len() as u64 + blobs.sum::<u64>()
    }
}

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Call(Terms),
    Items(Terms),
    Returned,
    Panicked,
    BadArgument,
    TooLarge { size: u64 },
    BadResult,
    Event,
    Cancel,
    Cancelled,
}

/// On what terms a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// A digest of the function's name and signature, as the caller knows them.
    pub(crate) fingerprint: u64,
    /// Maximum number of bytes of the result.
    pub(crate) max_result: u64,
    /// The worker stays in use after a panic that unwound.
    pub(crate) keep_after_panic: bool,
    /// The worker exits after this call.
    pub(crate) is_last: bool,
    /// Number of calls that may run at once with this one among them. 0: it runs alone.
    pub(crate) at_once: u16,
    /// Calls are before this one: the worker looks whether it was cancelled meanwhile.
    pub(crate) is_ahead: bool,
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) number: u64,
    /// The worker takes no more calls after this answer.
    pub(crate) retires: bool,
    pub(crate) fds: usize,
    pub(crate) main: u64,
    pub(crate) blobs: usize,
    /// Length of the name that begins the main part.
    pub(crate) name: usize,
}

impl Terms {
    fn flags(&self) -> u16 {
        let keep = u16::from(self.keep_after_panic) * KEEP_AFTER_PANIC;
        let last = u16::from(self.is_last) * IS_LAST;
        let ahead = u16::from(self.is_ahead) * IS_AHEAD;
        keep | last | ahead
    }
}

const KEEP_AFTER_PANIC: u16 = 1;
const IS_LAST: u16 = 2;
const RETIRES: u16 = 4;
const IS_AHEAD: u16 = 8;

impl Head {
    /// The head of a frame that carries `payload`, whose main part begins with a name of
    /// that length.
    pub(crate) fn of(kind: Kind, number: u64, retires: bool, name: usize, it: &Payload) -> Head {
        Head {
            kind,
            number,
            retires,
            fds: it.fds.len(),
            main: (name + it.main.len()) as u64,
            blobs: it.blobs.len(),
            name,
        }
    }

    /// Appends the bytes of the head.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let (tag, mut flags, first, second) = match self.kind {
            Kind::Call(terms) => (1, terms.flags(), terms.fingerprint, terms.max_result),
            Kind::Items(terms) => (2, terms.flags(), terms.fingerprint, terms.max_result),
            Kind::Returned => (16, 0, 0, 0),
            Kind::Panicked => (17, 0, 0, 0),
            Kind::BadArgument => (18, 0, 0, 0),
            Kind::TooLarge { size } => (19, 0, size, 0),
            Kind::BadResult => (20, 0, 0, 0),
            Kind::Event => (21, 0, 0, 0),
            Kind::Cancel => (3, 0, 0, 0),
            Kind::Cancelled => (22, 0, 0, 0),
        };
        let at_once = match self.kind {
            Kind::Call(terms) | Kind::Items(terms) => terms.at_once,
            _ => 0,
        };
        flags |= u16::from(self.retires) * RETIRES;
        out.extend([tag, VERSION]);
        out.extend(flags.to_le_bytes());
        out.extend((self.fds as u32).to_le_bytes());
        out.extend(self.number.to_le_bytes());
        out.extend(self.main.to_le_bytes());
        out.extend((self.blobs as u32).to_le_bytes());
        out.extend((self.name as u16).to_le_bytes());
        out.extend(at_once.to_le_bytes());
        out.extend(first.to_le_bytes());
        out.extend(second.to_le_bytes());
    }

    /// Parses a head.
    pub(crate) fn parse(bytes: &[u8; HEAD_LEN]) -> Result<Head, Malformed> {
        let mut reader = Reader(bytes);
        let (tag, version) = (reader.u8()?, reader.u8()?);
        if version != VERSION && matches!(tag, 1..=31) {
            return Err(Malformed::Version(version));
        }
        let (flags, fds) = (reader.u16()?, reader.u32()? as usize);
        let (number, main) = (reader.u64()?, reader.u64()?);
        let (blobs, name, at_once) = (
            reader.u32()? as usize,
            usize::from(reader.u16()?),
            reader.u16()?,
        );
        let (first, second) = (reader.u64()?, reader.u64()?);
        let flag = |flag| flags & flag != 0;
        let (kind, known) = match tag {
            1 | 2 => {
                let terms = Terms {
                    fingerprint: first,
                    max_result: second,
                    keep_after_panic: flag(KEEP_AFTER_PANIC),
                    is_last: flag(IS_LAST),
                    at_once,
                    is_ahead: flag(IS_AHEAD),
                };
                let kind = match tag {
                    1 => Kind::Call(terms),
                    _ => Kind::Items(terms),
                };
                (kind, KEEP_AFTER_PANIC | IS_LAST | IS_AHEAD)
            }
            3 => (Kind::Cancel, 0),
            16 => (Kind::Returned, RETIRES),
            17 => (Kind::Panicked, RETIRES),
            18 => (Kind::BadArgument, RETIRES),
            19 => (Kind::TooLarge { size: first }, RETIRES),
            20 => (Kind::BadResult, RETIRES),
            21 => (Kind::Event, 0),
            22 => (Kind::Cancelled, RETIRES),
            _ => return Err(Malformed::Because("it is no frame of a call")),
        };
        let is_call = matches!(tag, 1 | 2);
        let is_reserved_used = flags & !known != 0
            || (!is_call && (second != 0 || name != 0 || at_once != 0))
            || (!is_call && tag != 19 && first != 0);
        let is_bare = matches!(kind, Kind::Cancel | Kind::Cancelled);
        if is_bare && (main != 0 || blobs != 0 || fds != 0) {
            return Err(Malformed::Because(
                "a frame has what its kind does not carry",
            ));
        }
        if is_reserved_used {
            return Err(Malformed::Because("a reserved field is in use"));
        }
        if fds > MAX_FDS || blobs > MAX_BLOBS || main > MAX_LEN {
            return Err(Malformed::Because("a frame announces too much"));
        }
        if name > MAX_NAME || name as u64 > main {
            return Err(Malformed::Because("a name has an impossible length"));
        }
        Ok(Head {
            kind,
            number,
            retires: flag(RETIRES),
            fds,
            main,
            blobs,
            name,
        })
    }
}

/// A frame that has arrived whole.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) head: Head,
    pub(crate) payload: Payload,
    /// The receiver's descriptor table was full: some or all descriptors are lost, and
    /// none is in the payload.
    pub(crate) has_lost_fds: bool,
}

impl Frame {
    /// The name of the function that a request is for.
    pub(crate) fn name(&self) -> Result<&str, Malformed> {
        let name = &self.payload.main[..self.head.name];
        str::from_utf8(name).map_err(|_| Malformed::Because("a name is no text"))
    }
}

/// The main part of `Panicked`.
pub(crate) fn encode_failure(failure: &Failure) -> Vec<u8> {
    let mut out = vec![u8::from(failure.is_panic())];
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    put_counted(&mut out, failure.message().as_bytes());
    put_counted(&mut out, text(failure.location()).as_bytes());
    put_counted(&mut out, text(failure.thread()).as_bytes());
    put_counted(&mut out, failure.stack().as_bytes());
    out
}

/// Parses the main part of `Panicked`.
pub(crate) fn parse_failure(bytes: &[u8]) -> Result<Failure, Malformed> {
    let mut reader = Reader(bytes);
    let has_panicked = match reader.u8()? {
        0 => false,
        1 => true,
        _ => return Err(Malformed::Because("a failure is of an unknown kind")),
    };
    let mut text = || Ok(String::from_utf8_lossy(reader.counted()?).into_owned());
    let failure = Failure::new(has_panicked, text()?, text()?, text()?, text()?);
    match reader.is_empty() {
        true => Ok(failure),
        false => Err(Malformed::Because("a failure goes on too long")),
    }
}

#[cfg(test)]
mod tests;
