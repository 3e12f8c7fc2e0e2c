//! Finds a function by its name, in the program and in its plugins.
//! RUNS IN: template, child

#[cfg(feature = "plugin")]
use crate::child::plugin::{self, PluginFunction};
use crate::entry::Kind;
use crate::error::Result;
use crate::registry::{self, Function, find};

/// A function that was found by its name.
#[derive(Clone)]
pub(crate) enum Found {
    /// A function of this library's own registry: of the program, or, in a plugin, of
    /// the plugin.
    Own(&'static Function),
    #[cfg(feature = "plugin")]
    Plugin(PluginFunction),
}

/// Finds the function of that kind by its name, or by a tail of its path.
pub(crate) fn find_function(kind: Kind, name: &str) -> Result<Found> {
    let own = registry::functions(kind)
        .iter()
        .map(|it| (it.name, Found::Own(it)));
    #[cfg(feature = "plugin")]
    {
        let loaded = plugin::functions(kind);
        let plugins = loaded
            .iter()
            .map(|(name, it)| (&name[..], Found::Plugin(it.clone())));
        find(kind, own.chain(plugins), name)
    }
    #[cfg(not(feature = "plugin"))]
    find(kind, own, name)
}

/// Finds a worker of the program, in a process that has loaded no plugin.
pub(crate) fn find_own_worker(name: &str) -> Result<&'static Function> {
    let kind = Kind::Worker;
    let own = registry::functions(kind).iter().map(|it| (it.name, it));
    find(kind, own, name)
}
