//! The record of a child's end, in its status pipe. The table is in the parent.

use super::Malformed;
use super::wire::Reader;
use crate::exit::{Exit, Usage};

/// Octets of the record.
pub(crate) const LEN: usize = 32;

/// The octets of a record.
pub(crate) fn encode(status: i32, user_micros: u64, system_micros: u64, peak: u64) -> [u8; LEN] {
    let mut out = [0; LEN];
    out[0] = 1;
    out[4..8].copy_from_slice(&status.to_le_bytes());
    out[8..16].copy_from_slice(&user_micros.to_le_bytes());
    out[16..24].copy_from_slice(&system_micros.to_le_bytes());
    out[24..].copy_from_slice(&peak.to_le_bytes());
    out
}

/// Parses a record.
pub(crate) fn parse(record: &[u8; LEN]) -> Result<Exit, Malformed> {
    let mut reader = Reader(record);
    if reader.u8()? != 1 {
        return Err(Malformed::Because("it is no record of an end"));
    }
    reader.zeros(3)?;
    Ok(Exit {
        status: reader.i32()?,
        usage: Usage::new(reader.u64()?, reader.u64()?, reader.u64()?),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn golden_record() {
        let record = encode(0x300, 1, 2, 3);
        let golden = b"\x01\0\0\0\0\x03\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0";
        assert_eq!(&record, golden);
        let exit = parse(&record).unwrap();
        assert_eq!((exit.code(), exit.usage().peak_memory), (Some(3), 3));
        assert_eq!(exit.usage().system_time, Duration::from_micros(2));
    }

    #[test]
    fn a_real_time_signal_keeps_its_number() {
        let exit = parse(&encode(libc::SIGRTMIN() + 3, 0, 0, 0)).unwrap();
        assert_eq!(exit.signal(), Some(libc::SIGRTMIN() + 3));
    }

    #[test]
    fn other_octets_are_no_record() {
        assert!(parse(&[0; LEN]).is_err());
        assert!(parse(&[1; LEN]).is_err());
    }
}
