//! The registered functions: static data, collected by the linker, readable
//! before `main`. Finds a worker by its name.
//!
//! The attributes add the elements; the child's side looks up. The slices'
//! names carry the version of their layout, because the linker joins slices by
//! identifier alone and a program may link two versions of this crate.

use linkme::distributed_slice;

use crate::call::{Call, Outcome};
use crate::error::{Error, ErrorKind, Result};

/// All workers of the program.
#[distributed_slice]
pub static ANYFORK_V1_WORKERS: [Worker];

/// Wishes for an early template, with what it shall load.
#[distributed_slice]
pub static ANYFORK_V1_EARLY: [Early];

/// An element that `#[anyfork::worker]` registers.
pub struct Worker {
    /// `module_path!()::name`, or the name that the attribute gives.
    pub name: &'static str,
    /// Decodes the arguments, enters, and tells how it ended.
    pub enter: fn(&mut Call) -> Result<Outcome>,
}

/// An element that `#[anyfork::early]` registers.
pub struct Early {
    /// The function's full path: preloads run in the order of their names.
    pub name: &'static str,
    /// The annotated function, unless it is `main`.
    pub preload: Option<fn() -> Outcome>,
}

/// Finds the worker whose name is `name`, or ends in `::name`.
///
/// A whole name wins over a tail, so a short name of one's own cannot become
/// ambiguous by a module elsewhere.
pub(crate) fn find<'a>(workers: &'a [Worker], name: &str) -> Result<&'a Worker> {
    let named = |whole: bool| {
        let fits = move |worker: &&Worker| match whole {
            true => worker.name == name,
            false => is_tail(worker.name, name),
        };
        workers.iter().filter(fits)
    };
    for whole in [true, false] {
        let mut found = named(whole);
        match (found.next(), found.next()) {
            (None, _) => continue,
            (Some(worker), None) => return Ok(worker),
            (Some(_), Some(_)) => return Err(ambiguous(name, named(whole))),
        }
    }
    Err(unknown(name, workers))
}

fn is_tail(path: &str, tail: &str) -> bool {
    path.strip_suffix(tail)
        .is_some_and(|head| head.ends_with("::"))
}

fn ambiguous<'a>(name: &str, found: impl Iterator<Item = &'a Worker>) -> Error {
    let mut names: Vec<_> = found.map(|worker| format!("`{}`", worker.name)).collect();
    names.sort();
    let names = names.join(", ");
    let message =
        format!("the name `{name}` fits more than one worker: {names}; write more of its path");
    Error::new(ErrorKind::AmbiguousName, message)
}

fn unknown(name: &str, workers: &[Worker]) -> Error {
    let near = workers.iter().map(|worker| worker.name);
    let hint = match nearest(name, near) {
        Some(near) => format!("; did you mean `{near}`?"),
        None if workers.is_empty() => "; it has no `#[anyfork::worker]` at all".into(),
        None => String::new(),
    };
    let message = format!(
        "no worker `{name}` in this program{hint} \
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

    fn workers(names: &[&'static str]) -> Vec<Worker> {
        let worker = |name: &&'static str| Worker {
            name,
            enter: |_| Ok(Outcome::SUCCESS),
        };
        names.iter().map(worker).collect()
    }

    #[test]
    fn a_tail_at_a_path_boundary_is_enough() {
        let workers = workers(&["app::jobs::resize", "app::greet"]);
        for name in ["app::jobs::resize", "jobs::resize", "resize"] {
            assert_eq!(find(&workers, name).unwrap().name, "app::jobs::resize");
        }
        for name in ["size", "::resize", "", "s::resize"] {
            assert_eq!(
                find(&workers, name).err().unwrap().kind(),
                ErrorKind::UnknownWorker
            );
        }
    }

    #[test]
    fn a_whole_name_wins_over_tails() {
        let workers = workers(&["a::run", "b::run", "run"]);
        assert_eq!(find(&workers, "run").unwrap().name, "run");
    }

    #[test]
    fn an_ambiguous_name_lists_what_it_fits() {
        let workers = workers(&["b::run", "a::run"]);
        let error = find(&workers, "run").err().unwrap();
        assert_eq!(error.kind(), ErrorKind::AmbiguousName);
        assert!(error.to_string().contains("`a::run`, `b::run`"), "{error}");
    }

    #[test]
    fn a_misspelt_name_gets_a_suggestion() {
        let workers = workers(&["myapp::greet", "myapp::resize_image"]);
        for (name, meant) in [
            ("gret", Some("myapp::greet")),
            ("myapp::gret", Some("myapp::greet")),
            ("resize_imag", Some("myapp::resize_image")),
            ("xyzzy", None),
        ] {
            let text = find(&workers, name).err().unwrap().to_string();
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
