//! [`Fingerprint`]: a digest of a function's name and signature.
//! RUNS IN: caller, child
//!
//! It travels with each call. Another build of a program, whose function of that name has
//! another signature, refuses the call and decodes nothing.

use std::any::type_name;
use std::sync::atomic::{AtomicU64, Ordering};

/// The digest (FNV-1a) of a function's name, and of its parameters' and its result's names,
/// types and sizes. Sizes tell most structures of the same name apart.
///
/// It is of the types that the compiler sees, so that an alias for another type is another
/// signature; and without the paths of their modules, which differ between programs that
/// have one file in common.
#[derive(Debug)]
pub struct Fingerprint(AtomicU64);

/// Name and size of a type.
type Part = fn() -> (&'static str, usize);

impl Fingerprint {
    /// None yet.
    #[allow(clippy::new_without_default, reason = "the attribute's code calls it")]
    pub const fn new() -> Fingerprint {
        Fingerprint(AtomicU64::new(0))
    }

    /// A type.
    pub fn part<T>() -> (&'static str, usize) {
        (type_name::<T>(), size_of::<T>())
    }

    /// The digest, which is made once.
    pub fn get(&self, name: &str, parameters: &[&str], types: &[Part]) -> u64 {
        match self.0.load(Ordering::Relaxed) {
            0 => {
                let digest = digest(name, parameters, types);
                self.0.store(digest, Ordering::Relaxed);
                digest
            }
            digest => digest,
        }
    }
}

fn digest(name: &str, parameters: &[&str], types: &[Part]) -> u64 {
    let mut digest = 0xcbf2_9ce4_8422_2325;
    let mut add = |text: &str| {
        // Between two texts, a byte that is in neither.
        for byte in text.bytes().chain([0xff]) {
            digest = (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    add(name);
    parameters.iter().for_each(|name| add(name));
    for part in types {
        let (ty, size) = part();
        add(&without_paths(ty));
        add(&size.to_string());
    }
    digest
}

/// The name of a type without the paths of modules: `Option<Order>` of
/// `core::option::Option<app::Order>`.
fn without_paths(ty: &str) -> String {
    let mut text = String::new();
    let mut rest = ty;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let len = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        match rest[len..].strip_prefix("::") {
            Some(behind) if len > 0 => rest = behind,
            _ => {
                let len = len.max(first.len_utf8());
                text.push_str(&rest[..len]);
                rest = &rest[len..];
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_left_out() {
        for (name, short) in [
            ("core::option::Option<a::b::C>", "Option<C>"),
            ("(u8, alloc::vec::Vec<[std::é::F; 3]>)", "(u8, Vec<[F; 3]>)"),
            ("()", "()"),
            ("dyn core::fmt::Debug + Send", "dyn Debug + Send"),
            ("a::b<c>::d", "b<c>::d"),
        ] {
            assert_eq!(without_paths(name), short);
        }
    }

    #[test]
    fn each_part_counts() {
        type Id = u32;
        let of = |name, parameters: &[&str], types: &[Part]| {
            Fingerprint::new().get(name, parameters, types)
        };
        let part = Fingerprint::part::<u32>;
        let all = of("f", &["a", "b"], &[part, part]);
        assert_eq!(all, of("f", &["a", "b"], &[Fingerprint::part::<Id>, part]));
        for other in [
            of("g", &["a", "b"], &[part, part]),
            of("f", &["ab"], &[part, part]),
            of("f", &["b", "a"], &[part, part]),
            of("f", &["a", "b"], &[part, Fingerprint::part::<i32>]),
            of("f", &["a", "b"], &[part]),
        ] {
            assert_ne!(all, other);
        }
        let one = Fingerprint::new();
        assert_eq!(one.get("f", &[], &[part]), one.get("f", &[], &[part]));
    }
}
