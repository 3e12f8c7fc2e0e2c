//! [`fingerprint`]: a digest of a function's name and signature.
//! RUNS IN: caller, child
//!
//! It travels with each call. Another build of a program, whose function of that name has
//! another signature, refuses the call and decodes nothing.

/// The digest (FNV-1a) of the function's text, and of the sizes of its types, which tell
/// most structures of the same name apart.
pub const fn fingerprint(text: &str, sizes: &[usize]) -> u64 {
    let mut digest = 0xcbf2_9ce4_8422_2325;
    let (bytes, mut at) = (text.as_bytes(), 0);
    while at < bytes.len() {
        digest = add(digest, bytes[at] as u64);
        at += 1;
    }
    at = 0;
    while at < sizes.len() {
        digest = add(digest, sizes[at] as u64);
        at += 1;
    }
    digest
}

const fn add(digest: u64, value: u64) -> u64 {
    (digest ^ value).wrapping_mul(0x0100_0000_01b3)
}
