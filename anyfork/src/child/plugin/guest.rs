//! The plugin's side of plugins: its table, and what it does when called.
//! RUNS IN: template, child

use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::panic::catch_unwind;
#[cfg(feature = "pool")]
use std::process;
use std::sync::OnceLock;
#[cfg(feature = "pool")]
use std::sync::{Mutex, PoisonError};

#[cfg(feature = "pool")]
use crate::child::calls::answer::{Served, serve_one};
#[cfg(feature = "pool")]
use crate::child::plugin::NUMBER_OF_CALLS;
use crate::child::plugin::{args_of, number_of, values};
use crate::child::prepare::{after_fork_hooks, run_init};
use crate::child::reply::assume_tied_to_caller;
use crate::child::report::{self, ReporterSeed};
use crate::child::run::run_worker;
use crate::early;
use crate::entry::Kind;
#[cfg(feature = "pool")]
use crate::protocol::call::{Payload, Terms};
use crate::protocol::reply;
use crate::registry;
#[cfg(feature = "pool")]
use crate::sys::fork_mark::ForkMark;
use crate::sys::plugin_table::guest::{Guest, table};
use crate::sys::plugin_table::{InitEnd, RawCall, Table, Value};
use crate::sys::tools;

/// The table of this library, which `export_plugin!` returns to the program that loads
/// it.
pub fn plugin_table() -> &'static Table {
    static TABLE: OnceLock<&'static Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let names = [Kind::Worker, Kind::Init].into_iter().flat_map(|kind| {
            let functions = registry::functions(kind).iter();
            functions.map(move |it| (number_of(kind), it.name, 0))
        });
        #[cfg(feature = "pool")]
        let names = names.chain(registry::calls().iter().map(|it| {
            let fingerprint = (it.fingerprint)();
            (NUMBER_OF_CALLS, it.name, fingerprint)
        }));
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

    #[cfg(feature = "pool")]
    fn call(
        index: usize,
        args: Vec<Value>,
        call: RawCall,
        socket: BorrowedFd<'_>,
        status: Option<BorrowedFd<'_>>,
    ) -> bool {
        /// Which process reports, and its mark.
        static MARK: Mutex<Option<(u32, ForkMark)>> = Mutex::new(None);
        let pid = process::id();
        let mark = {
            let mut mark = MARK.lock().unwrap_or_else(PoisonError::into_inner);
            match *mark {
                Some((marked, mark)) if marked == pid => mark,
                before => {
                    if before.is_none() {
                        report::install_over();
                    }
                    if let Some(status) = status {
                        ReporterSeed::new(status).activate();
                    }
                    let Ok(new) = ForkMark::new() else {
                        return false;
                    };
                    *mark = Some((pid, new));
                    new
                }
            }
        };
        let (mut blobs, mut fds) = (Vec::new(), Vec::new());
        for value in args {
            match value {
                Value::Bytes(bytes) => blobs.push(bytes),
                Value::Fd(fd) => fds.push(fd),
            }
        }
        let main = match blobs.is_empty() {
            true => Vec::new(),
            false => blobs.remove(0),
        };
        let payload = Payload {
            main,
            blobs,
            fds: fds.into(),
        };
        let function = &registry::calls()[index];
        let terms = Terms {
            fingerprint: 0,
            max_result: call.max_result,
            keep_after_panic: call.keep_after_panic,
            is_last: call.is_last,
            at_once: 0,
            is_ahead: false,
        };
        let served = serve_one(function, payload, 0, call.number, &terms, socket, mark);
        let stays = served.is_ok_and(|served| served == Served::Stays);
        if !stays {
            tools::write_profile();
        }
        stays
    }

    #[cfg(not(feature = "pool"))]
    fn call(
        _: usize,
        _: Vec<Value>,
        _: RawCall,
        _: BorrowedFd<'_>,
        _: Option<BorrowedFd<'_>>,
    ) -> bool {
        // The table has no such functions.
        false
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
