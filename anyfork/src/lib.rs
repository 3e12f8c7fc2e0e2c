//! Runs functions of your program in processes of their own, and brings their results
//! home.
//!
//! A program that is big or has threads should not fork: the fork is slow, and unsafe. An
//! exec throws away everything that was loaded. anyfork forks a small *template* before
//! `main`, or execs one, and the template forks the *workers*: functions of the program,
//! each entered in a fresh process with a connected socket, arguments and descriptors.
//!
//! ```standalone_crate
//! use std::io::{Read, Write};
//! use std::os::unix::net::UnixStream;
//!
//! use anyfork::Process;
//!
//! /// Runs in a fresh process. The socket is connected to the caller's end.
//! #[anyfork::worker]
//! fn greet(mut socket: UnixStream, name: String, times: u32) -> std::io::Result<()> {
//!     for _ in 0..times {
//!         writeln!(socket, "hello {name} from process {}", std::process::id())?;
//!     }
//!     Ok(())
//! }
//!
//! #[anyfork::early] // the template is forked before main, before any thread exists
//! fn main() -> anyfork::Result<()> {
//!     // by name, as in AnyEvent::Fork
//!     let mut worker = Process::new()?
//!         .send_arg("world")
//!         .send_arg(2)
//!         .run("greet")
//!         .blocking()?;
//!     // the same, checked by the compiler
//!     // let mut worker = greet::run(Process::new()?, "world".into(), 2).blocking()?;
//!     let mut text = String::new();
//!     worker.socket.read_to_string(&mut text)?;
//!     print!("{text}");
//!     assert!(worker.wait()?.success());
//!     Ok(())
//! }
//! ```
//!
//! In async code the line ends in `.await?` in place of `.blocking()?`: every
//! operation that has to wait returns a [`Launch`], or is an `async fn`.
//!
//! # Where to begin
//!
//! - [`call`](macro@call) is for a function whose result comes back, and a [`Pool`] has the
//!   processes that serve such calls.
//! - [`worker`](macro@worker) is for a function that talks over a socket.
//!   [`Process`] collects what it gets, and starts it.
//! - [`init`](macro@init), [`early`](macro@early) and [`after_fork`](macro@after_fork) are
//!   for functions that prepare processes.
//! - [`Command`] starts external programs.
//! - [`Worker`] and [`Child`] (in code without async [`blocking::Worker`] and
//!   [`blocking::Child`]) are running processes, and [`Exit`] is how one ended.
//! - [`Error`] has a message for people and an [`ErrorKind`] for code. The page
//!   [`mistakes`](guide::mistakes) has the messages that newcomers meet.
//! - The [`guide`] has pages for those who come from AnyEvent::Fork, Python, std's `Command`
//!   or procspawn, and on fork safety, security and performance.
//!
//! # Which process do I want?
//!
//! | | it shares | choose it |
//! |---|---|---|
//! | [`Process::new()`](Process::new), with [`early`](macro@early) in programs | what was loaded before `main` | for almost everything |
//! | [`template.fork()`](Process::fork) of a [`Process`] that you have prepared with [`init`](Process::init) | what its init functions loaded | for many workers that need the same data |
//! | [`Process::new_exec()`](Process::new_exec) | nothing but the program's file | for an address space of its own |
//! | [`Process::snapshot()`](Process::snapshot) | all that `main` has built until then | in a program that has one thread |
//! | [`Process::exec_program(path)`](Process::exec_program) | nothing | for the workers of another program |
//!
//! To any of them [`keep_warm`](Process::keep_warm) adds spares, for starts in a hurry, and
//! `require` (feature `plugin`) a library with further workers.
//!
//! # What to know
//!
//! - **Linux only**, 5.9 or newer: it needs close_range(2), pidfds, and `/proc`. On other
//!   systems the crate does not compile.
//! - **A worker sees nothing that `main` did.** It has the environment and the statics of the
//!   time before `main`, the standard streams and the directory that its caller has when it
//!   starts it, and no other descriptor than what it was sent. Give it what it needs as
//!   arguments, or set it: [`env`](Process::env), [`current_dir`](Process::current_dir),
//!   [`rlimit`](Process::rlimit) and others are named as in std's `Command`.
//! - **A worker never has more rights than its caller** when it is started. If the program has
//!   given some up, the template is executed anew, without what it had preloaded.
//! - **A preload must leave no thread behind.** Constructors run in the template, too: one that
//!   starts a thread needs `#[anyfork::early(constructors = false)]`.
//! - **A call that was entered is never repeated**, and is reported exactly once.
//!   [`Error::never_entered`] tells which ones are safe to repeat.
//! - **A crate that is never named in code is not linked**, and neither are its functions:
//!   `use jobs as _;` names it.
//! - **A worker may outlive its program**, unless it is a pool's: the end of the program is
//!   end-of-file on its socket. [`kill_on_drop(true)`](Process::kill_on_drop) ends it with its
//!   handle, and with the program.
//!
//! # Features
//!
//! - `tokio` (by default): `.await`, `async fn` workers, tokio's types as arguments.
//! - `pool` (by default): typed calls, with [`call`](macro@call), and pools.
//! - `serde`: `Json` and `Postcard`.
//! - `plugin`: workers from libraries that are loaded at run time.
//! - `tower`: calls as a `tower_service::Service`, with `service` of a companion.
//! - `tracing`: a span for each launch, named `launch`, with the fields `worker`,
//!   `template`, `pid`, `ready_micros`, `exit_micros` and `exit`; and an event for
//!   each failure; a span for each call in a pool, named `call`, with the fields
//!   `function`, `id` and `micros`. The target of all is `anyfork`.

