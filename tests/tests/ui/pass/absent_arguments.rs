//! Arguments that are left out never shift those that are given.
#![deny(warnings)]

use std::os::fd::OwnedFd;

use anyfork::{Args, ErrorKind, Process, args};

#[anyfork::worker]
fn sum(
    _socket: OwnedFd,
    a: u8,
    b: Option<u8>,
    c: Option<u8>,
    rest: Args,
) -> std::process::ExitCode {
    let rest = u8::try_from(rest.len()).expect("few");
    (a + b.unwrap_or(10) + c.unwrap_or(20) + rest).into()
}

#[anyfork::early]
fn main() -> anyfork::Result<()> {
    for (b, c, rest, code) in [
        (None, None, args![], 31),
        (Some(2), None, args![], 23),
        (Some(2), Some(3), args![], 6),
        (Some(2), Some(3), args!["x", "y"], 8),
    ] {
        let mut worker = sum::run(Process::new()?, 1, b, c, rest).blocking()?;
        assert_eq!(worker.wait()?.code(), Some(code));
    }
    for (b, c, rest, missing) in [
        (None, Some(3), args![], "`c` without `b`"),
        (Some(2), None, args!["x"], "`rest` without `c`"),
        (None, None, args!["x"], "`rest` without `c`"),
    ] {
        let error = sum::run(Process::new()?, 1, b, c, rest)
            .blocking()
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadArgument);
        assert!(error.to_string().contains(missing), "{error}");
    }
    Ok(())
}
