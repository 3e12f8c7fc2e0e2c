//! The plugin's side of plugins: its table, and what it does when called.
//! RUNS IN: template, child

use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::panic::catch_unwind;
use std::sync::OnceLock;

use crate::child::plugin::{args_of, number_of, values};
use crate::child::prepare::{after_fork_hooks, run_init};
use crate::child::reply::assume_tied_to_caller;
use crate::child::report::{self, ReporterSeed};
use crate::child::run::run_worker;
use crate::early;
use crate::entry::Kind;
use crate::protocol::reply;
use crate::registry;
use crate::sys::plugin_table::guest::{Guest, table};
use crate::sys::plugin_table::{InitEnd, Table, Value};
use crate::sys::tools;

/// The table of this library, which `export_plugin!` returns to the program that loads
/// it.
pub fn plugin_table() -> &'static Table {
    static TABLE: OnceLock<&'static Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let names = [Kind::Worker, Kind::Init].into_iter().flat_map(|kind| {
            let functions = registry::functions(kind).iter();
            functions.map(move |it| (number_of(kind), it.name))
        });
        table::<Registry>(&names.collect::<Vec<_>>())
    })
}

/// The functions of this copy's registry.
struct Registry;

impl Guest for Registry {
    fn work(index: usize, args: Vec<Value>, socket: UnixStream, status: BorrowedFd<'_>) -> u8 {
        // A plugin has its own copy of the standard library, and so its own panic hook.
        report::install_over();
        ReporterSeed::new(status).activate();
        assume_tied_to_caller();
        let code = run_worker(
            &registry::functions(Kind::Worker)[index],
            args_of(args),
            socket,
        );
        // Of the plugin's own code: the program's copy writes that of the program's.
        tools::write_profile();
        code
    }

    fn forked() -> bool {
        early::mark_forked();
        catch_unwind(after_fork_hooks).is_ok()
    }

    fn init(index: usize, args: Vec<Value>, collected: Vec<Value>) -> InitEnd {
        let init = &registry::functions(Kind::Init)[index];
        let (result, collected) = run_init(init, args_of(args), args_of(collected));
        let failure = result
            .err()
            .map(|error| (reply::kind_code(error.kind()), error.to_string()));
        InitEnd {
            failure,
            collected: values(collected),
        }
    }
}