#![deny(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(not(target_os = "linux"))]
compile_error!("anyfork runs on Linux only: it is built on pidfds, memfds, epoll and /proc");

mod args;
mod boot;
mod caller;
mod child;
mod early;
mod entry;
mod error;
mod exit;
mod failure;
#[cfg(any(not(doctest), feature = "pool"))] // its programs need it
#[cfg_attr(not(feature = "pool"), allow(rustdoc::broken_intra_doc_links))]
pub mod guide;
mod map;
#[cfg(feature = "pool")]
pub mod pool;
mod protocol;
mod registry;
mod resource;
mod snapshot;
mod spec;
mod sys;
mod template;
#[cfg(feature = "pool")]
mod value;

pub use anyfork_macros::{after_fork, early, init, worker};

#[cfg(feature = "pool")]
pub use anyfork_macros::call;

pub use crate::args::Args;
#[cfg(feature = "serde")]
pub use crate::args::format::{Json, Postcard};
#[doc(hidden)]
pub use crate::args::given::{Descriptor, Name};
pub use crate::args::value::{Arg, ArgError, FromArg, IntoArg};
#[cfg(feature = "tokio")]
pub use crate::caller::child::ChildHandle;
pub use crate::caller::child::{Child, Worker};
pub use crate::caller::command::Command;
pub use crate::caller::command::getters::{CommandArgs, CommandEnvs};
pub use crate::caller::launch::{Launch, Target};
pub use crate::caller::process::Process;
pub use crate::caller::stdio::Stdio;
#[cfg(feature = "pool")]
pub use crate::entry::call::retire;
pub use crate::entry::collected::take_args;
#[cfg(feature = "pool")]
pub use crate::entry::sender::{Sender, Sending};
pub use crate::error::{Error, ErrorKind, Result};
pub use crate::exit::{Exit, Usage};
pub use crate::failure::Failure;
#[cfg(feature = "pool")]
pub use crate::pool::call::Call;
#[cfg(feature = "pool")]
pub use crate::pool::handle::Pool;
#[cfg(feature = "pool")]
pub use crate::pool::on::{On, OnPool};
pub use crate::resource::Resource;
#[cfg(feature = "pool")]
pub use crate::value::fd::Fd;

#[cfg(doc)]
#[doc = include_str!("../THREAT_MODEL.md")]
pub mod threat_model {}

/// Running processes for code without a runtime: what [`Launch::blocking`] gives.
pub mod blocking {
    pub use crate::caller::child::blocking::handle::ChildHandle;
    pub use crate::caller::child::blocking::{Child, Worker};
}

