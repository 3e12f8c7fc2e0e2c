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
//! | 2 | flags: 1 the worker stays after a panic; 2 it exits after this call; 4 it has taken its last call |
//! | 4 | number of descriptors |
//! | 8 | number of the call |
//! | 8 | length of the main part |
//! | 4 | number of blobs |
//! | 4 | length of the function's name, which begins the main part of a request; else 0 |
//! | 8 | a request: the fingerprint of the function; `TooLarge`: the size of the result; else 0 |
//! | 8 | a request: maximum size of the result; else 0 |
//!
//! The lengths of the blobs follow, 8 bytes each.
//!
//! | kind | from | main part |
//! |---|---|---|
//! | 1 `Call` | caller | the name, the arguments |
//! | 2 `Items` | caller | the name; the arguments of several calls, see [`items`] |
//! | 16 `Returned` | worker | what the function has returned |
//! | 17 `Panicked` | worker | 1 if it is a panic; message, location, thread and backtrace, 8 + n bytes each |
//! | 18 `BadArgument` | worker | why the arguments were refused: the function was not entered |
//! | 19 `TooLarge` | worker | nothing |
//! | 20 `BadResult` | worker | why the result does not encode |
//! | 21 `Event` | worker | an event of the function, which runs on |
//!
//! The calls of `Items` have numbers that follow each other, from the request's on, and each
//! has an answer of its own.
//!
//! 3 to 15 and 22 to 31 are kept for what may come: cancelling one of several calls, credit.
//! A receiver refuses them.
//!
//! Up to [`MAX_FDS_AT_ONCE`] descriptors go with each of the head's bytes.

pub(crate) mod incoming;
pub(crate) mod items;
pub(crate) mod outgoing;

use std::io;
use std::os::fd::OwnedFd;

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
    pub(crate) fds: Vec<OwnedFd>,
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
            fds: fds?,
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
        keep | last
    }
}

const KEEP_AFTER_PANIC: u16 = 1;
const IS_LAST: u16 = 2;
const RETIRES: u16 = 4;

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
        };
        flags |= u16::from(self.retires) * RETIRES;
        out.extend([tag, VERSION]);
        out.extend(flags.to_le_bytes());
        out.extend((self.fds as u32).to_le_bytes());
        out.extend(self.number.to_le_bytes());
        out.extend(self.main.to_le_bytes());
        out.extend((self.blobs as u32).to_le_bytes());
        out.extend((self.name as u32).to_le_bytes());
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
        let (blobs, name) = (reader.u32()? as usize, reader.u32()? as usize);
        let (first, second) = (reader.u64()?, reader.u64()?);
        let flag = |flag| flags & flag != 0;
        let (kind, known) = match tag {
            1 | 2 => {
                let terms = Terms {
                    fingerprint: first,
                    max_result: second,
                    keep_after_panic: flag(KEEP_AFTER_PANIC),
                    is_last: flag(IS_LAST),
                };
                let kind = match tag {
                    1 => Kind::Call(terms),
                    _ => Kind::Items(terms),
                };
                (kind, KEEP_AFTER_PANIC | IS_LAST)
            }
            16 => (Kind::Returned, RETIRES),
            17 => (Kind::Panicked, RETIRES),
            18 => (Kind::BadArgument, RETIRES),
            19 => (Kind::TooLarge { size: first }, RETIRES),
            20 => (Kind::BadResult, RETIRES),
            21 => (Kind::Event, 0),
            _ => return Err(Malformed::Because("it is no frame of a call")),
        };
        let is_call = matches!(tag, 1 | 2);
        let is_reserved_used = flags & !known != 0
            || (!is_call && (second != 0 || name != 0))
            || (!is_call && tag != 19 && first != 0);
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
mod tests {
    use super::*;

    fn terms() -> Terms {
        Terms {
            fingerprint: 0x0102_0304_0506_0708,
            max_result: 0x40,
            keep_after_panic: true,
            is_last: false,
        }
    }

    fn bytes(head: &Head) -> [u8; HEAD_LEN] {
        let mut out = Vec::new();
        head.encode(&mut out);
        out.try_into().unwrap()
    }

    #[test]
    fn golden_heads() {
        let payload = Payload {
            main: b"abc".to_vec(),
            blobs: vec![vec![0; 7]],
            fds: Vec::new(),
        };
        let call = Head::of(Kind::Call(terms()), 9, false, 5, &payload);
        let golden = *b"\x01\x01\x01\0\0\0\0\0\x09\0\0\0\0\0\0\0\x08\0\0\0\0\0\0\0\
            \x01\0\0\0\x05\0\0\0\x08\x07\x06\x05\x04\x03\x02\x01\x40\0\0\0\0\0\0\0";
        assert_eq!(bytes(&call), golden);
        assert_eq!(Head::parse(&golden), Ok(call));

        let large = Head::of(Kind::TooLarge { size: 3 }, 9, true, 0, &Payload::default());
        let golden = *b"\x13\x01\x04\0\0\0\0\0\x09\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
            \0\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        assert_eq!(bytes(&large), golden);
        assert_eq!(Head::parse(&golden), Ok(large));
    }

    #[test]
    fn every_kind_survives_the_way() {
        for kind in [
            Kind::Call(terms()),
            Kind::Items(terms()),
            Kind::Returned,
            Kind::Panicked,
            Kind::BadArgument,
            Kind::TooLarge { size: u64::MAX },
            Kind::BadResult,
            Kind::Event,
        ] {
            let head = Head::of(kind, u64::MAX, false, 0, &Payload::default());
            assert_eq!(Head::parse(&bytes(&head)), Ok(head));
        }
    }

    #[test]
    fn a_flipped_byte_is_another_head_or_none() {
        let head = Head::of(Kind::Returned, 1, false, 0, &Payload::of(vec![1]));
        let right = bytes(&head);
        for at in 0..HEAD_LEN {
            for bit in 0..8 {
                let mut wrong = right;
                wrong[at] ^= 1 << bit;
                if let Ok(other) = Head::parse(&wrong) {
                    assert_ne!(other, head, "byte {at}");
                    assert_eq!(bytes(&other), wrong, "byte {at}");
                }
            }
        }
    }

    #[test]
    fn failures_survive_the_way() {
        let text = |text: &str| text.to_owned();
        let failure = Failure::new(true, text("no luck"), text("a.rs:1:2"), text(""), text("f"));
        let bytes = encode_failure(&failure);
        assert_eq!(parse_failure(&bytes), Ok(failure));
        for len in 0..bytes.len() {
            assert!(parse_failure(&bytes[..len]).is_err(), "{len}");
        }
        assert!(parse_failure(&[&bytes[..], b"x"].concat()).is_err());
    }
}
