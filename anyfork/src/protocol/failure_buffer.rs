//! [`FailureBuffer`]: the frame of a failure, made without an allocation.
//! RUNS IN: template, child
//!
//! The same bytes as [`status`](crate::protocol::status) has, in memory that is there.

use std::fmt::{self, Display, Write};

use crate::protocol::status::HEAD_LEN;

/// A buffer for one frame.
pub(crate) struct FailureBuffer<const N: usize> {
    bytes: [u8; N],
    /// Number of bytes of the frame; 0 for none.
    len: usize,
    /// Where the length of the last text is, the stack's.
    stack: usize,
}

impl<const N: usize> FailureBuffer<N> {
    pub(crate) const EMPTY: FailureBuffer<N> = FailureBuffer {
        bytes: [0; N],
        len: 0,
        stack: 0,
    };

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes the frame. Texts that are too long are cut.
    pub(crate) fn fill(
        &mut self,
        has_panicked: bool,
        message: &str,
        location: &dyn Display,
        thread: &str,
        write_stack: impl FnOnce(&mut dyn Write) -> fmt::Result,
    ) {
        self.bytes[..HEAD_LEN].fill(0);
        self.bytes[0] = 2;
        self.bytes[1] = u8::from(has_panicked);
        self.len = HEAD_LEN;
        self.put(N / 4, |out| out.write_str(message));
        self.put(1024, |out| write!(out, "{location}"));
        self.put(64, |out| out.write_str(thread));
        self.stack = self.len;
        self.put(N, write_stack);
        self.set_len();
    }

    /// The frame, in so much room as far as the stack can be cut for it.
    pub(crate) fn bytes(&mut self, room: usize) -> &[u8] {
        if self.len > room {
            self.len = room.max(self.stack + 8);
            let len = (self.len - self.stack - 8) as u64;
            self.bytes[self.stack..self.stack + 8].copy_from_slice(&len.to_le_bytes());
            self.set_len();
        }
        &self.bytes[..self.len]
    }

    fn set_len(&mut self) {
        let len = (self.len - HEAD_LEN) as u32;
        self.bytes[4..HEAD_LEN].copy_from_slice(&len.to_le_bytes());
    }

    /// Appends a text of at most `max` bytes behind its length.
    fn put(&mut self, max: usize, write: impl FnOnce(&mut dyn Write) -> fmt::Result) {
        let start = self.len + 8;
        let end = N.min(start.saturating_add(max));
        let mut text = Text {
            bytes: &mut self.bytes[start..end],
            len: 0,
        };
        // A text that has no room is cut.
        let _ = write(&mut text);
        let len = text.len;
        self.bytes[self.len..start].copy_from_slice(&(len as u64).to_le_bytes());
        self.len = start + len;
    }
}

/// A text that is cut where its room ends.
struct Text<'a> {
    bytes: &'a mut [u8],
    len: usize,
}

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.len() - self.len;
        let fits = text.floor_char_boundary(room);
        self.bytes[self.len..self.len + fits].copy_from_slice(&text.as_bytes()[..fits]);
        self.len += fits;
        match fits == text.len() {
            true => Ok(()),
            false => Err(fmt::Error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;
    use crate::protocol::status::{Frame, encode_failure, take};

    fn filled(message: &str, stack: &str) -> FailureBuffer<4096> {
        let mut buffer = FailureBuffer::EMPTY;
        buffer.fill(true, message, &"a.rs:1:2", "t", |out| out.write_str(stack));
        buffer
    }

    #[test]
    fn it_has_the_bytes_of_a_failure() {
        let text = str::to_owned;
        let failure = Failure::new(
            true,
            text("boom"),
            text("a.rs:1:2"),
            text("t"),
            text("0: f"),
        );
        let bytes = encode_failure(&failure, 4096);
        assert_eq!(filled("boom", "0: f").bytes(4096), bytes);
        let cut = filled("boom", "0: f\n1: g").bytes(bytes.len()).to_vec();
        assert_eq!(cut, bytes);
    }

    #[test]
    fn what_is_too_long_is_cut() {
        for room in [0, 100, 2000, 4096] {
            let mut buffer = filled(&"é".repeat(10_000), &"x".repeat(10_000));
            let bytes = buffer.bytes(room);
            assert!(bytes.len() <= room.max(1200), "{room}");
            let Ok(Some((Frame::Failure(failure), []))) = take(bytes) else {
                panic!("{room}")
            };
            assert_eq!(failure.message(), "é".repeat(512));
        }
    }
}
