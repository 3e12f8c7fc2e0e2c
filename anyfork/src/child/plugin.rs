//! The program's side of plugins: loads them, and calls their functions.
//! RUNS IN: template, child
//!
//! A plugin is a library with workers and init functions of its own, in one process and the
//! processes that are forked from it. It has its own copy of this crate, with its own
//! registry: only the C interface of [`plugin_table`](crate::sys::plugin_table) lies between
//! the two. The plugin's side is in [`guest`].

pub(crate) mod guest;

use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::args::Args;
use crate::args::value::Arg;
#[cfg(feature = "pool")]
use crate::child::calls::answer::Served;
#[cfg(feature = "pool")]
use crate::child::report;
use crate::entry::Kind;
use crate::error::{Error, ErrorKind, Result};
#[cfg(feature = "pool")]
use crate::protocol::call::{Payload, Terms};
use crate::protocol::reply;
#[cfg(feature = "pool")]
use crate::sys::plugin_table::RawCall;
use crate::sys::plugin_table::host::{LoadError, Plugin};
use crate::sys::plugin_table::{VERSION, Value};

/// The plugins that this process has loaded, in that order.
static LOADED: Mutex<Vec<&'static Plugin>> = Mutex::new(Vec::new());

/// A function of a plugin.
#[derive(Clone)]
pub(crate) struct PluginFunction {
    plugin: &'static Plugin,
    index: usize,
}

/// Loads a plugin into this process.
pub(crate) fn load(path: &Path) -> Result<()> {
    let plugin = Plugin::load(path).map_err(|error| {
        let why = match error {
            LoadError::Loader(why) => why,
            LoadError::NoPlugin => {
                "it is no plugin of anyfork: it does not call `anyfork::export_plugin!()`"
                    .to_owned()
            }
            LoadError::Version(version) => format!(
                "it was built for version {version} of the plugin interface, this program for \
                 {VERSION}"
            ),
        };
        let message = format!("cannot load the plugin `{}`: {why}", path.display());
        Error::new(ErrorKind::PluginFailed, message)
    })?;
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    // The loader gives the same library when this process, or the one that it was
    // forked from, has loaded it before.
    if !loaded.iter().any(|it| it.is(&plugin)) {
        loaded.push(Box::leak(Box::new(plugin)));
    }
    Ok(())
}

/// Whether this process has loaded any plugin.
pub(crate) fn are_loaded() -> bool {
    let loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    !loaded.is_empty()
}

/// Runs the `after_fork` functions of all plugins, in the order of loading.
pub(crate) fn after_fork() {
    let loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if !loaded.iter().all(|plugin| plugin.forked()) {
        // The plugin has printed the panic. This process exits as by a panic of its own.
        resume_unwind(Box::new("a plugin's hook panicked"));
    }
}

/// The functions of that kind in all plugins.
pub(crate) fn functions(kind: Kind) -> Vec<(String, PluginFunction)> {
    let loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let of = |&plugin: &&'static Plugin| {
        let function = move |(index, name, _)| (name, PluginFunction { plugin, index });
        plugin.names(number_of(kind)).into_iter().map(function)
    };
    loaded.iter().flat_map(of).collect()
}

/// The functions of typed calls in all plugins, with their names and fingerprints.
#[cfg(feature = "pool")]
pub(crate) fn calls() -> Vec<(PluginFunction, String, u64)> {
    let loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let of = |&plugin: &&'static Plugin| {
        let function =
            move |(index, name, fingerprint)| (PluginFunction { plugin, index }, name, fingerprint);
        plugin.names(NUMBER_OF_CALLS).into_iter().map(function)
    };
    loaded.iter().flat_map(of).collect()
}

impl PluginFunction {
    /// Runs this worker, and gives its exit code.
    pub(crate) fn work(self, args: Args, socket: UnixStream, status: BorrowedFd<'_>) -> u8 {
        self.plugin.work(self.index, values(args), socket, status)
    }

    /// Runs this init function, and gives back the collected arguments that it did
    /// not take.
    pub(crate) fn init(self, args: Args, collected: Args) -> (Result<()>, Args) {
        let end = self
            .plugin
            .init(self.index, values(args), values(collected));
        let result = end.failure.map_or(Ok(()), |(code, message)| {
            let kind = reply::kind_of_code(code).unwrap_or(ErrorKind::InitFailed);
            Err(Error::new(kind, message))
        });
        (result, args_of(end.collected))
    }
}

#[cfg(feature = "pool")]
impl PluginFunction {
    /// Has this function answer a typed call on `socket`.
    pub(crate) fn call(
        self,
        payload: Payload,
        number: u64,
        terms: &Terms,
        socket: BorrowedFd<'_>,
    ) -> Served {
        let Payload { main, blobs, fds } = payload;
        let bytes = [main].into_iter().chain(blobs).map(Value::Bytes);
        let values = bytes
            .chain(fds.into_vec().into_iter().map(Value::Fd))
            .collect();
        let call = RawCall {
            number,
            max_result: terms.max_result,
            keep_after_panic: terms.keep_after_panic,
            is_last: terms.is_last,
        };
        let status = report::status_pipe();
        let status = status.as_ref().and_then(|pipe| pipe.get().ok());
        let stays = self.plugin.call(self.index, values, call, socket, status);
        match stays {
            true => Served::Stays,
            false => Served::Leaves,
        }
    }
}

/// The number of functions of typed calls in the table.
#[cfg(feature = "pool")]
const NUMBER_OF_CALLS: u32 = 2;

/// The number of a kind in the table.
fn number_of(kind: Kind) -> u32 {
    match kind {
        Kind::Worker => 0,
        Kind::Init => 1,
    }
}

/// Arguments as they cross the interface.
fn values(args: Args) -> Vec<Value> {
    let value = |arg| match arg {
        Arg::Bytes(bytes) => Value::Bytes(bytes),
        Arg::Fd(fd) => Value::Fd(fd),
    };
    args.map(value).collect()
}

/// Arguments that have crossed the interface.
fn args_of(values: Vec<Value>) -> Args {
    let arg = |value| match value {
        Value::Bytes(bytes) => Arg::Bytes(bytes),
        Value::Fd(fd) => Arg::Fd(fd),
    };
    values.into_iter().map(arg).collect()
}
