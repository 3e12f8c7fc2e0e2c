//! The messages on a control socket that set how many spares a template keeps.
//! RUNS IN: caller, template, spare
//!
//! An owner sends the number, and the template sends the others away. The tables
//! are in [`protocol`](crate::protocol).

use crate::protocol::VERSION;
use crate::protocol::codec::Reader;

/// Number of bytes of a control message, and of a spare's notice.
pub(crate) const LEN: usize = 16;

/// How many spares a template keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SpareTarget {
    pub(crate) count: u32,
    /// When the owner sent it, in nanoseconds of the system's monotonic clock. The
    /// latest target counts, in whatever order the template hears of them.
    pub(crate) at: u64,
}

/// A message on a control socket that is no request. One receiver gets it: the
/// template or a spare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ControlMessage {
    /// From an owner, with a duplicate of the owner's end of the socket.
    SetSpares(SpareTarget),
    /// From the template: the spare that receives this exits.
    ExitSpare,
}

impl ControlMessage {
    /// The bytes of the message.
    pub(crate) fn encode(self) -> [u8; LEN] {
        match self {
            ControlMessage::SetSpares(SpareTarget { count, at }) => {
                pack([b'A', b'F', VERSION, 4], count, at)
            }
            ControlMessage::ExitSpare => pack([b'A', b'F', VERSION, 5], 0, 0),
        }
    }

    /// The message, if the bytes are one.
    pub(crate) fn parse(bytes: &[u8]) -> Option<ControlMessage> {
        match unpack(bytes)? {
            ([b'A', b'F', VERSION, 4], count, at) => {
                Some(ControlMessage::SetSpares(SpareTarget { count, at }))
            }
            ([b'A', b'F', VERSION, 5], 0, 0) => Some(ControlMessage::ExitSpare),
            _ => None,
        }
    }
}

/// The layout of the messages of [`LEN`] bytes.
pub(crate) fn pack(head: [u8; 4], number: u32, at: u64) -> [u8; LEN] {
    let mut out = [0; LEN];
    out[..4].copy_from_slice(&head);
    out[4..8].copy_from_slice(&number.to_le_bytes());
    out[8..].copy_from_slice(&at.to_le_bytes());
    out
}

/// The parts of a message of [`LEN`] bytes.
pub(crate) fn unpack(bytes: &[u8]) -> Option<([u8; 4], u32, u64)> {
    let mut reader = Reader(bytes);
    let parts = (reader.array().ok()?, reader.u32().ok()?, reader.u64().ok()?);
    reader.is_empty().then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_messages() {
        let target = SpareTarget {
            count: 7,
            at: 0x0102,
        };
        let set = ControlMessage::SetSpares(target);
        assert_eq!(&set.encode(), b"AF\x01\x04\x07\0\0\0\x02\x01\0\0\0\0\0\0");
        assert_eq!(ControlMessage::parse(&set.encode()), Some(set));
        let exit = ControlMessage::ExitSpare;
        assert_eq!(&exit.encode(), b"AF\x01\x05\0\0\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(ControlMessage::parse(&exit.encode()), Some(exit));
    }

    #[test]
    fn other_bytes_are_no_control_message() {
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
            assert_eq!(ControlMessage::parse(bytes), None);
        }
    }
}
