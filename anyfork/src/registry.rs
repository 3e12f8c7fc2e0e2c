//! The registered functions of the program, and how one is found by its name.
//! RUNS IN: any
//!
//! Static data that the linker collects, readable before `main`. The attributes add
//! the elements; `boot` and `child` look them up. A plugin has a registry of its
//! own.

use linkme::distributed_slice;

use crate::entry::outcome::Outcome;
use crate::entry::{Entry, Kind};
use crate::error::{Error, ErrorKind, Result};

/// Declares the slices. Their names carry the crate's version: the linker joins
/// slices by identifier alone, and a program may link two versions of this crate,
/// whose elements differ.
macro_rules! slices {
    ($($(#[$doc:meta])* $name:ident: $element:ty;)*) => {
        $(
            $(#[$doc])*
            #[distributed_slice]
            pub static $name: [$element];
        )*

        #[cfg(test)]
        const SLICES: &[&str] = &[$(stringify!($name)),*];
    };
}

slices! {
    /// All workers of the program.
    ANYFORK_0_1_0_WORKERS: Function;
    /// All init functions of the program.
    ANYFORK_0_1_0_INITS: Function;
    /// The functions that run first in every forked child.
    ANYFORK_0_1_0_AFTER_FORK: AfterFork;
    /// The requests for an early template, with the functions that it runs.
    ANYFORK_0_1_0_EARLY: Early;
}

/// An element that `#[anyfork::worker]` and `#[anyfork::init]` register.
pub struct Function {
    /// `module_path!()::name`, or the name that the attribute gives.
    pub name: &'static str,
    /// Decodes the arguments, enters the function, and returns its outcome.
    pub enter: fn(&mut Entry) -> Result<Outcome>,
}

/// An element that `#[anyfork::after_fork]` registers.
pub struct AfterFork {
    /// The function's full path: they run in the order of their names.
    pub name: &'static str,
    /// The annotated function.
    pub run: fn(),
}

/// An element that `#[anyfork::early]` registers.
pub struct Early {
    /// The function's full path: preloads run in the order of their names.
    pub name: &'static str,
    /// The annotated function, unless it is `main`.
    pub preload: Option<fn() -> Outcome>,
    /// Whether the template and its workers keep the descriptors that the program
    /// was started with.
    pub keep_fds: bool,
    /// Whether the template keeps its rights, and serves this program, when the program
    /// gives its own up.
    pub keep_rights: bool,
    /// Whether the program's other constructors run in the template.
    pub constructors: bool,
}

/// The functions of that kind in the program itself.
pub(crate) fn functions(kind: Kind) -> &'static [Function] {
    match kind {
        Kind::Worker => &ANYFORK_0_1_0_WORKERS,
        Kind::Init => &ANYFORK_0_1_0_INITS,
    }
}

/// The functions of the program itself that run first in every forked child.
pub(crate) fn after_fork() -> &'static [AfterFork] {
    &ANYFORK_0_1_0_AFTER_FORK
}

/// The requests for an early template.
pub(crate) fn early() -> &'static [Early] {
    &ANYFORK_0_1_0_EARLY
}

/// Finds the one of `candidates` whose name is `name`, or ends in `::name`.
///
/// A whole name wins over a tail: a function that is registered under a short name
/// stays unambiguous, whatever paths other modules add.
pub(crate) fn find<'a, T>(
    kind: Kind,
    candidates: impl Iterator<Item = (&'a str, T)> + Clone,
    name: &str,
) -> Result<T> {
    for whole in [true, false] {
        let fits = |path: &str| match whole {
            true => path == name,
            false => is_tail(path, name),
        };
        let mut found = candidates.clone().filter(|(path, _)| fits(path));
        match (found.next(), found.next()) {
            (None, _) => continue,
            (Some((_, it)), None) => return Ok(it),
            (Some((a, _)), Some((b, _))) => {
                let more = found.map(|(path, _)| path);
                return Err(ambiguous(kind, name, [a, b].into_iter().chain(more)));
            }
        }
    }
    let names: Vec<&str> = candidates.map(|(path, _)| path).collect();
    Err(unknown(kind, name, &names))
}

fn is_tail(path: &str, tail: &str) -> bool {
    path.strip_suffix(tail)
        .is_some_and(|head| head.ends_with("::"))
}

fn ambiguous<'a>(kind: Kind, name: &str, found: impl Iterator<Item = &'a str>) -> Error {
    let mut names: Vec<_> = found.map(|path| format!("`{path}`")).collect();
    names.sort();
    let (noun, names) = (kind.noun(), names.join(", "));
    let message =
        format!("the name `{name}` fits more than one {noun}: {names}; write more of its path");
    Error::new(ErrorKind::AmbiguousName, message)
}

fn unknown(kind: Kind, name: &str, names: &[&str]) -> Error {
    let (noun, attribute) = (kind.noun(), kind.attribute());
    let hint = match nearest(name, names.iter().copied()) {
        Some(near) => format!("; did you mean `{near}`?"),
        None if names.is_empty() => format!("; it has no `{attribute}` at all"),
        None => String::new(),
    };
    let message = format!(
        "no {noun} `{name}` in this program{hint} \
         (a crate that is never named in code is not linked: `use jobs as _;`)"
    );
    Error::new(ErrorKind::UnknownWorker, message)
}

/// The name that `name` is most likely a misspelling of: at most a third of
/// its letters differ from the whole name, or from its last segments.
fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
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
    fn names_that_the_linker_joins_carry_the_version() {
        let version = env!("CARGO_PKG_VERSION").replace(['.', '-', '+'], "_");
        for name in SLICES {
            let prefix = format!("ANYFORK_{version}_");
            assert!(name.starts_with(&prefix), "{name} in {version}");
        }
    }

    fn look(names: &[&'static str], name: &str) -> Result<&'static str> {
        find(Kind::Worker, names.iter().map(|name| (*name, *name)), name)
    }

    #[test]
    fn a_tail_at_a_path_boundary_is_enough() {
        let names = ["app::jobs::resize", "app::greet"];
        for name in ["app::jobs::resize", "jobs::resize", "resize"] {
            assert_eq!(look(&names, name).unwrap(), "app::jobs::resize");
        }
        for name in ["size", "::resize", "", "s::resize"] {
            let error = look(&names, name).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnknownWorker);
        }
    }

    #[test]
    fn a_whole_name_wins_over_tails() {
        assert_eq!(look(&["a::run", "b::run", "run"], "run").unwrap(), "run");
    }

    #[test]
    fn an_ambiguous_name_lists_what_it_fits() {
        let error = look(&["b::run", "a::run", "c::run"], "run").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AmbiguousName);
        assert!(
            error.to_string().contains("`a::run`, `b::run`, `c::run`"),
            "{error}"
        );
    }

    #[test]
    fn a_misspelt_name_gets_a_suggestion() {
        let names = ["myapp::greet", "myapp::resize_image"];
        for (name, meant) in [
            ("gret", Some("myapp::greet")),
            ("myapp::gret", Some("myapp::greet")),
            ("resize_imag", Some("myapp::resize_image")),
            ("xyzzy", None),
        ] {
            let text = look(&names, name).unwrap_err().to_string();
            match meant {
                Some(meant) => {
                    assert!(text.contains(&format!("did you mean `{meant}`?")), "{text}")
                }
                None => assert!(!text.contains("did you mean"), "{text}"),
            }
        }
    }

    #[test]
    fn edits_are_counted() {
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("same", "same"), 0);
    }
}
