//! Plugins: libraries with workers and init functions of their own, loaded into
//! one process and what is forked from it.
//!
//! A plugin brings its own copy of this crate, with its own registry; only the
//! C interface of `sys::plugin` lies between the two.

use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::panic::{catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::args::Args;
use crate::child::prepare::{after_fork_hooks, run_init};
use crate::child::report;
use crate::child::report::Beginning;
use crate::child::run::{run_worker, tie_to_caller};
use crate::early;
use crate::entry::Kind;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::reply;
use crate::registry;
use crate::sys::plugin::{Entrance, InitEnd, Plugin, Table, table};

/// The plugins of this process, in the order of loading.
static LOADED: Mutex<Vec<&'static Plugin>> = Mutex::new(Vec::new());

/// A function of a plugin's.
#[derive(Clone)]
pub(crate) struct PluginFunction {
    plugin: &'static Plugin,
    index: usize,
}

/// Loads a plugin into this process.
pub(crate) fn load(path: &Path) -> Result<()> {
    let plugin = Plugin::load(path).map_err(|why| {
        let message = format!("cannot load the plugin `{}`: {why}", path.display());
        Error::new(ErrorKind::PluginFailed, message)
    })?;
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    // A second time, here or in a fork of this process, it is the same one.
    if !loaded.iter().any(|it| it.is(&plugin)) {
        loaded.push(Box::leak(Box::new(plugin)));
    }
    Ok(())
}

/// Whether there are any.
pub(crate) fn are_loaded() -> bool {
    let loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    !loaded.is_empty()
}

/// Has all plugins do what they want done in every child, in the order of
/// loading.
pub(crate) fn after_fork() {
    let loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if !loaded.iter().all(|plugin| plugin.forked()) {
        // It has told of its panic; this process ends as by one of its own.
        resume_unwind(Box::new("a plugin's hook panicked"));
    }
}

/// The functions of that kind in all plugins.
pub(crate) fn functions(kind: Kind) -> Vec<(String, PluginFunction)> {
    let loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let of = |&plugin: &&'static Plugin| {
        let function = move |(index, name)| (name, PluginFunction { plugin, index });
        plugin.names(kind).into_iter().map(function)
    };
    loaded.iter().flat_map(of).collect()
}

impl PluginFunction {
    pub(crate) fn work(self, args: Args, socket: UnixStream, status: BorrowedFd<'_>) -> u8 {
        self.plugin.work(self.index, args, socket, status)
    }

    pub(crate) fn init(self, args: Args, collected: Args) -> (Result<()>, Args) {
        let end = self.plugin.init(self.index, args, collected);
        let result = end.failure.map_or(Ok(()), |(code, message)| {
            let kind = reply::kind_of_code(code).unwrap_or(ErrorKind::InitFailed);
            Err(Error::new(kind, message))
        });
        (result, end.collected)
    }
}

/// The table of this library, for the program that loads it: what
/// `export_plugin!` returns.
pub fn plugin_table() -> &'static Table {
    static TABLE: OnceLock<&'static Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let kinds = [Kind::Worker, Kind::Init];
        let names = kinds.into_iter().flat_map(|kind| {
            registry::functions(kind)
                .iter()
                .map(move |it| (kind, it.name))
        });
        table::<Own>(&names.collect::<Vec<_>>())
    })
}

/// The plugin's side of a call: its own registry.
struct Own;

impl Entrance for Own {
    fn work(index: usize, args: Args, socket: UnixStream, status: BorrowedFd<'_>) -> u8 {
        // A plugin has a standard library of its own, and so a hook of its own.
        report::install_over();
        Beginning::new(status).begin();
        tie_to_caller();
        run_worker(&registry::functions(Kind::Worker)[index], args, socket)
    }

    fn forked() -> bool {
        early::mark_forked();
        catch_unwind(after_fork_hooks).is_ok()
    }

    fn init(index: usize, args: Args, collected: Args) -> InitEnd {
        let (result, collected) =
            run_init(&registry::functions(Kind::Init)[index], args, collected);
        let failure = result
            .err()
            .map(|error| (reply::kind_code(error.kind()), error.to_string()));
        InitEnd { failure, collected }
    }
}
