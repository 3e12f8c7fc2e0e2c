//! Finding a function by its name, in the program and in the plugins that this
//! process has loaded.

use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;

use crate::args::Args;
#[cfg(feature = "plugin")]
use crate::child::plugin;
#[cfg(feature = "plugin")]
use crate::child::plugin::PluginFunction;
use crate::child::prepare::run_init;
use crate::child::run::run_worker;
#[cfg(feature = "plugin")]
use crate::child::run::wake_template;
use crate::entry::Kind;
use crate::error::Result;
use crate::registry::{self, Function, find};

/// A function that was found.
#[derive(Clone)]
pub(crate) enum Found {
    Own(&'static Function),
    #[cfg(feature = "plugin")]
    Plugin(PluginFunction),
}

/// Finds the function of that kind by its name, or by the tail of it.
pub(crate) fn look_up(kind: Kind, name: &str) -> Result<Found> {
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

/// Finds a worker where no plugin is loaded.
pub(crate) fn own_worker(name: &str) -> Result<&'static Function> {
    let kind = Kind::Worker;
    find(
        kind,
        registry::functions(kind).iter().map(|it| (it.name, it)),
        name,
    )
}

impl Found {
    /// Enters this worker and gives its exit code. Its failure is told in the pipe
    /// `status`.
    pub(crate) fn work(self, args: Args, socket: UnixStream, status: BorrowedFd<'_>) -> u8 {
        // This copy of the library knows it since the process began.
        #[cfg(not(feature = "plugin"))]
        let _ = status;
        match self {
            Found::Own(worker) => run_worker(worker, args, socket),
            #[cfg(feature = "plugin")]
            Found::Plugin(worker) => {
                // Its own copy of this library does not know how.
                wake_template();
                worker.work(args, socket, status)
            }
        }
    }

    /// Runs this init function, and gives back the collected arguments that it
    /// did not take.
    pub(crate) fn init(self, args: Args, collected: Args) -> (Result<()>, Args) {
        match self {
            Found::Own(init) => run_init(init, args, collected),
            #[cfg(feature = "plugin")]
            Found::Plugin(init) => init.init(args, collected),
        }
    }
}
