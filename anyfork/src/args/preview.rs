//! [`Preview`]: the beginning of an argument, for a message about it.
//! RUNS IN: child
//!
//! Taken before the conversion consumes the argument, without allocating: most
//! conversions succeed.

use std::fmt;

use crate::args::value::{Arg, ArgError};
use crate::error::{Error, ErrorKind};

/// What an argument looks like.
pub(crate) enum Preview {
    Bytes {
        head: [u8; MAX_PREVIEW],
        shown: usize,
        len: usize,
    },
    Fd,
}

/// Maximum number of bytes of a refused argument in a message.
const MAX_PREVIEW: usize = 48;

impl Preview {
    pub(crate) fn of(arg: &Arg) -> Preview {
        match arg {
            Arg::Bytes(bytes) => {
                let shown = bytes.len().min(MAX_PREVIEW);
                let mut head = [0; MAX_PREVIEW];
                head[..shown].copy_from_slice(&bytes[..shown]);
                Preview::Bytes {
                    head,
                    shown,
                    len: bytes.len(),
                }
            }
            Arg::Fd(_) => Preview::Fd,
        }
    }

    /// The error for `what` (a parameter), which could not be made from this
    /// argument.
    pub(crate) fn refused(&self, what: fmt::Arguments<'_>, reason: &ArgError) -> Error {
        let message = format!("{what} cannot be made from {self}: {reason}");
        Error::new(ErrorKind::BadArgument, message)
    }
}

impl fmt::Display for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Preview::Fd => f.write_str("a descriptor"),
            Preview::Bytes { head, shown, len } => {
                let more = if len > shown { "…" } else { "" };
                write!(
                    f,
                    "\"{}\"{more} ({len} bytes)",
                    head[..*shown].escape_ascii()
                )
            }
        }
    }
}
