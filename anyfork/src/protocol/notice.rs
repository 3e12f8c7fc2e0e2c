//! What spares and monitors report to their template.
//! RUNS IN: template, spare, monitor
//!
//! Both do so over a socket of their own.
//! The tables are in [`protocol`](crate::protocol).

use crate::protocol::codec::Reader;
use crate::protocol::control::{self, SpareTarget, pack, unpack};

/// What a spare reports to its template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpareNotice {
    /// The spare of this pid has taken a request, and is a child like others now.
    /// The child's status pipe comes with the notice.
    Taken { pid: u32, kill_on_drop: bool },
    /// The spare has received a new target in place of the template. The owner's end
    /// of the control socket comes with the notice.
    SetSpares(SpareTarget),
}

impl SpareNotice {
    /// Number of bytes of the notice.
    pub(crate) const LEN: usize = control::LEN;

    /// The bytes of the notice.
    pub(crate) fn encode(self) -> [u8; SpareNotice::LEN] {
        match self {
            SpareNotice::Taken { pid, kill_on_drop } => {
                pack([1, kill_on_drop.into(), 0, 0], pid, 0)
            }
            SpareNotice::SetSpares(SpareTarget { count, at }) => pack([2, 0, 0, 0], count, at),
        }
    }

    /// The notice, if the bytes are one.
    pub(crate) fn parse(bytes: &[u8]) -> Option<SpareNotice> {
        match unpack(bytes)? {
            ([1, kill @ 0..=1, 0, 0], pid, 0) => Some(SpareNotice::Taken {
                pid,
                kill_on_drop: kill == 1,
            }),
            ([2, 0, 0, 0], count, at) => Some(SpareNotice::SetSpares(SpareTarget { count, at })),
            _ => None,
        }
    }
}

/// A child that a monitor returns to its template. The child's status pipe comes
/// with it, unless the monitor has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Returned {
    pub(crate) pid: u32,
    pub(crate) kill_on_drop: bool,
}

impl Returned {
    /// Number of bytes of the message.
    pub(crate) const LEN: usize = 8;

    /// The bytes of the message.
    pub(crate) fn encode(self) -> [u8; Returned::LEN] {
        let mut out = [0; Returned::LEN];
        out[0] = self.kill_on_drop.into();
        out[4..].copy_from_slice(&self.pid.to_le_bytes());
        out
    }

    /// The message, if the bytes are one.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Returned> {
        let mut reader = Reader(bytes);
        let (head, pid) = (reader.array().ok()?, reader.u32().ok()?);
        match head {
            [kill @ 0..=1, 0, 0, 0] if reader.is_empty() => Some(Returned {
                pid,
                kill_on_drop: kill == 1,
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_spare_notices() {
        let taken = SpareNotice::Taken {
            pid: 0x1234,
            kill_on_drop: true,
        };
        let golden = b"\x01\x01\0\0\x34\x12\0\0\0\0\0\0\0\0\0\0";
        assert_eq!(&taken.encode(), golden);
        assert_eq!(SpareNotice::parse(golden), Some(taken));
        let set = SpareNotice::SetSpares(SpareTarget {
            count: 7,
            at: 0x0102,
        });
        let golden = b"\x02\0\0\0\x07\0\0\0\x02\x01\0\0\0\0\0\0";
        assert_eq!(&set.encode(), golden);
        assert_eq!(SpareNotice::parse(golden), Some(set));
    }

    #[test]
    fn golden_returned() {
        for (kill_on_drop, golden) in [
            (false, b"\0\0\0\0\x34\x12\0\0"),
            (true, b"\x01\0\0\0\x34\x12\0\0"),
        ] {
            let returned = Returned {
                pid: 0x1234,
                kill_on_drop,
            };
            assert_eq!(&returned.encode(), golden);
            assert_eq!(Returned::parse(golden), Some(returned));
        }
    }

    #[test]
    fn other_bytes_are_no_spare_notice() {
        for bytes in [
            &b""[..],
            b"\x01\x01\0\0\x34\x12\0\0",
            b"\x02\0\0\0\x07\0\0\0\x02\x01\0\0\0\0\0",
            b"\x02\0\0\0\x07\0\0\0\x02\x01\0\0\0\0\0\0\0",
            b"\x01\x02\0\0\x34\x12\0\0\0\0\0\0\0\0\0\0",
            b"\x01\x01\0\0\x34\x12\0\0\x01\0\0\0\0\0\0\0",
            b"\x03\0\0\0\x34\x12\0\0\0\0\0\0\0\0\0\0",
            b"AF\x01\x04\x07\0\0\0\0\0\0\0\0\0\0\0",
        ] {
            assert_eq!(SpareNotice::parse(bytes), None);
        }
    }

    #[test]
    fn other_bytes_are_no_returned_child() {
        for bytes in [
            &b""[..],
            b"\0\0\0\0\x34\x12\0",
            b"\0\0\0\0\x34\x12\0\0\0",
            b"\x02\0\0\0\x34\x12\0\0",
            b"\0\x01\0\0\x34\x12\0\0",
        ] {
            assert_eq!(Returned::parse(bytes), None);
        }
    }
}
