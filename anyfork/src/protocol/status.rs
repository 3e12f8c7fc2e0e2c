//! The frames in a status pipe: why a child failed, and how it exited.
//! RUNS IN: caller, template, child
//!
//! The child writes the report, and the template (or the child itself, as its last
//! act) the record. The tables are in [`protocol`](crate::protocol).

use crate::exit::{Exit, Usage};
use crate::failure::Failure;
use crate::protocol::codec::{Reader, put_counted};
use crate::protocol::{MAX_FAILURE, Malformed};

/// Number of bytes of the record of an exit.
pub(crate) const RECORD_LEN: usize = 32;

/// Number of bytes of the head of a report.
pub(crate) const HEAD_LEN: usize = 8;

/// Maximum number of bytes of a report behind its head.
const MAX_REPORT: usize = 128 * 1024;

/// Maximum number of bytes that a child and its template write into a status pipe: a
/// report, and a record each.
pub(crate) const MAX_FRAMES: usize = HEAD_LEN + MAX_REPORT + 2 * RECORD_LEN;

/// A frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// From the child: why it failed.
    Failure(Failure),
    /// From the template: how the child has exited.
    Exit(Exit),
    /// From the child, as its last act: how it is going to exit. Has no usage, because
    /// getrusage(2) may be forbidden to a child that has confined itself.
    OwnExit(Exit),
}

/// The bytes of the record that a child writes of its own exit.
pub(crate) fn encode_own_exit(code: u8) -> [u8; RECORD_LEN] {
    let mut out = encode_exit(i32::from(code) << 8, 0, 0, 0);
    out[1] = 1;
    out
}

/// The bytes of the record of an exit.
pub(crate) fn encode_exit(
    status: i32,
    user_micros: u64,
    system_micros: u64,
    peak: u64,
) -> [u8; RECORD_LEN] {
    let mut out = [0; RECORD_LEN];
    out[0] = 1;
    out[4..8].copy_from_slice(&status.to_le_bytes());
    out[8..16].copy_from_slice(&user_micros.to_le_bytes());
    out[16..24].copy_from_slice(&system_micros.to_le_bytes());
    out[24..].copy_from_slice(&peak.to_le_bytes());
    out
}

/// The bytes of a report, at most `room` of them: the backtrace is cut first.
pub(crate) fn encode_failure(failure: &Failure, room: usize) -> Vec<u8> {
    /// Number of bytes of the head, the four lengths, and an ellipsis for two cuts.
    const FIXED: usize = HEAD_LEN + 4 * 8 + 2 * ELLIPSIS.len();
    let room = room.min(MAX_REPORT).saturating_sub(FIXED);
    let location = cut(failure.location().unwrap_or_default(), room.min(1024));
    let thread = cut(failure.thread().unwrap_or_default(), room.min(64));
    let room = room.saturating_sub(location.len() + thread.len());
    let message = cut(failure.message(), room.min(MAX_FAILURE));
    let room = room.saturating_sub(message.len());
    let backtrace = cut(failure.stack(), room);

    let mut out = vec![2, u8::from(failure.is_panic()), 0, 0, 0, 0, 0, 0];
    for text in [&message, &location, &thread, &backtrace] {
        put_counted(&mut out, text.as_bytes());
    }
    let len = (out.len() - HEAD_LEN) as u32;
    out[4..HEAD_LEN].copy_from_slice(&len.to_le_bytes());
    out
}

/// Marks where text was cut off.
const ELLIPSIS: &str = "…";

fn cut(text: &str, room: usize) -> String {
    match text.len() <= room {
        true => text.to_owned(),
        false => text[..text.floor_char_boundary(room)].to_owned() + ELLIPSIS,
    }
}

