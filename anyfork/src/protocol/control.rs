//! How many spares a template is to have: what its owner says, and what a spare
//! and its template say to each other. The tables are in the parent.

use crate::protocol::VERSION;
use crate::protocol::codec::Reader;

/// Bytes of each of these messages.
pub(crate) const LEN: usize = 16;

/// So many spares are to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) count: u32,
    /// When it was said, in nanoseconds of the system's monotonic clock: the
    /// latest counts, whoever is the first to hear of it.
    pub(crate) at: u64,
}

/// A message on a control socket that is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// From an owner. An owner's end comes with it.
    Spares(Wanted),
    /// From the template: the spare that gets this ends.
    Fewer,
}

/// The bytes of such a message.
pub(crate) fn encode(keep: Keep) -> [u8; LEN] {
    match keep {
        Keep::Spares(wanted) => bytes([b'A', b'F', VERSION, 4], wanted.count, wanted.at),
        Keep::Fewer => bytes([b'A', b'F', VERSION, 5], 0, 0),
    }
}

/// The message, if it is one of these.
pub(crate) fn parse(message: &[u8]) -> Option<Keep> {
    match parts(message)? {
        ([b'A', b'F', VERSION, 4], count, at) => Some(Keep::Spares(Wanted { count, at })),
        ([b'A', b'F', VERSION, 5], 0, 0) => Some(Keep::Fewer),
        _ => None,
    }
}

/// What a spare says to its template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The spare of this pid has taken a request, and is a child like others now.
    /// The status pipe comes with it.
    Taken { pid: u32, kill_on_drop: bool },
    /// It was told that the number of spares is to change. An owner's end comes
    /// with it.
    Spares(Wanted),
}

/// The bytes of a notice.
pub(crate) fn notice(notice: Notice) -> [u8; LEN] {
    match notice {
        Notice::Taken { pid, kill_on_drop } => bytes([1, kill_on_drop.into(), 0, 0], pid, 0),
        Notice::Spares(wanted) => bytes([2, 0, 0, 0], wanted.count, wanted.at),
    }
}

/// The notice, if it is one.
pub(crate) fn parse_notice(message: &[u8]) -> Option<Notice> {
    match parts(message)? {
        ([1, kill @ 0..=1, 0, 0], pid, 0) => Some(Notice::Taken {
            pid,
            kill_on_drop: kill == 1,
        }),
        ([2, 0, 0, 0], count, at) => Some(Notice::Spares(Wanted { count, at })),
        _ => None,
    }
}

fn bytes(head: [u8; 4], number: u32, at: u64) -> [u8; LEN] {
    let mut out = [0; LEN];
    out[..4].copy_from_slice(&head);
    out[4..8].copy_from_slice(&number.to_le_bytes());
    out[8..].copy_from_slice(&at.to_le_bytes());
    out
}

fn parts(message: &[u8]) -> Option<([u8; 4], u32, u64)> {
    let mut reader = Reader(message);
    let parts = (reader.array().ok()?, reader.u32().ok()?, reader.u64().ok()?);
    reader.is_empty().then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_messages() {
        let wanted = Wanted {
            count: 7,
            at: 0x0102,
        };
        let spares = encode(Keep::Spares(wanted));
        assert_eq!(&spares, b"AF\x01\x04\x07\0\0\0\x02\x01\0\0\0\0\0\0");
        assert_eq!(parse(&spares), Some(Keep::Spares(wanted)));
        let fewer = b"AF\x01\x05\0\0\0\0\0\0\0\0\0\0\0\0";
        assert_eq!(&encode(Keep::Fewer), fewer);
        assert_eq!(parse(&encode(Keep::Fewer)), Some(Keep::Fewer));

        let taken = Notice::Taken {
            pid: 0x1234,
            kill_on_drop: true,
        };
        let bytes = b"\x01\x01\0\0\x34\x12\0\0\0\0\0\0\0\0\0\0";
        assert_eq!(&notice(taken), bytes);
        assert_eq!(parse_notice(&notice(taken)), Some(taken));
        let spares = Notice::Spares(wanted);
        let bytes = b"\x02\0\0\0\x07\0\0\0\x02\x01\0\0\0\0\0\0";
        assert_eq!(&notice(spares), bytes);
        assert_eq!(parse_notice(&notice(spares)), Some(spares));
    }

    #[test]
    fn other_octets_are_neither() {
        for bytes in [
            &b""[..],
            b"AF\x01\x04\x07\0\0\0",
            b"AF\x01\x04\x07\0\0\0\0\0\0\0\0\0\0",
            b"AF\x01\x04\x07\0\0\0\0\0\0\0\0\0\0\0\0",
            b"AF\x02\x04\x07\0\0\0\0\0\0\0\0\0\0\0",
            b"AF\x01\x01\0\0\0\0\0\0\0\0\0\0\0\0",
            b"AF\x01\x05\x01\0\0\0\0\0\0\0\0\0\0\0",
            b"AF\x01\x05\0\0\0\0\x01\0\0\0\0\0\0\0",
        ] {
            assert_eq!(parse(bytes), None);
            assert_eq!(parse_notice(bytes), None);
        }
    }
}
