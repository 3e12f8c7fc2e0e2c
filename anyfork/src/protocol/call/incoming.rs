//! [`Incoming`]: puts frames together from the bytes that have arrived.
//! RUNS IN: caller, child
//!
//! It receives nothing itself: whoever has the socket asks where the next bytes go, and
//! then for the frame. Memory grows with what has arrived, never with what a length
//! announces.

use std::mem;
use std::os::fd::OwnedFd;

use crate::args::message_fds::MessageFds;
use crate::protocol::Malformed;
use crate::protocol::call::{Frame, HEAD_LEN, Head, MAX_FDS, MAX_FDS_AT_ONCE, MAX_LEN, Payload};

/// Number of bytes of the buffer for heads and short frames.
const INBOX: usize = 16 * 1024;

/// Minimum number of bytes of a part that are received into the part itself.
const MIN_DIRECT: usize = 4 * 1024;

/// Number of bytes for which memory is taken when the first of a part arrive.
const FIRST_STEP: usize = 256 * 1024;

/// The frames of one connection.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// Bytes that have arrived, of which the first `taken` are in frames.
    inbox: Vec<u8>,
    taken: usize,
    /// Descriptors that no frame has yet.
    fds: MessageFds,
    /// Descriptors did not fit into this process's table.
    has_lost_fds: bool,
    partial: Option<Partial>,
    /// Maximum length of a frame's parts together.
    limit: u64,
}

/// A frame whose head and lengths have arrived.
#[derive(Debug)]
struct Partial {
    head: Head,
    main: Part,
    blobs: Vec<Part>,
    /// The number of blobs that have arrived whole.
    at: usize,
}

/// A main part, or a blob.
#[derive(Debug)]
struct Part {
    /// What has arrived.
    bytes: Vec<u8>,
    /// The whole length.
    len: usize,
}

/// Where the next bytes of a connection go.
pub(crate) struct Room<'a> {
    /// They are appended to this, which has room for at least one.
    pub(crate) bytes: &'a mut Vec<u8>,
    /// Maximum number of them.
    pub(crate) limit: usize,
    pub(crate) fds: &'a mut Vec<OwnedFd>,
}

impl Incoming {
    /// The frames of a connection, whose parts have at most `limit` bytes together.
    pub(crate) fn new(limit: u64) -> Incoming {
        Incoming {
            inbox: Vec::new(),
            taken: 0,
            fds: MessageFds::default(),
            has_lost_fds: false,
            partial: None,
            limit: limit.min(MAX_LEN),
        }
    }

    /// The same of a worker's, which nobody trusts.
    pub(crate) fn of_worker() -> Incoming {
        Incoming {
            fds: MessageFds::foreign(Vec::new()),
            ..Incoming::new(0)
        }
    }

    /// Sets the maximum length of the parts of a frame that has not begun.
    pub(crate) fn set_limit(&mut self, limit: u64) {
        self.limit = limit.min(MAX_LEN);
    }

    /// Whether a frame has begun to arrive.
    pub(crate) fn has_begun(&self) -> bool {
        self.partial.is_some() || self.taken < self.inbox.len()
    }

