//! The reply on a child's socket: `Ready` or `Failed`, and what comes before it.
//! RUNS IN: caller, program before main, template, child
//!
//! The table is in [`protocol`](crate::protocol).

use crate::error::{Error, ErrorKind};
use crate::protocol::codec::Reader;
use crate::protocol::{MAX_FAILURE, Malformed, VERSION};

/// The exit code of a process whose reply socket an init function has closed: nothing
/// else can tell its caller.
pub(crate) const LOST_SOCKET: u8 = 213;

/// What that process, and its caller, say of it.
pub(crate) fn lost_socket(init: &str) -> String {
    format!(
        "init function `{init}` has closed descriptors of anyfork's, without which the launch \
         cannot go on: close only those that you know (a new process has no others)"
    )
}

/// Number of bytes of the head, which every frame has.
pub(crate) const HEAD_LEN: usize = 8;

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// A process that was exec'ed as a template has started. Another frame follows
    /// when the template is prepared.
    Hello,
    /// The child is about to run user's code that prepares it.
    Claim,
    /// The child is about to run what it was made for.
    Ready { pid: u32 },
    /// The child could not; `rest` more bytes describe the error.
    Failed { kind: u16, rest: usize },
}

/// The bytes of `Ready`.
pub(crate) fn ready(pid: u32) -> [u8; HEAD_LEN] {
    let [p0, p1, p2, p3] = pid.to_le_bytes();
    [1, VERSION, 0, 0, p0, p1, p2, p3]
}

/// The bytes of `Hello`.
pub(crate) fn hello() -> [u8; HEAD_LEN] {
    [3, VERSION, 0, 0, 0, 0, 0, 0]
}

/// The bytes of `Claim`.
pub(crate) fn claim() -> [u8; HEAD_LEN] {
    [4, VERSION, 0, 0, 0, 0, 0, 0]
}

/// The bytes of `Failed`.
pub(crate) fn failed(error: &Error) -> Vec<u8> {
    let text = error.to_string();
    let message = &text[..text.floor_char_boundary(MAX_FAILURE)];
    let mut out = vec![2, VERSION];
    out.extend(kind_code(error.kind()).to_le_bytes());
    out.extend((message.len() as u32 + 4).to_le_bytes());
    out.extend(error.raw_os_error().unwrap_or(0).to_le_bytes());
    out.extend(message.as_bytes());
    out
}

/// What stands before the text of `Failed`, of a kind by its [code](kind_code).
pub(crate) fn failed_head(code: u16, errno: i32, len: usize) -> [u8; HEAD_LEN + 4] {
    let [k0, k1] = code.to_le_bytes();
    let [l0, l1, l2, l3] = (len as u32).wrapping_add(4).to_le_bytes();
    let [e0, e1, e2, e3] = errno.to_le_bytes();
    [2, VERSION, k0, k1, l0, l1, l2, l3, e0, e1, e2, e3]
}

/// Parses the head of a frame.
pub(crate) fn parse_head(bytes: &[u8; HEAD_LEN]) -> Result<Head, Malformed> {
    let mut reader = Reader(bytes);
    let tag = reader.u8()?;
    let version = reader.u8()?;
    if version != VERSION && matches!(tag, 1..=4) {
        return Err(Malformed::Version(version));
    }
    let (kind, number) = (reader.u16()?, reader.u32()?);
    match tag {
        1 => Ok(Head::Ready { pid: number }),
        2 if (4..=MAX_FAILURE + 4).contains(&(number as usize)) => Ok(Head::Failed {
            kind,
            rest: number as usize,
        }),
        3 => Ok(Head::Hello),
        4 => Ok(Head::Claim),
        2 => Err(Malformed::Because("a failure has an impossible length")),
        _ => Err(Malformed::Because("it is no answer")),
    }
}

