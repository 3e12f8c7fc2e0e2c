//! What may be meant by a name that no function has.
//! RUNS IN: template, child
//!
//! Pure functions of texts: the registry asks them for its errors.

use std::path::Path;

/// The hint that functions are registered elsewhere, if this library is in a shared one:
/// the linker makes a list for each object.
pub(super) fn border(library: Option<&Path>) -> String {
    let Some(library) = library else {
        return String::new();
    };
    format!(
        "; anyfork is in the shared library `{}`, and finds only what is registered there: build \
         the crate that has it, and those that have the functions, as `rlib` and not as `dylib`, \
         or load a `cdylib` with `Process::require`",
        library.display()
    )
}

/// The hint that the linker may have left a crate out, unless the crate that the name
/// begins with has functions in the program.
pub(super) fn unlinked(name: &str, names: &[&str]) -> String {
    let is_word = |it: &str| {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        it.starts_with(|c: char| is_part(c) && !c.is_numeric()) && it.chars().all(is_part)
    };
    let first = name.split_once("::").map(|(first, _)| first);
    match first {
        Some(first)
            if names
                .iter()
                .any(|path| path.split("::").next() == Some(first)) =>
        {
            String::new()
        }
        Some(first) if is_word(first) && !["crate", "self", "super"].contains(&first) => format!(
            " (if the crate `{first}` is never named in code it is not linked: `use {first} as _;`)"
        ),
        _ => " (a crate that is never named in code is not linked: `use jobs as _;`)".to_owned(),
    }
}

/// The name that `name` is most likely a misspelling of: at most a third of
/// its letters differ from the whole name, or from its last segments.
pub(super) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let segments = name.split("::").count();
    let distance = |candidate: &str| {
        let skip = candidate.split("::").count().saturating_sub(segments);
        let tail: Vec<_> = candidate.split("::").skip(skip).collect();
        edits(name, &tail.join("::")).min(edits(name, candidate))
    };
    let (distance, found) = names.map(|name| (distance(name), name)).min()?;
    (distance <= name.chars().count().div_ceil(3)).then_some(found)
}

/// The edit distance: letters inserted, deleted or replaced.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_border_of_a_shared_library_is_named() {
        assert_eq!(border(None), "");
        let text = border(Some(Path::new("/lib/libjobs.so")));
        assert!(
            text.contains("`/lib/libjobs.so`, and finds only what"),
            "{text}"
        );
    }

    #[test]
    fn edits_are_counted() {
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("same", "same"), 0);
    }
}
