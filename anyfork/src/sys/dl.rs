//! Loading a library while the program runs (dlopen(3)).
//! RUNS IN: template, child

use std::error::Error;
use std::path::Path;

use libloading::Library;

/// Loads a library (dlopen(3)) and runs its constructors. The library stays loaded.
/// An error says why the loader refuses.
pub(crate) fn load(path: &Path) -> Result<&'static Library, String> {
    // SAFETY: whoever gave the path wants the library's constructors to run.
    let library = unsafe { Library::new(path) }.map_err(|error| {
        // The loader's own message is the source of the crate's.
        let reason = error.source().map(ToString::to_string);
        reason.unwrap_or_else(|| error.to_string())
    })?;
    // Leaked: the library's functions may run until this process exits.
    Ok(Box::leak(Box::new(library)))
}
