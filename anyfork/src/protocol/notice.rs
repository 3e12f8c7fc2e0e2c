//! What a keeper says to its template: a child is the template's own again. The
//! table is in the parent.

use crate::protocol::codec::Reader;

/// Bytes of such a message.
pub(crate) const LEN: usize = 8;

/// A child that a keeper gives back. The status pipe comes with it, if there is
/// one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Returned {
    pub(crate) pid: u32,
    pub(crate) kill_on_drop: bool,
}

/// The bytes of such a message.
pub(crate) fn encode(returned: Returned) -> [u8; LEN] {
    let mut out = [0; LEN];
    out[0] = returned.kill_on_drop.into();
    out[4..].copy_from_slice(&returned.pid.to_le_bytes());
    out
}

/// The message, if it is one.
pub(crate) fn parse(message: &[u8]) -> Option<Returned> {
    let mut reader = Reader(message);
    let (head, pid) = (reader.array().ok()?, reader.u32().ok()?);
    match head {
        [kill @ 0..=1, 0, 0, 0] if reader.is_empty() => Some(Returned {
            pid,
            kill_on_drop: kill == 1,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_messages() {
        for (kill_on_drop, bytes) in [
            (false, b"\0\0\0\0\x34\x12\0\0"),
            (true, b"\x01\0\0\0\x34\x12\0\0"),
        ] {
            let returned = Returned {
                pid: 0x1234,
                kill_on_drop,
            };
            assert_eq!(&encode(returned), bytes);
            assert_eq!(parse(bytes), Some(returned));
        }
    }

    #[test]
    fn other_octets_are_none() {
        for bytes in [
            &b""[..],
            b"\0\0\0\0\x34\x12\0",
            b"\0\0\0\0\x34\x12\0\0\0",
            b"\x02\0\0\0\x34\x12\0\0",
            b"\0\x01\0\0\x34\x12\0\0",
        ] {
            assert_eq!(parse(bytes), None);
        }
    }
}
