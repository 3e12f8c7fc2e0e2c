//! The baseline: environment and attributes at a template's birth, before user code runs in it.
//! RUNS IN: program before main, template, child
//!
//! An external program that is started from a prepared process gets the variables that
//! the preparation has changed since the baseline, and in all else what its caller has.

use std::collections::HashMap;
use std::env;
use std::ffi::OsString;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sys::attributes::{Attributes, Status};

static BASELINE: OnceLock<Baseline> = OnceLock::new();

struct Baseline {
    environment: Vec<(OsString, OsString)>,
    attributes: Attributes,
}

/// Takes the baseline, in a new template.
pub(crate) fn take() {
    BASELINE.get_or_init(|| Baseline {
        environment: env::vars_os().collect(),
        attributes: Attributes::now(&Status::now()),
    });
}

/// The attributes of the template at its birth.
pub(crate) fn attributes() -> Option<&'static Attributes> {
    BASELINE.get().map(|then| &then.attributes)
}

/// The variables that have been set, or removed, since the baseline.
pub(crate) fn changed_variables() -> Vec<(OsString, Option<OsString>)> {
    let before = BASELINE.get().map_or(&[][..], |then| &then.environment);
    let now: Vec<(OsString, OsString)> = env::vars_os().collect();
    // Most often nothing has.
    if before == now {
        return Vec::new();
    }
    let by_name = |all: &[(OsString, OsString)]| -> Places<OsString, OsString> {
        all.iter().cloned().collect()
    };
    let (then, current) = (by_name(before), by_name(&now));
    let removed = before
        .iter()
        .filter(|(name, _)| !current.contains_key(name));
    let removed = removed.map(|(name, _)| (name.clone(), None));
    let set = now
        .into_iter()
        .filter(|(name, value)| then.get(name) != Some(value));
    removed
        .chain(set.map(|(name, value)| (name, Some(value))))
        .collect()
}

/// Found by hash with keys that are always the same: a template must not use up what
/// would be random in its children.
pub(crate) type Places<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

/// Whether user code, which may have changed anything, has run in this process or in
/// one that it was forked from.
static USER_CODE: AtomicBool = AtomicBool::new(false);

/// Notes that user code is about to run.
pub(crate) fn note_user_code() {
    USER_CODE.store(true, Ordering::Relaxed);
}

/// Whether user code has run in this process or in one that it was forked from.
pub(crate) fn has_run_user_code() -> bool {
    USER_CODE.load(Ordering::Relaxed)
}
