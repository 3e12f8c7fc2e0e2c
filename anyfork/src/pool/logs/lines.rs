//! [`Lines`]: bytes become lines, pure.
//! RUNS IN: caller

use std::mem;

/// Maximum length of a line. A longer one is told in pieces.
pub(crate) const MAXIMUM_LINE: usize = 64 * 1024;

/// The beginning of a line that has not ended.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// Takes bytes in, and gives each line without its end, and whether it goes on.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut give: impl FnMut(Vec<u8>, bool)) {
        while !bytes.is_empty() {
            let room = MAXIMUM_LINE - self.begun.len();
            let seen = &bytes[..bytes.len().min(room + 1)];
            match seen.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    self.begun.extend_from_slice(&bytes[..end]);
                    bytes = &bytes[end + 1..];
                    give(mem::take(&mut self.begun), false);
                }
                None if bytes.len() > room => {
                    self.begun.extend_from_slice(&bytes[..room]);
                    bytes = &bytes[room..];
                    give(mem::take(&mut self.begun), true);
                }
                None => {
                    self.begun.extend_from_slice(bytes);
                    return;
                }
            }
        }
    }

    /// Gives a line that has no end.
    pub(crate) fn finish(&mut self, mut give: impl FnMut(Vec<u8>, bool)) {
        if !self.begun.is_empty() {
            give(mem::take(&mut self.begun), false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of what comes in these pieces, and whether each goes on.
    fn lines<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<(Vec<u8>, bool)> {
        let (mut lines, mut all) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.push(piece, |line, goes_on| all.push((line, goes_on)));
        }
        lines.finish(|line, goes_on| all.push((line, goes_on)));
        all
    }

    #[test]
    fn lines_are_the_same_however_they_come() {
        let text = b"one\n\n\xfftwo\r\nlast";
        let expected = [&b"one"[..], b"", b"\xfftwo\r", b"last"].map(|it| (it.to_vec(), false));
        for len in 1..=text.len() {
            assert_eq!(lines(text.chunks(len)), expected);
        }
        assert!(lines([]).is_empty());
    }

    #[test]
    fn a_long_line_comes_in_pieces() {
        for (len, expected) in [
            (MAXIMUM_LINE, vec![(MAXIMUM_LINE, false)]),
            (MAXIMUM_LINE + 1, vec![(MAXIMUM_LINE, true), (1, false)]),
            (
                2 * MAXIMUM_LINE + 7,
                vec![(MAXIMUM_LINE, true), (MAXIMUM_LINE, true), (7, false)],
            ),
        ] {
            for end in [&b""[..], b"\n"] {
                let text = [&vec![b'x'; len][..], end].concat();
                for by in [1000, MAXIMUM_LINE, text.len()] {
                    let all = lines(text.chunks(by));
                    let lens: Vec<_> = all.iter().map(|it| (it.0.len(), it.1)).collect();
                    assert_eq!(lens, expected);
                }
            }
        }
    }
}
