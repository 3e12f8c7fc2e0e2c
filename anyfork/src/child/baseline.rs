//! The baseline: what a template had at its birth.
//! RUNS IN: program before main, template, child
//!
//! It is the standard streams, the directory and the environment, before user code runs. An
//! external program that is started from a prepared process gets what the preparation has
//! changed since the baseline, and in all else what its caller has.

use std::env;
use std::ffi::{OsStr, OsString};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sys::fd_identity::{self, Identity};

static BASELINE: OnceLock<Baseline> = OnceLock::new();

struct Baseline {
    streams: [Option<Identity>; 3],
    directory: Option<Identity>,
    environment: Vec<(OsString, OsString)>,
}

/// Takes the baseline, in a new template.
pub(crate) fn take() {
    BASELINE.get_or_init(|| Baseline {
        streams: [0, 1, 2].map(fd_identity::stream_identity),
        directory: fd_identity::directory_identity(),
        environment: env::vars_os().collect(),
    });
}

/// Whether a standard stream is another one than in the baseline.
pub(crate) fn has_other_stream(number: u8) -> bool {
    let now = fd_identity::stream_identity(number);
    let then = BASELINE.get().map(|then| then.streams[usize::from(number)]);
    then.is_some_and(|then| then != now)
}

/// Whether the directory is another one than in the baseline.
pub(crate) fn has_other_directory() -> bool {
    let then = BASELINE.get().map(|then| then.directory);
    then.is_some_and(|then| then != fd_identity::directory_identity())
}

/// The variables that have been set, or removed, since the baseline.
pub(crate) fn changed_variables() -> Vec<(OsString, Option<OsString>)> {
    let before = BASELINE.get().map_or(&[][..], |then| &then.environment);
    let now: Vec<_> = env::vars_os().collect();
    let removed = before
        .iter()
        .filter(|(name, _)| value(&now, name).is_none())
        .map(|(name, _)| (name.clone(), None));
    let set = now
        .iter()
        .filter(|(name, text)| value(before, name) != Some(text))
        .map(|(name, text)| (name.clone(), Some(text.clone())));
    removed.chain(set).collect()
}

fn value<'a>(variables: &'a [(OsString, OsString)], name: &OsStr) -> Option<&'a OsString> {
    let found = variables.iter().find(|(it, _)| it == name);
    found.map(|(_, value)| value)
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
