//! What the processes here are called in a list of processes:
//! `anyfork: template of 4711 (myapp)`, `anyfork: greet of 4711 (myapp)`.

use std::env;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::sys::title;

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
    set("template");
}

/// Calls this process a spare.
pub(super) fn spare() {
    set("spare");
}

/// Calls this process a keeper.
pub(super) fn keeper() {
    set("keeper");
}

/// Calls this process by the last part of the name of the worker that it runs.
pub(super) fn worker(name: &str) {
    // By a character, because a search for text is set up anew each time.
    set(name.rsplit(':').next().unwrap_or(name));
}

fn set(what: &str) {
    let owner = OWNER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(owner) = &*owner {
        title::set(&format!("anyfork: {what} of {owner}"));
    }
}

/// Calls this process by the title that it was given.
pub(super) fn given(text: &str) {
    title::set(text);
}
