//! [`Frames`]: bytes become frames of a worker's spans and events, pure.
//! RUNS IN: caller

use std::mem;

use crate::protocol::trace::MAXIMUM_FRAME;

/// The beginning of a frame of which the rest has not come.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    begun: Vec<u8>,
    /// A length made no sense: nothing is where it should be from there on.
    is_lost: bool,
}

impl Frames {
    /// Takes bytes in, and gives each frame, without its length.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut give: impl FnMut(Vec<u8>)) {
        while !bytes.is_empty() && !self.is_lost {
            let wanted = match self.begun.first_chunk() {
                None => 4,
                Some(len) => 4 + u32::from_le_bytes(*len) as usize,
            };
            let (part, rest) = bytes.split_at(bytes.len().min(wanted - self.begun.len()));
            self.begun.extend_from_slice(part);
            bytes = rest;
            let Some(len) = self.begun.first_chunk() else {
                return;
            };
            let len = u32::from_le_bytes(*len) as usize;
            if len > MAXIMUM_FRAME {
                self.is_lost = true;
                self.begun = Vec::new();
            } else if self.begun.len() == 4 + len {
                give(mem::take(&mut self.begun).split_off(4));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
        let (mut frames, mut all) = (Frames::default(), Vec::new());
        for piece in pieces {
            frames.push(piece, |frame| all.push(frame));
        }
        all
    }

    #[test]
    fn frames_are_the_same_however_they_come() {
        let bytes = [&[3, 0, 0, 0][..], b"one", &[0; 4], &[2, 0, 0, 0], b"ab"].concat();
        for len in 1..=bytes.len() {
            assert_eq!(frames(bytes.chunks(len)), [&b"one"[..], b"", b"ab"]);
        }
    }

    #[test]
    fn after_nonsense_nothing_comes() {
        let bytes = [&[1, 0, 0, 0][..], b"x", &[0xff; 4], &[1, 0, 0, 0], b"y"].concat();
        for len in 1..=bytes.len() {
            assert_eq!(frames(bytes.chunks(len)), [b"x"]);
        }
        let mut lost = Frames::default();
        lost.push(&[0xff; 5000], |_| {});
        assert!(lost.begun.is_empty(), "nor is it kept");
    }
}
