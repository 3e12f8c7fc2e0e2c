//! The registered functions of the program, and how one is found by its name.
//! RUNS IN: any
//!
//! Static data that the linker collects, readable before `main`. The attributes add
//! the elements; `boot` and `child` look them up. A plugin has a registry of its
//! own.

mod hints;

use std::any::TypeId;

use linkme::distributed_slice;

#[cfg(feature = "pool")]
use crate::entry::call::{CallEntry, CallFuture, Refusal};
use crate::entry::outcome::Outcome;
use crate::entry::{Entry, Kind};
use crate::error::{Error, ErrorKind, Result};
use crate::registry::hints::{border, nearest, unlinked};
use crate::sys::objects;

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
    /// All functions of typed calls.
    #[cfg(feature = "pool")]
    ANYFORK_0_1_0_CALLS: CallFunction;
    /// The functions that run first in every forked child.
    ANYFORK_0_1_0_AFTER_FORK: AfterFork;
    /// The requests for an early template, with the functions that it runs.
    ANYFORK_0_1_0_EARLY: Early;
}

/// An element that `#[anyfork::worker]` and `#[anyfork::init]` register.
pub struct Function {
    /// `module_path!()::name`, or the name that the attribute gives.
    pub name: &'static str,
    /// The type of the companion, which no other function has.
    pub identity: fn() -> TypeId,
    /// Decodes the arguments, enters the function, and returns its outcome.
    pub enter: fn(&mut Entry) -> Result<Outcome>,
}

/// An element that `#[anyfork::call]` registers.
#[cfg(feature = "pool")]
pub struct CallFunction {
    /// `module_path!()::name`, or the name that the attribute gives.
    pub name: &'static str,
    /// Gives the digest of the name and the signature.
    pub fingerprint: fn() -> u64,
    /// Decodes the arguments, calls the function, and encodes its result.
    pub enter: fn(&mut CallEntry<'_>) -> Result<(), Refusal>,
    /// Gives what `enter` does as a future, which may run beside others: of an `async fn`.
    pub start: Option<StartCall>,
}

/// Begins a call of an `async fn`.
#[cfg(feature = "pool")]
pub(crate) type StartCall = for<'a> fn(&'a mut CallEntry<'_>) -> CallFuture<'a>;

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

/// The functions of typed calls in the program itself.
#[cfg(feature = "pool")]
pub(crate) fn calls() -> &'static [CallFunction] {
    &ANYFORK_0_1_0_CALLS
}

