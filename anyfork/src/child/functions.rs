//! Finds a function by its name, in the program and in its plugins.
//! RUNS IN: template, child

#[cfg(feature = "pool")]
use crate::child::calls;
#[cfg(feature = "plugin")]
use crate::child::plugin::{self, PluginFunction};
#[cfg(all(feature = "pool", feature = "tracing"))]
use crate::child::trace;
use crate::entry::Kind;
use crate::error::Result;
use crate::registry::{self, Function, find};
#[cfg(all(feature = "pool", feature = "tracing"))]
use crate::spec::name::TRACE_INIT;
#[cfg(feature = "pool")]
use crate::spec::name::{CALL_LOOP, ONE_CALL};
use crate::spec::name::{FunctionName, Identity};

/// A function that was found by its name.
#[derive(Clone)]
pub(crate) enum Found {
    /// A function of this library's own registry: of the program, or, in a plugin, of
    /// the plugin.
    Own(&'static Function),
    #[cfg(feature = "plugin")]
    Plugin(PluginFunction),
}

impl Found {
    /// Whether it is the function that a companion stands beside. A plugin tells no
    /// identities.
    fn has(&self, identity: Identity) -> bool {
        match self {
            Found::Own(function) => Identity::of((function.identity)()) == identity,
            #[cfg(feature = "plugin")]
            Found::Plugin(_) => false,
        }
    }
}

/// Finds the function of that kind by its name, or by a tail of its path; among those of
/// the same name the one whose companion asks.
pub(crate) fn find_function(kind: Kind, wanted: &FunctionName<'_>) -> Result<Found> {
    #[cfg(feature = "pool")]
    if let (Kind::Worker, Some(worker)) = (kind, library_worker(wanted)) {
        return Ok(Found::Own(worker));
    }
    #[cfg(all(feature = "pool", feature = "tracing"))]
    if kind == Kind::Init && wanted.identity.is_some() && wanted.name == TRACE_INIT {
        return Ok(Found::Own(&trace::INIT));
    }
    #[cfg(feature = "plugin")]
    let (loaded, loaded_others) = (plugin::functions(kind), plugin::functions(kind.other()));
    let candidates = own(kind).map(|(name, it)| (name, Found::Own(it)));
    let others = own_names(kind.other());
    #[cfg(feature = "plugin")]
    let candidates = candidates.chain(
        loaded
            .iter()
            .map(|(name, it)| (&name[..], Found::Plugin(it.clone()))),
    );
    #[cfg(feature = "plugin")]
    let others = others.chain(loaded_others.iter().map(|(name, _)| &name[..]));
    let is_meant = |found: &Found| wanted.identity.is_some_and(|identity| found.has(identity));
    find(kind, candidates, others, &wanted.name, is_meant)
}

/// Finds a worker of the program, in a process that has loaded no plugin.
pub(crate) fn find_own_worker(wanted: &FunctionName<'_>) -> Result<&'static Function> {
    #[cfg(feature = "pool")]
    if let Some(worker) = library_worker(wanted) {
        return Ok(worker);
    }
    let kind = Kind::Worker;
    let is_meant = |found: &&Function| {
        let identity = || Identity::of((found.identity)());
        wanted.identity.is_some_and(|it| it == identity())
    };
    find(
        kind,
        own(kind),
        own_names(kind.other()),
        &wanted.name,
        is_meant,
    )
}

/// The library's own worker of that name, if a caller of this library asks for it. Its
/// identity is another one in another build, or in a plugin's copy of this library.
#[cfg(feature = "pool")]
fn library_worker(wanted: &FunctionName<'_>) -> Option<&'static Function> {
    wanted.identity?;
    match &*wanted.name {
        CALL_LOOP => Some(&calls::LOOP),
        ONE_CALL => Some(&calls::ONE_CALL_WORKER),
        _ => None,
    }
}

fn own<'a>(kind: Kind) -> impl Iterator<Item = (&'a str, &'static Function)> + Clone {
    registry::functions(kind).iter().map(|it| (it.name, it))
}

fn own_names<'a>(kind: Kind) -> impl Iterator<Item = &'a str> {
    own(kind).map(|(name, _)| name)
}