/// The items that the code of this version's attributes refers to. No part of the
/// interface.
#[doc(hidden)]
pub mod __private {
    pub use linkme;

    pub use crate::caller::child::Worker as RunningWorker;
    pub use crate::caller::process::init_args::InitArgs;
    #[cfg(feature = "plugin")]
    pub use crate::child::plugin::guest::plugin_table;
    #[cfg(all(feature = "pool", feature = "tokio"))]
    pub use crate::entry::asynchronous::block_on_call;
    #[cfg(feature = "tokio")]
    pub use crate::entry::asynchronous::{AsyncSocket, Flavor, runtime};
    #[cfg(feature = "pool")]
    pub use crate::entry::call::{CallEntry, CallFuture, Refusal, boxed_call};
    pub use crate::entry::chain;
    pub use crate::entry::outcome::{Outcome, Report};
    pub use crate::entry::{Entry, Socket};
    #[cfg(feature = "pool")]
    pub use crate::pool::call::{Arguments, no_event, start_call};
    #[cfg(feature = "pool")]
    pub use crate::pool::callee::{Callee, WithoutSender};
    #[cfg(feature = "pool")]
    pub use crate::pool::each::{Each, each};
    #[cfg(feature = "pool")]
    pub use crate::pool::map::{Map, map};
    #[cfg(feature = "tower")]
    pub use crate::pool::service::{Service, service};
    pub use crate::registry::{
        ANYFORK_0_1_0_AFTER_FORK as AFTER_FORK, ANYFORK_0_1_0_EARLY as EARLY,
        ANYFORK_0_1_0_INITS as INITS, ANYFORK_0_1_0_WORKERS as WORKERS,
    };
    #[cfg(feature = "pool")]
    pub use crate::registry::{ANYFORK_0_1_0_CALLS as CALLS, CallFunction};
    pub use crate::registry::{AfterFork, Early, Function};
    #[cfg(feature = "plugin")]
    pub use crate::sys::plugin_table::Table as PluginTable;
    #[cfg(feature = "pool")]
    pub use crate::value::Codec;
    #[cfg(feature = "pool")]
    pub use crate::value::fingerprint::Fingerprint;
    pub use crate::{Args, Error, FromArg, IntoArg, Launch, Process, Result};
    #[cfg(feature = "pool")]
    pub use crate::{Call, On, OnPool};

    /// What finds the codec of a type.
    #[cfg(feature = "pool")]
    pub mod value {
        pub use crate::value::parts::{ApartOk, ApartShape, WholeOk, WholeShape, join};
        pub use crate::value::probe::{BytesLeaf, ErrorLeaf, FdLeaf, NoLeaf, Probe, SerdeLeaf};
        pub use crate::value::text::{Arriving, TextErrors};
    }
}

/// The name under which the attributes look for [`__private`]: `crate = path` may
/// lead to another version of this crate than theirs, which is an error of the
/// compiler then.
#[doc(hidden)]
pub use crate::__private as __private_0_1_0;

/// Every public type can be sent to other threads and shared between them.
const _: () = {
    const fn is_shared<T: Send + Sync + 'static>() {}
    is_shared::<(Arg, ArgError, Args)>();
    is_shared::<(Error, ErrorKind, Exit, Failure, Usage)>();
    is_shared::<(Process, Command, Resource, Stdio)>();
    is_shared::<(CommandArgs<'static>, CommandEnvs<'static>)>();
    is_shared::<(Worker, Child, blocking::Worker, blocking::Child)>();
    is_shared::<blocking::ChildHandle>();
    #[cfg(feature = "tokio")]
    is_shared::<ChildHandle>();
    is_shared::<(Launch<Worker>, Launch<Child>, Launch<Process>)>();
    is_shared::<(Launch<Exit>, Launch<std::process::Output>)>();
    #[cfg(feature = "pool")]
    is_shared::<(pool::Lease, pool::Leasing, pool::Each<()>)>();
};

/// The README's programs run as they stand there.
#[cfg(all(doctest, feature = "pool", feature = "tokio"))]
#[doc = include_str!("../README.md")]
struct Readme;
