//! [`Request`]: one call, as it goes to a worker.
//! RUNS IN: caller

use std::os::fd::OwnedFd;

use crate::protocol::call::{Head, Kind, Payload, Terms};

/// Maximum length of the arguments of a request in one piece.
const MAX_PIECE: usize = 32 * 1024;

/// Maximum number of descriptors of a request in one piece.
const MAX_PIECE_FDS: usize = 200;

/// One call, as it goes to a worker.
#[derive(Debug)]
pub(crate) struct Request {
    /// Never 0, and higher than that of all calls before.
    pub(crate) number: u64,
    /// The name that the function is registered under.
    pub(crate) name: &'static str,
    pub(crate) terms: Terms,
    /// The arguments.
    pub(crate) arguments: Payload,
    /// Number of calls of which these are the arguments; `None`: one, alone.
    pub(crate) items: Option<u32>,
}

impl Request {
    /// The whole request in one piece, and its descriptors, to be sent by other means; or
    /// the request, if it is long or has many.
    pub(crate) fn into_piece(self) -> Result<(Vec<u8>, Vec<OwnedFd>), Box<Request>> {
        let it = &self.arguments;
        if !it.blobs.is_empty() || it.main.len() > MAX_PIECE || it.fds.len() > MAX_PIECE_FDS {
            return Err(Box::new(self));
        }
        let head = Head::of(
            Kind::Call(self.terms),
            self.number,
            false,
            self.name.len(),
            it,
        );
        let mut piece = Vec::new();
        head.encode(&mut piece);
        piece.extend_from_slice(self.name.as_bytes());
        piece.extend_from_slice(&it.main);
        Ok((piece, self.arguments.fds.into_vec()))
    }
}
