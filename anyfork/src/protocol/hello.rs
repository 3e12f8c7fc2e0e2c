//! The first message that a process finds which is exec'ed as a template.
//! RUNS IN: caller, program before main
//!
//! The table is in [`protocol`](crate::protocol).

use crate::protocol::{Malformed, VERSION};

/// The environment variable that holds the number of the control socket.
pub(crate) const VARIABLE: &str = "ANYFORK_TEMPLATE";

/// Number of bytes of the message.
pub(crate) const LEN: usize = 4;

/// The bytes of the message.
pub(crate) const MESSAGE: [u8; LEN] = [b'A', b'F', VERSION, 0];

/// Checks a message.
pub(crate) fn parse(message: &[u8]) -> Result<(), Malformed> {
    match message {
        [b'A', b'F', VERSION, 0] => Ok(()),
        [b'A', b'F', version, 0] => Err(Malformed::Version(*version)),
        _ => Err(Malformed::Because("it does not begin with a greeting")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_version_is_understood() {
        assert_eq!(MESSAGE, *b"AF\x01\0");
        assert_eq!(parse(&MESSAGE), Ok(()));
        assert_eq!(parse(b"AF\x02\0"), Err(Malformed::Version(2)));
        assert!(parse(b"").is_err());
    }
}
