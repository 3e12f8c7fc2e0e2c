//! Numbers for tests that try much: the same ones from the same seed, on every machine.

/// A generator (xorshift64*).
pub struct Random(u64);

impl Random {
    /// The generator of this seed.
    pub fn new(seed: u64) -> Random {
        // Seeds that are close give numbers that are not; 0 would give only 0.
        Random((seed.wrapping_add(1)).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.any() % end as u64) as usize
    }

    /// Whether one of so many times it is so.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of them.
    pub fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// Bytes like these, with a few changes: other values, lengths that are too large, a
    /// part that is missing, twice there, or from another message.
    pub fn mutated(&mut self, bytes: &[u8], other: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        for _ in 0..=self.below(3) {
            if out.is_empty() {
                return out;
            }
            let at = self.below(out.len());
            match self.below(7) {
                0 => out[at] ^= 1 << self.below(8),
                1 => out[at] = *self.of(&[0, 1, 2, 3, 4, 5, 15, 16, 17, 0x7f, 0x80, 0xff]),
                2 => out.truncate(at),
                3 => out.extend_from_slice(&other[..self.below(other.len() + 1)]),
                4 => {
                    let end = at + self.below(out.len() - at + 1);
                    let part = out[at..end].to_vec();
                    out.splice(at..at, part);
                }
                5 => {
                    let end = out.len().min(at + 8);
                    let number = *self.of(&[u64::MAX, 1 << 63, 1 << 32, 1 << 31, 65536, 255]);
                    out[at..end].copy_from_slice(&number.to_le_bytes()[..end - at]);
                }
                _ => {
                    let end = at + self.below(out.len() - at + 1);
                    out.drain(at..end);
                }
            }
        }
        out
    }
}
