//! The baseline: environment and attributes at a template's birth, before user code runs in it.
//! RUNS IN: program before main, template, child
//!
//! An external program that is started from a prepared process gets the variables that
//! the preparation has changed since the baseline, and in all else what its caller has.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
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
    let before: BTreeMap<&OsStr, &OsStr> = before
        .iter()
        .map(|(name, value)| (name.as_os_str(), value.as_os_str()))
        .collect();
    let now: BTreeMap<OsString, OsString> = env::vars_os().collect();
    let removed = before
        .keys()
        .filter(|name| !now.contains_key(**name))
        .map(|name| (name.to_os_string(), None));
    let set = now
        .iter()
        .filter(|(name, value)| before.get(name.as_os_str()) != Some(&value.as_os_str()))
        .map(|(name, value)| (name.clone(), Some(value.clone())));
    removed.chain(set).collect()
}

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
