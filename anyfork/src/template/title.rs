//! What the processes here are called in a list of processes:
//! `anyfork: template of 4711 (myapp)`, `anyfork: greet of 4711 (myapp)`.

use std::env;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::sys::title::Title;

/// Whose the processes here are: the pid and the name of the program that owns
/// the template.
static OWNER: Mutex<Option<String>> = Mutex::new(None);

/// Notes, in a new template, that it is this process's.
pub(super) fn set_owner(pid: u32) {
    let program = env::args_os().next().unwrap_or_default();
    let program = Path::new(&program).file_name().unwrap_or_default();
    let owner = format!("{pid} ({})", program.display());
    *OWNER.lock().unwrap_or_else(PoisonError::into_inner) = Some(owner);
}

/// Calls this process a template.
pub(super) fn template() {
    of("template").set();
}

/// Calls this process a spare.
pub(super) fn spare() {
    of("spare").set();
}

/// Calls this process a keeper.
pub(super) fn keeper() {
    of("keeper").set();
}

/// The title of a worker: the last part of its name.
pub(super) fn worker(name: &str) -> Title {
    // By a character, because a search for text is set up anew each time.
    of(name.rsplit(':').next().unwrap_or(name))
}

fn of(what: &str) -> Title {
    let owner = OWNER.lock().unwrap_or_else(PoisonError::into_inner);
    match &*owner {
        Some(owner) => Title::new(format_args!("anyfork: {what} of {owner}")),
        None => Title::new(format_args!("anyfork: {what}")),
    }
}

/// Calls this process by the title that it was given.
pub(super) fn given(text: &str) {
    Title::new(text).set();
}
