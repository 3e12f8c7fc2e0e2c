//! [`Texts`]: many texts in one piece of memory, as the kernel takes them.
//! RUNS IN: caller, template, child

use std::fmt;

/// Texts, each with a NUL behind it, so that none needs memory of its own: an
/// environment, for example.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Texts(Vec<u8>);

impl Texts {
    /// Texts with room for so many bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Texts {
        Texts(Vec::with_capacity(bytes))
    }

    /// The texts that these bytes are; `None` if the last one has no NUL behind it.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Texts> {
        matches!(bytes.last(), None | Some(0)).then(|| Texts(bytes.to_owned()))
    }

    /// Appends a text, whose parts have no NUL in them.
    pub(crate) fn push(&mut self, parts: &[&[u8]]) {
        parts.iter().for_each(|part| self.0.extend_from_slice(part));
        self.0.push(0);
    }

    /// All texts with their NULs.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// All texts with their NULs, in memory that the caller owns.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// The texts, without the NULs.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let texts = self.0.split_inclusive(|byte| *byte == 0);
        texts.map(|text| &text[..text.len() - 1])
    }
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = self.iter().map(String::from_utf8_lossy);
        f.debug_list().entries(texts).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_in_order() {
        let mut texts = Texts::with_capacity(8);
        texts.push(&[b"A", b"=", b"1"]);
        texts.push(&[]);
        texts.push(&[b"\xff"]);
        assert_eq!(texts.as_bytes(), b"A=1\0\0\xff\0");
        assert!(texts.iter().eq([&b"A=1"[..], b"", b"\xff"]));
        assert_eq!(Texts::from_bytes(texts.as_bytes()), Some(texts.clone()));
        assert_eq!(Texts::from_bytes(b""), Some(Texts::default()));
        assert_eq!(Texts::from_bytes(b"A=1"), None);
        assert_eq!(Texts::default().iter().count(), 0);
    }
}
