//! Finds the function of a call.
//! RUNS IN: child

#[cfg(feature = "plugin")]
use crate::child::plugin::{self, PluginFunction};
use crate::registry::{self, CallFunction};

/// A function that was found.
pub(super) enum Found {
    Own(&'static CallFunction),
    #[cfg(feature = "plugin")]
    Plugin(PluginFunction),
}

/// Finds the function of that name and signature, in the program and in its plugins.
pub(super) fn find(name: &str, fingerprint: u64) -> Result<Found, String> {
    let mut named = registry::calls().iter().filter(|it| it.name == name);
    let mut is_known = false;
    let own = named.find(|it| {
        is_known = true;
        (it.fingerprint)() == fingerprint
    });
    if let Some(own) = own {
        return Ok(Found::Own(own));
    }
    #[cfg(feature = "plugin")]
    for (function, its_name, its_fingerprint) in plugin::calls() {
        if its_name == name {
            is_known = true;
            if its_fingerprint == fingerprint {
                return Ok(Found::Plugin(function));
            }
        }
    }
    Err(match is_known {
        true => format!(
            "`{name}` has another signature in the program of the worker: build both programs \
             from the same source"
        ),
        false => format!("no function `{name}` with `#[anyfork::call]` in the worker's program"),
    })
}
