//! [`Outgoing`]: a frame on its way out, and how much of it is sent.
//! RUNS IN: caller, child
//!
//! It sends nothing itself: whoever has the socket asks for the next piece, and says how
//! much of that the kernel took.

use std::os::fd::OwnedFd;

use crate::protocol::call::{HEAD_LEN, Head, Kind, MAX_FDS_AT_ONCE, Payload};

/// Maximum length of a main part that is sent in one piece with its head, for which it is
/// copied.
const MAX_JOINED: usize = 16 * 1024;

/// A frame, and how much of it is sent.
#[derive(Debug)]
pub(crate) struct Outgoing {
    head: Head,
    /// The head, the lengths of the blobs, the name, and a short main part.
    front: Vec<u8>,
    payload: Payload,
    /// The piece that is being sent: the front, the main part, the blobs.
    piece: usize,
    /// Number of its bytes that are sent.
    offset: usize,
    /// Number of descriptors that are sent.
    fds_sent: usize,
}

impl Outgoing {
    /// The frame of a request, or of an answer, which has no name.
    pub(crate) fn new(kind: Kind, number: u64, retires: bool, name: &str, it: Payload) -> Outgoing {
        Outgoing::in_room(Vec::new(), kind, number, retires, name, it)
    }

    /// As [`new`](Outgoing::new), in memory of a frame before, which has
    /// [given it back](Outgoing::take_room).
    pub(crate) fn in_room(
        room: Vec<u8>,
        kind: Kind,
        number: u64,
        retires: bool,
        name: &str,
        it: Payload,
    ) -> Outgoing {
        let head = Head::of(kind, number, retires, name.len(), &it);
        let joined = if it.main.len() <= MAX_JOINED {
            &it.main[..]
        } else {
            &[]
        };
        let len = HEAD_LEN + 8 * it.blobs.len() + name.len() + joined.len();
        let mut front = room;
        front.clear();
        front.reserve_exact(len);
        head.encode(&mut front);
        for blob in &it.blobs {
            front.extend((blob.len() as u64).to_le_bytes());
        }
        front.extend_from_slice(name.as_bytes());
        front.extend_from_slice(joined);
        Outgoing {
            head,
            front,
            payload: it,
            piece: 0,
            offset: 0,
            fds_sent: 0,
        }
    }

    /// The head of the frame.
    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    /// The bytes to send next, and the descriptors that go with them. `None`: all is sent.
    pub(crate) fn next(&self) -> Option<(&[u8], &[OwnedFd])> {
        let rest = &self.bytes(self.piece)?[self.offset..];
        let fds = &self.payload.fds[self.fds_sent..];
        Some(match fds.len() > MAX_FDS_AT_ONCE {
            true => (&rest[..1], &fds[..MAX_FDS_AT_ONCE]),
            false => (rest, fds),
        })
    }

    /// Notes that the kernel took so many bytes of [`next`](Outgoing::next), and with them
    /// the descriptors.
    pub(crate) fn sent(&mut self, bytes: usize) {
        let fds = self.next().map_or(0, |(_, fds)| fds.len());
        self.fds_sent += fds;
        self.offset += bytes;
        while self
            .bytes(self.piece)
            .is_some_and(|piece| piece.len() == self.offset)
        {
            self.piece += 1;
            self.offset = 0;
        }
    }

    /// Whether any byte is sent.
    pub(crate) fn has_begun(&self) -> bool {
        self.piece > 0 || self.offset > 0
    }

    /// Whether the frame of this is one piece, and short.
    pub(crate) fn is_short(it: &Payload) -> bool {
        it.fds.is_empty() && it.blobs.is_empty() && it.main.len() <= MAX_JOINED
    }

    /// What the frame carries.
    pub(crate) fn payload(&self) -> &Payload {
        &self.payload
    }

    /// Takes the frame's bytes, if they are all of it and short.
    #[cfg(feature = "tokio")]
    pub(crate) fn take_short(&mut self) -> Option<Vec<u8>> {
        let is_short = Outgoing::is_short(&self.payload) && !self.has_begun();
        is_short.then(|| std::mem::take(&mut self.front))
    }

    /// What the frame carries, of which nothing is sent again.
    pub(crate) fn into_payload(self) -> Payload {
        self.payload
    }

    /// The memory of its front, for the next frame. Nothing is sent of this one any more.
    pub(crate) fn take_room(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.front)
    }

    /// Closes the descriptors. The number of those that were there.
    pub(crate) fn close_fds(&mut self) -> usize {
        std::mem::take(&mut self.payload.fds).len()
    }

    fn bytes(&self, piece: usize) -> Option<&[u8]> {
        match piece {
            0 => Some(&self.front),
            1 if self.payload.main.len() > MAX_JOINED => Some(&self.payload.main),
            1 => Some(&[]),
            piece => self.payload.blobs.get(piece - 2).map(Vec::as_slice),
        }
    }
}
