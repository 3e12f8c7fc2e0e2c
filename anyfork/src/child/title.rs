//! The titles of processes, as ps(1) lists them.
//! RUNS IN: program before main, caller, template, child, spare, monitor
//!
//! Such as `anyfork: template of 4711 (myapp)` and `anyfork: greet of 4711 (myapp)`.

use std::env;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::sys::proc_title::Title;
use crate::sys::threads::OneThread;

/// The owner of the template, by the pid and the name of the program.
static OWNER: Mutex<Option<String>> = Mutex::new(None);

/// Notes the owner of a template, before the template's birth.
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

/// Calls this process by the worker of this name.
pub(crate) fn worker(one_thread: OneThread, name: &str) {
    Titles::now().worker(name).set(one_thread);
}

/// Calls this process by the title that its caller has chosen.
pub(crate) fn custom(one_thread: OneThread, text: &str) {
    Title::new(text).set(one_thread);
}

/// The titles of one owner's processes. A template keeps them, because the lock of the
/// static is a write to memory that the template shares with its children.
pub(crate) struct Titles(Option<String>);

impl Titles {
    /// The titles of this process and of those that it forks.
    pub(crate) fn now() -> Titles {
        Titles(OWNER.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// A worker's title, with the last part of the worker's name.
    pub(crate) fn worker(&self, name: &str) -> Title {
        // Splitting at a character is cheaper than at a text.
        self.of(name.rsplit(':').next().unwrap_or(name))
    }

    fn of(&self, what: &str) -> Title {
        match &self.0 {
            Some(owner) => Title::new(format_args!("anyfork: {what} of {owner}")),
            None => Title::new(format_args!("anyfork: {what}")),
        }
    }
}