    /// Where the next bytes go. Only after [`frame`](Incoming::frame) has given `None`.
    pub(crate) fn room(&mut self) -> Room<'_> {
        self.inbox.drain(..self.taken);
        self.taken = 0;
        let (bytes, limit) = match self.partial.as_mut().and_then(Partial::missing) {
            Some((part, missing)) if missing >= MIN_DIRECT => {
                if part.len() == part.capacity() {
                    part.reserve_exact(missing.min(part.len().max(FIRST_STEP)));
                }
                (part, missing)
            }
            _ => {
                self.inbox.reserve_exact(INBOX - self.inbox.len());
                (&mut self.inbox, INBOX)
            }
        };
        Room {
            limit: limit.min(bytes.capacity() - bytes.len()),
            bytes,
            fds: &mut self.fds,
        }
    }

    /// Notes that descriptors did not fit into this process's table.
    pub(crate) fn lose_fds(&mut self) {
        self.has_lost_fds = true;
    }

    /// The next frame, if it has arrived whole.
    pub(crate) fn frame(&mut self) -> Result<Option<Frame>, Malformed> {
        if self.partial.is_none() {
            self.partial = self.parse_front()?;
        }
        let Some(partial) = &mut self.partial else {
            // Of a head that has not arrived whole.
            let bytes = self.inbox.len() - self.taken;
            self.check_fds(MAX_FDS.min(bytes * MAX_FDS_AT_ONCE))?;
            return Ok(None);
        };
        self.taken += partial.take_from(&self.inbox[self.taken..]);
        if partial.missing().is_some() {
            let named = partial.head.fds;
            self.check_fds(named)?;
            return Ok(None);
        }
        let head = partial.head;
        let main = mem::take(&mut partial.main.bytes);
        let blobs = mem::take(&mut partial.blobs);
        self.partial = None;
        let payload = Payload {
            main,
            blobs: blobs.into_iter().map(|blob| blob.bytes).collect(),
            fds: self.take_fds(head.fds)?,
        };
        if self.taken == self.inbox.len() {
            self.check_fds(0)?;
        }
        Ok(Some(Frame {
            head,
            payload,
            has_lost_fds: mem::take(&mut self.has_lost_fds),
        }))
    }

    /// The head and the lengths of the next frame, if they have arrived.
    fn parse_front(&mut self) -> Result<Option<Partial>, Malformed> {
        let Some((head, rest)) = self.inbox[self.taken..].split_first_chunk::<HEAD_LEN>() else {
            return Ok(None);
        };
        let head = Head::parse(head)?;
        let Some((lengths, _)) = rest.split_at_checked(8 * head.blobs) else {
            return Ok(None);
        };
        let lengths = lengths.chunks_exact(8).map(|bytes| {
            let bytes = bytes.try_into().expect("a chunk has eight bytes");
            u64::from_le_bytes(bytes)
        });
        let (main, mut sum) = (Part::new(head.main)?, head.main);
        let mut blobs = Vec::new();
        for length in lengths {
            sum = sum.saturating_add(length);
            blobs.push(Part::new(length)?);
        }
        if sum > self.limit {
            return Err(Malformed::Because("a frame is longer than its limit"));
        }
        self.taken += HEAD_LEN + 8 * head.blobs;
        Ok(Some(Partial {
            head,
            main,
            blobs,
            at: 0,
        }))
    }

    /// Refuses more descriptors than the bytes that have arrived can have brought: others
    /// would fill this process's table.
    fn check_fds(&self, limit: usize) -> Result<(), Malformed> {
        match self.fds.len() > limit {
            true => Err(Malformed::Because("more descriptors came than it names")),
            false => Ok(()),
        }
    }

    /// The next descriptors, or none if some were lost.
    fn take_fds(&mut self, count: usize) -> Result<MessageFds, Malformed> {
        if self.has_lost_fds {
            drop(self.fds.split_off(0));
            return Ok(MessageFds::default());
        }
        if self.fds.len() < count {
            return Err(Malformed::Because("fewer descriptors came than it names"));
        }
        let rest = self.fds.split_off(count);
        Ok(mem::replace(&mut self.fds, rest))
    }
}

impl Part {
    fn new(len: u64) -> Result<Part, Malformed> {
        let len = usize::try_from(len);
        Ok(Part {
            bytes: Vec::new(),
            len: len.map_err(|_| Malformed::Because("a frame announces too much"))?,
        })
    }

    fn missing(&self) -> usize {
        self.len - self.bytes.len()
    }
}

impl Partial {
    /// The part that arrives, and the number of bytes that it lacks.
    fn missing(&mut self) -> Option<(&mut Vec<u8>, usize)> {
        if self.main.missing() > 0 {
            let missing = self.main.missing();
            return Some((&mut self.main.bytes, missing));
        }
        while self.blobs.get(self.at).is_some_and(|it| it.missing() == 0) {
            self.at += 1;
        }
        let blob = self.blobs.get_mut(self.at)?;
        let missing = blob.missing();
        Some((&mut blob.bytes, missing))
    }

    /// Copies bytes of the inbox into the parts. Their number.
    fn take_from(&mut self, inbox: &[u8]) -> usize {
        let mut used = 0;
        while used < inbox.len()
            && let Some((part, missing)) = self.missing()
        {
            let len = missing.min(inbox.len() - used);
            part.extend_from_slice(&inbox[used..used + len]);
            used += len;
        }
        used
    }
}

#[cfg(test)]
mod tests;
