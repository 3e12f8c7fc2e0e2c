//! How many spares a template is to have: what its owner says, and what a spare
//! and its template say to each other. The tables are in the parent.

use super::VERSION;
use super::wire::Reader;

/// Octets of each of these messages.
pub(crate) const LEN: usize = 8;

/// A message on a control socket that is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// From an owner: so many spares. An owner's end comes with it.
    Spares(u32),
    /// From the template: the spare that gets this ends.
    Fewer,
}

/// The octets of such a message.
pub(crate) fn encode(keep: Keep) -> [u8; LEN] {
    let (tag, count) = match keep {
        Keep::Spares(count) => (4, count),
        Keep::Fewer => (5, 0),
    };
    octets([b'A', b'F', VERSION, tag], count)
}

/// The message, if it is one of these.
pub(crate) fn parse(message: &[u8]) -> Option<Keep> {
    match parts(message)? {
        ([b'A', b'F', VERSION, 4], count) => Some(Keep::Spares(count)),
        ([b'A', b'F', VERSION, 5], 0) => Some(Keep::Fewer),
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
    Spares(u32),
}

/// The octets of a notice.
pub(crate) fn notice(notice: Notice) -> [u8; LEN] {
    match notice {
        Notice::Taken { pid, kill_on_drop } => octets([1, u8::from(kill_on_drop), 0, 0], pid),
        Notice::Spares(count) => octets([2, 0, 0, 0], count),
    }
}

/// The notice, if it is one.
pub(crate) fn parse_notice(message: &[u8]) -> Option<Notice> {
    match parts(message)? {
        ([1, kill @ 0..=1, 0, 0], pid) => Some(Notice::Taken {
            pid,
            kill_on_drop: kill == 1,
        }),
        ([2, 0, 0, 0], count) => Some(Notice::Spares(count)),
        _ => None,
    }
}

fn octets(head: [u8; 4], number: u32) -> [u8; LEN] {
    let mut out = [0; LEN];
    out[..4].copy_from_slice(&head);
    out[4..].copy_from_slice(&number.to_le_bytes());
    out
}

fn parts(message: &[u8]) -> Option<([u8; 4], u32)> {
    let mut reader = Reader(message);
    let parts = (reader.array().ok()?, reader.u32().ok()?);
    reader.is_empty().then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_messages() {
        let spares = encode(Keep::Spares(7));
        assert_eq!(&spares, b"AF\x01\x04\x07\0\0\0");
        assert_eq!(parse(&spares), Some(Keep::Spares(7)));
        assert_eq!(&encode(Keep::Fewer), b"AF\x01\x05\0\0\0\0");
        assert_eq!(parse(&encode(Keep::Fewer)), Some(Keep::Fewer));

        let taken = Notice::Taken {
            pid: 0x1234,
            kill_on_drop: true,
        };
        assert_eq!(&notice(taken), b"\x01\x01\0\0\x34\x12\0\0");
        assert_eq!(parse_notice(&notice(taken)), Some(taken));
        let spares = Notice::Spares(7);
        assert_eq!(&notice(spares), b"\x02\0\0\0\x07\0\0\0");
        assert_eq!(parse_notice(&notice(spares)), Some(spares));
    }

    #[test]
    fn other_octets_are_neither() {
        for octets in [
            &b""[..],
            b"AF\x01\x04\x07\0\0",
            b"AF\x01\x04\x07\0\0\0\0",
            b"AF\x02\x04\x07\0\0\0",
            b"AF\x01\x01\0\0\0\0",
            b"AF\x01\x05\x01\0\0\0",
        ] {
            assert_eq!(parse(octets), None);
            assert_eq!(parse_notice(octets), None);
        }
    }
}
