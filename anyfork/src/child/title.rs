//! What the processes here are called in a list of processes:
//! `anyfork: template of 4711 (myapp)`, `anyfork: greet of 4711 (myapp)`.

use crate::sys::proc_title::Title;
use crate::sys::threads::OneThread;
use std::env;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Whose the processes here are: the pid and the name of the program that owns
/// the template.
static OWNER: Mutex<Option<String>> = Mutex::new(None);

/// Notes, in a new template, that it is this process's.
pub(crate) fn set_owner(pid: u32) {
    let program = env::args_os().next().unwrap_or_default();
    let program = Path::new(&program).file_name().unwrap_or_default();
    let owner = format!("{pid} ({})", program.display());
    *OWNER.lock().unwrap_or_else(PoisonError::into_inner) = Some(owner);
}

/// Calls this process a template.
pub(crate) fn template(one_thread: OneThread) {
    Titles::now().of("template").set(one_thread);
}

/// Calls this process a spare.
pub(crate) fn spare(one_thread: OneThread) {
    Titles::now().of("spare").set(one_thread);
}

/// Calls this process a monitor.
pub(crate) fn monitor(one_thread: OneThread) {
    Titles::now().of("monitor").set(one_thread);
}

/// Calls this process a worker of that name.
pub(crate) fn worker(one_thread: OneThread, name: &str) {
    Titles::now().worker(name).set(one_thread);
}

/// Calls this process by the title that it was given.
pub(crate) fn given(one_thread: OneThread, text: &str) {
    Title::new(text).set(one_thread);
}

/// The titles of one owner's processes. Who has this need not lock, which would
/// be a write to memory that a template shares with its children.
pub(crate) struct Titles(Option<String>);

impl Titles {
    /// Of this process and what it forks.
    pub(crate) fn now() -> Titles {
        Titles(OWNER.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// A worker's: the last part of its name.
    pub(crate) fn worker(&self, name: &str) -> Title {
        // By a character, because a search for text is set up anew each time.
        self.of(name.rsplit(':').next().unwrap_or(name))
    }

    fn of(&self, what: &str) -> Title {
        match &self.0 {
            Some(owner) => Title::new(format_args!("anyfork: {what} of {owner}")),
            None => Title::new(format_args!("anyfork: {what}")),
        }
    }
}
