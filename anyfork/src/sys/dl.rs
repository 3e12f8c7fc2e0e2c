//! Loading a library while the program runs (dlopen(3)).
//! RUNS IN: template, child

use std::error::Error;
use std::path::Path;

use libloading::Library;

/// Loads a library for good; an error says why not. Its constructors run.
pub(crate) fn load(path: &Path) -> Result<&'static Library, String> {
    // SAFETY: the path's owner wants the library's constructors to run.
    let library = unsafe { Library::new(path) }.map_err(|error| {
        // The loader's own words are below the library's.
        let reason = error.source().map(ToString::to_string);
        reason.unwrap_or_else(|| error.to_string())
    })?;
    // Its functions may run at any time until this process ends.
    Ok(Box::leak(Box::new(library)))
}