/// Makes the digests of the functions of typed calls, so that no child has to.
#[cfg(feature = "pool")]
pub(crate) fn digest_calls() {
    for call in calls() {
        (call.fingerprint)();
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
/// stays unambiguous, whatever paths other modules add. Among several with that name,
/// the one that `is_meant` wins. `others` are the names of the functions of the other
/// kind, for messages.
pub(crate) fn find<'a, T>(
    kind: Kind,
    candidates: impl Iterator<Item = (&'a str, T)> + Clone,
    others: impl Iterator<Item = &'a str>,
    name: &str,
    is_meant: impl Fn(&T) -> bool,
) -> Result<T> {
    for fits in [is_whole, is_tail] {
        let mut found = candidates.clone().filter(|(path, _)| fits(path, name));
        match (found.next(), found.next()) {
            (None, _) => continue,
            (Some((_, it)), None) => return Ok(it),
            (Some(a), Some(b)) => {
                let found: Vec<_> = [a, b].into_iter().chain(found).collect();
                let names: Vec<_> = found.iter().map(|(path, _)| *path).collect();
                let meant = found.into_iter().find(|(_, it)| is_meant(it));
                return match meant {
                    Some((_, it)) => Ok(it),
                    None => Err(ambiguous(kind, name, names)),
                };
            }
        }
    }
    let mut others = others.filter(|path| is_whole(path, name) || is_tail(path, name));
    if others.next().is_some() {
        return Err(of_other_kind(kind, name));
    }
    #[cfg(feature = "pool")]
    if calls()
        .iter()
        .any(|call| is_whole(call.name, name) || is_tail(call.name, name))
    {
        return Err(of_a_call(kind, name));
    }
    let names: Vec<&str> = candidates.map(|(path, _)| path).collect();
    Err(unknown(kind, name, &names))
}

fn is_whole(path: &str, name: &str) -> bool {
    path == name
}

fn is_tail(path: &str, tail: &str) -> bool {
    path.strip_suffix(tail)
        .is_some_and(|head| head.ends_with("::"))
}

/// The error for a name that fits several functions.
fn ambiguous(kind: Kind, name: &str, mut found: Vec<&str>) -> Error {
    let (noun, count) = (kind.noun(), found.len());
    found.sort_unstable();
    found.dedup();
    let message = match &found[..] {
        [path] => {
            let (count, another) = match count {
                2 => ("two".to_owned(), "one another"),
                _ => (count.to_string(), "each of them another"),
            };
            format!("{count} {noun}s are registered as `{path}`: give {another} `name`")
        }
        _ => {
            let found = found.join("`, `");
            format!(
                "the name `{name}` fits more than one {noun}: `{found}`; write more of its path"
            )
        }
    };
    Error::new(ErrorKind::AmbiguousName, message)
}

/// The error for the name of a function of the other kind.
fn of_other_kind(kind: Kind, name: &str) -> Error {
    let message = match kind {
        Kind::Worker => format!(
            "`{name}` is an init function: `init` adds it to the preparation of a process, and \
             `run` takes the name of a worker"
        ),
        Kind::Init => format!(
            "`{name}` is a worker: `run` starts it, and `init` takes the name of an init function"
        ),
    };
    Error::new(ErrorKind::UnknownWorker, message)
}

/// The error for the name of a call's function.
#[cfg(feature = "pool")]
fn of_a_call(kind: Kind, name: &str) -> Error {
    let (noun, attribute) = (kind.noun(), kind.attribute());
    let message = format!(
        "`{name}` is the function of a call, which its companion starts (`call(&pool, …)`): \
         {noun}s have `{attribute}`"
    );
    Error::new(ErrorKind::UnknownWorker, message)
}

fn unknown(kind: Kind, name: &str, names: &[&str]) -> Error {
    let (noun, attribute) = (kind.noun(), kind.attribute());
    let hint = match nearest(name, names.iter().copied()) {
        Some(near) => format!("; did you mean `{near}`?"),
        None if names.is_empty() => format!("; it has no `{attribute}` at all"),
        None => String::new(),
    };
    let unlinked = unlinked(name, names);
    let border = border(objects::own_library().as_deref());
    let message = format!("no {noun} `{name}` in this program{hint}{unlinked}{border}");
    Error::new(ErrorKind::UnknownWorker, message)
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
        let candidates = names.iter().map(|name| (*name, *name));
        find(
            Kind::Worker,
            candidates,
            ["app::load"].into_iter(),
            name,
            |_| false,
        )
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
        let text = error.to_string();
        assert!(text.contains("`a::run`, `b::run`, `c::run`"), "{text}");
    }

    #[test]
    fn of_equal_names_the_one_that_is_meant_is_found() {
        let candidates = [("lib::run", 1), ("a::run", 2), ("lib::run", 3)];
        let find = |name, meant: i32| {
            let candidates = candidates.into_iter();
            find(Kind::Worker, candidates, [].into_iter(), name, |it| {
                *it == meant
            })
        };
        assert_eq!(find("lib::run", 3).unwrap(), 3);
        assert_eq!(find("lib::run", 1).unwrap(), 1);
        // The name alone counts if nothing else has it.
        assert_eq!(find("a::run", 3).unwrap(), 2);
        let error = find("lib::run", 9).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AmbiguousName);
        let text = "two workers are registered as `lib::run`: give one another `name`";
        assert_eq!(error.to_string(), text);
        let error = find("run", 9).unwrap_err().to_string();
        let paths = "`a::run`, `lib::run`; write more";
        assert!(error.contains(paths), "{error}");
        let error = look(&["x", "x", "x"], "x").unwrap_err().to_string();
        assert!(
            error.starts_with("3 workers are registered as `x`"),
            "{error}"
        );
    }

    #[test]
    fn a_function_of_the_other_kind_is_named() {
        for name in ["app::load", "load"] {
            let error = look(&["app::greet"], name).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnknownWorker);
            let text = error.to_string();
            let start = format!("`{name}` is an init function: ");
            assert!(text.starts_with(&start), "{text}");
        }
        assert_eq!(look(&["x::load"], "load").unwrap(), "x::load");
        let others = ["app::greet"].into_iter();
        let error = find(Kind::Init, [("x", 1)].into_iter(), others, "greet", |_| {
            false
        });
        let text = error.unwrap_err().to_string();
        assert!(text.starts_with("`greet` is a worker: "), "{text}");
    }

    #[test]
    fn the_hint_names_the_crate_that_was_asked_for() {
        let hint = |name| look(&["app::greet"], name).unwrap_err().to_string();
        let text = hint("jobs::resize");
        let jobs =
            "(if the crate `jobs` is never named in code it is not linked: `use jobs as _;`)";
        assert!(text.ends_with(jobs), "{text}");
        for name in ["resize", "crate::resize", "my jobs::resize", "::resize"] {
            let text = hint(name);
            assert!(text.contains("(a crate that is never named"), "{text}");
        }
        assert_eq!(
            hint("app::resize"),
            "no worker `app::resize` in this program"
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
}