/// Parses the rest of `Failed` into the error.
pub(crate) fn parse_failure(code: u16, rest: &[u8]) -> Result<Error, Malformed> {
    let mut reader = Reader(rest);
    let errno = reader.i32()?;
    let message = String::from_utf8_lossy(reader.0).into_owned();
    let kind = kind_of_code(code).ok_or(Malformed::Because("a failure is of an unknown kind"))?;
    Ok(Error::remote(kind, message, (errno != 0).then_some(errno)))
}

/// The kinds that travel. The caller finds out all others itself: no process reports
/// its own death.
const KINDS: [(u16, ErrorKind); 11] = [
    (1, ErrorKind::UnknownWorker),
    (2, ErrorKind::AmbiguousName),
    (3, ErrorKind::BadArgument),
    (4, ErrorKind::TemplateGone),
    (5, ErrorKind::ForkFailed),
    (6, ErrorKind::Protocol),
    (7, ErrorKind::Io),
    (8, ErrorKind::InitFailed),
    (9, ErrorKind::PluginFailed),
    (10, ErrorKind::MultiThreaded),
    (11, ErrorKind::ExecFailed),
];

/// The number that stands for a kind; that of `Io` for a kind that does not travel.
pub(crate) fn kind_code(kind: ErrorKind) -> u16 {
    let found = KINDS.iter().find(|(_, it)| *it == kind);
    found.map_or(7, |(code, _)| *code)
}

/// The kind that a number stands for.
pub(crate) fn kind_of_code(code: u16) -> Option<ErrorKind> {
    let found = KINDS.iter().find(|(it, _)| *it == code);
    found.map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_replies() {
        assert_eq!(ready(0x1234), *b"\x01\x01\0\0\x34\x12\0\0");
        assert_eq!(parse_head(&ready(7)), Ok(Head::Ready { pid: 7 }));
        assert_eq!(claim(), *b"\x04\x01\0\0\0\0\0\0");
        assert_eq!(parse_head(&claim()), Ok(Head::Claim));

        let error = Error::remote(ErrorKind::ForkFailed, "no fork".into(), Some(11));
        let bytes = failed(&error);
        assert_eq!(bytes, b"\x02\x01\x05\0\x0b\0\0\0\x0b\0\0\0no fork");
        assert_eq!(failed_head(5, 11, 7), bytes[..12]);
        let (head, rest) = bytes.split_first_chunk().unwrap();
        assert_eq!(parse_head(head), Ok(Head::Failed { kind: 5, rest: 11 }));
        let back = parse_failure(5, rest).unwrap();
        assert_eq!(back.kind(), ErrorKind::ForkFailed);
        assert_eq!(
            (back.raw_os_error(), back.to_string()),
            (Some(11), "no fork".into())
        );
    }

    #[test]
    fn every_kind_survives_the_way() {
        for (_, kind) in KINDS {
            let bytes = failed(&Error::new(kind, "x"));
            let Ok(Head::Failed { kind: code, .. }) = parse_head(bytes.first_chunk().unwrap())
            else {
                panic!("not a failure")
            };
            assert_eq!(
                parse_failure(code, &bytes[HEAD_LEN..]).unwrap().kind(),
                kind
            );
        }
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let bytes = failed(&Error::new(ErrorKind::Io, "é".repeat(MAX_FAILURE)));
        assert!(bytes.len() <= HEAD_LEN + 4 + MAX_FAILURE);
        let error = parse_failure(7, &bytes[HEAD_LEN..]).unwrap();
        assert!(error.to_string().ends_with('é'));
    }

    #[test]
    fn other_bytes_are_no_reply() {
        for bytes in [
            [0; 8],
            [9, 1, 0, 0, 0, 0, 0, 0],
            [2, 1, 0, 0, 255, 255, 255, 255],
            [1, 9, 0, 0, 0, 0, 0, 0],
        ] {
            assert!(parse_head(&bytes).is_err());
        }
        assert!(parse_failure(99, &[0; 4]).is_err());
        assert!(parse_failure(1, &[0; 3]).is_err());
    }
}
