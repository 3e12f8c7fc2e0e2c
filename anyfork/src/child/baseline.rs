//! What a template had when it was born, before any code of the program's ran
//! in it: so that a program that is started from a prepared process gets what
//! the preparation has changed, and of all else what its caller has.

use crate::sys::fd_identity;
use crate::sys::fd_identity::Identity;
use std::env;
use std::ffi::{OsStr, OsString};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

static BORN: OnceLock<Born> = OnceLock::new();

struct Born {
    streams: [Option<Identity>; 3],
    directory: Option<Identity>,
    environment: Vec<(OsString, OsString)>,
}

/// Notes what is there, in a new template.
pub(crate) fn remember() {
    BORN.get_or_init(|| Born {
        streams: [0, 1, 2].map(fd_identity::stream_identity),
        directory: fd_identity::directory_identity(),
        environment: env::vars_os().collect(),
    });
}

/// Whether a standard stream is another one than at birth.
pub(crate) fn has_other_stream(number: u8) -> bool {
    let now = fd_identity::stream_identity(number);
    let then = BORN.get().map(|born| born.streams[usize::from(number)]);
    then.is_some_and(|then| then != now)
}

/// Whether the directory is another one than at birth.
pub(crate) fn has_other_directory() -> bool {
    let then = BORN.get().map(|born| born.directory);
    then.is_some_and(|then| then != fd_identity::directory_identity())
}

/// The variables that have been set, or removed, since birth.
pub(crate) fn changed_variables() -> Vec<(OsString, Option<OsString>)> {
    let before = BORN.get().map_or(&[][..], |born| &born.environment);
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

/// Whether code of the program's has run in this process or one that it was
/// forked from, which may have changed anything.
static TOUCHED: AtomicBool = AtomicBool::new(false);

/// Notes that code of the program's is about to run.
pub(crate) fn note_user_code() {
    TOUCHED.store(true, Ordering::Relaxed);
}

/// Whether it has.
pub(crate) fn has_run_user_code() -> bool {
    TOUCHED.load(Ordering::Relaxed)
}