/// Parses the first frame off `bytes`; `None` if the frame is not complete yet.
pub(crate) fn take(bytes: &[u8]) -> Result<Option<(Frame, &[u8])>, Malformed> {
    let mut reader = Reader(bytes);
    match bytes.first() {
        None => Ok(None),
        Some(1) if bytes.len() < RECORD_LEN => Ok(None),
        Some(1) => {
            reader.u8()?;
            let by_child = reader.u8()?;
            reader.zeros(2)?;
            let exit = Exit {
                status: reader.i32()?,
                usage: Usage::new(reader.u64()?, reader.u64()?, reader.u64()?),
                failure: None,
            };
            let frame = match by_child {
                0 => Frame::Exit(exit),
                1 => Frame::OwnExit(exit),
                _ => return Err(Malformed::Because("nobody writes such a record of an end")),
            };
            Ok(Some((frame, reader.0)))
        }
        Some(2) if bytes.len() < HEAD_LEN => Ok(None),
        Some(2) => {
            reader.u8()?;
            let panicked = reader.u8()? != 0;
            reader.zeros(2)?;
            let len = reader.u32()? as usize;
            if len > MAX_REPORT {
                return Err(Malformed::Because("a failure has an impossible length"));
            }
            if reader.0.len() < len {
                return Ok(None);
            }
            let mut report = Reader(reader.bytes(len)?);
            let mut text = || Ok(String::from_utf8_lossy(report.counted()?).into_owned());
            let failure = Failure::new(panicked, text()?, text()?, text()?, text()?);
            Ok(Some((Frame::Failure(failure), reader.0)))
        }
        Some(_) => Err(Malformed::Because("it is no record of an end")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn end(bytes: &[u8]) -> Exit {
        match take(bytes).unwrap().unwrap() {
            (Frame::Exit(exit), []) => exit,
            other => panic!("{other:?}"),
        }
    }

    fn failure(message: &str, backtrace: &str) -> Failure {
        let text = str::to_owned;
        Failure::new(
            true,
            text(message),
            text("a.rs:1:2"),
            text("t"),
            text(backtrace),
        )
    }

    #[test]
    fn golden_record() {
        let record = encode_exit(0x300, 1, 2, 3);
        let golden = b"\x01\0\0\0\0\x03\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0";
        assert_eq!(&record, golden);
        let exit = end(&record);
        assert_eq!((exit.code(), exit.usage().peak_memory), (Some(3), 3));
        assert_eq!(exit.usage().system_time, Duration::from_micros(2));
        for len in 0..record.len() {
            assert_eq!(take(&record[..len]), Ok(None));
        }
    }

    #[test]
    fn golden_own_record() {
        let record = encode_own_exit(3);
        assert_eq!(record[..8], *b"\x01\x01\0\0\0\x03\0\0");
        let Frame::OwnExit(exit) = take(&record).unwrap().unwrap().0 else {
            panic!("no record of a child's own");
        };
        assert_eq!((exit.code(), exit.usage()), (Some(3), &Usage::default()));
    }

    #[test]
    fn golden_failure() {
        let bytes = encode_failure(&failure("boom", "0: f"), 4096);
        let golden = b"\x02\x01\0\0\x31\0\0\0\x04\0\0\0\0\0\0\0boom\x08\0\0\0\0\0\0\0a.rs:1:2\
            \x01\0\0\0\0\0\0\0t\x04\0\0\0\0\0\0\x000: f";
        assert_eq!(bytes, golden);
        let both = [&bytes[..], &encode_exit(0, 0, 0, 0)].concat();
        let (frame, rest) = take(&both).unwrap().unwrap();
        assert_eq!(frame, Frame::Failure(failure("boom", "0: f")));
        assert_eq!(end(rest).code(), Some(0));
        for len in 0..bytes.len() {
            assert_eq!(take(&bytes[..len]), Ok(None));
        }
    }

    #[test]
    fn a_failure_is_cut_to_the_room_there_is() {
        let long = failure(&"é".repeat(100_000), &"x".repeat(1_000_000));
        for room in [0, 100, 200, 4096, 60_000, usize::MAX] {
            let bytes = encode_failure(&long, room);
            assert!(
                bytes.len() <= room.clamp(100, HEAD_LEN + MAX_REPORT),
                "{room}"
            );
            let (frame, rest) = take(&bytes).unwrap().unwrap();
            let Frame::Failure(failure) = frame else {
                panic!("{frame:?}")
            };
            assert!(rest.is_empty() && failure.message().ends_with(ELLIPSIS));
            assert!(failure.message().len() <= MAX_FAILURE + ELLIPSIS.len());
        }
    }

    #[test]
    fn a_real_time_signal_keeps_its_number() {
        let exit = end(&encode_exit(libc::SIGRTMIN() + 3, 0, 0, 0));
        assert_eq!(exit.signal(), Some(libc::SIGRTMIN() + 3));
    }

    #[test]
    fn other_bytes_are_no_frame() {
        assert!(take(&[0; RECORD_LEN]).is_err());
        assert!(take(&[1; RECORD_LEN]).is_err());
        assert!(take(&[2, 0, 0, 0, 255, 255, 255, 255]).is_err());
        assert!(take(&[2, 0, 0, 0, 1, 0, 0, 0, 0]).is_err());
    }
}
