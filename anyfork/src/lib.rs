//! Runs functions of your program in separate processes and returns their results.
//!
//! A program that is big or has threads should not fork: the fork of a big program is slow,
//! and the fork of a program with threads is unsafe. A new exec loses everything that was
//! loaded. So anyfork forks a small *template* before `main`, or starts one by an exec, and
//! the template forks the *workers*.
//!
#![cfg_attr(feature = "pool", doc = "```standalone_crate")]
#![cfg_attr(not(feature = "pool"), doc = "```ignore")]
//! use anyfork::Pool;
//!
//! /// Runs in another process. What it takes and returns crosses by serde, and is owned: no `&str`.
//! #[anyfork::call]
//! fn count(text: String, letter: char) -> usize {
//!     text.chars().filter(|it| *it == letter).count()
//! }
//!
//! #[anyfork::early] // the template is forked before main, before any thread exists
//! fn main() -> anyfork::Result<()> {
//!     let pool = Pool::new()?; // as many processes as there are CPUs, started when needed
//!     let ours = count::call(&pool, "a process of our own".into(), 'o');
//!     let yours = count::call(&pool, "not yours".into(), 'o'); // both are under way
//!     assert_eq!((ours.blocking()?, yours.blocking()?), (4, 2));
//!     assert_eq!(count("here".into(), 'e'), 2); // it is still a function
//!     Ok(())
//! }
//! ```
//!
//! If you need a conversation rather than one result, write a worker: a function that runs in
//! a fresh process, with a connected socket, arguments and descriptors.
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
//! In async code, write `.await?` instead of `.blocking()?`. Every operation that has to
//! wait is an `async fn`, or returns a value with which you can do either, such as a
//! [`Launch`].
//!
//! # Where to begin
//!
//! - [`call`](macro@call) is for a function whose result the caller needs, and a [`Pool`]
//!   has the processes that run such functions. `f::map` calls it for each item of an iterator.
//! - [`worker`](macro@worker) is for a function that talks over a socket. [`Process`]
//!   collects the arguments and settings of a worker, and starts it.
//! - [`init`](macro@init), [`early`](macro@early) and [`after_fork`](macro@after_fork) are
//!   for functions that prepare processes.
//! - [`Command`] starts external programs.
//! - [`Worker`] and [`Child`] (in code without async: [`blocking::Worker`] and
//!   [`blocking::Child`]) are running processes, and an [`Exit`] says how a process ended.
//! - [`Error`] has a message for people and an [`ErrorKind`] for code. The page
//!   [`mistakes`](guide::mistakes) lists the messages that newcomers meet.
//! - The [`guide`] has pages for users of AnyEvent::Fork, Python, std's `Command` and
//!   procspawn, and pages on fork safety, security, performance, and how anyfork works.
//!
//! # Which process do I want?
//!
//! | | it shares | choose it |
//! |---|---|---|
//! | [`Process::new()`](Process::new), in a program with [`early`](macro@early) | what was loaded before `main` | for almost everything |
//! | [`template.fork()`](Process::fork) of a [`Process`] that you have prepared with [`init`](Process::init) | what its init functions loaded | for many workers that need the same data |
//! | [`Process::new_exec()`](Process::new_exec) | nothing but the program's file | for an address-space layout of its own |
//! | [`Process::snapshot()`](Process::snapshot) | all that `main` has built until then | in a program that still has only one thread |
//! | [`Process::exec_program(path)`](Process::exec_program) | nothing | for the workers of another program |
//!
//! [`keep_warm`](Process::keep_warm) adds spares to any of them, so that starts are faster.
//! `require` (feature `plugin`) adds a library with further workers.
//!
//! # What to know
//!
//! - **Linux only**, 5.9 or newer: anyfork needs close_range(2), pidfds, and `/proc`. On
//!   other systems the crate does not compile.
//! - **A worker sees nothing that `main` did.** A worker has the environment and the
//!   statics as they were before `main`. It has the standard streams and the working
//!   directory that your program has at the start of the worker, and no other descriptors
//!   than those that you send. Pass what the worker needs as arguments, or use settings:
//!   [`env`](Process::env), [`current_dir`](Process::current_dir) and others are named as
//!   in std's `Command`, and there are more, such as [`rlimit`](Process::rlimit).
//! - **A worker never has more rights than your program** has at the start of the worker.
//!   If your program has given up rights since its own start, anyfork executes the program
//!   again to make a new default template, which runs the preload functions again. A template
//!   that you have prepared before is not replaced: it keeps its rights, and so do its workers.
//! - **A preload must leave no thread behind.** The program's constructors run in the
//!   template, too. If one of them starts a thread, write
//!   `#[anyfork::early(constructors = false)]`.
//! - **anyfork never repeats a call whose function was entered**, and reports each call
//!   exactly once. If a call fails, [`Error::never_entered`] tells whether it is safe to
//!   repeat.
//! - **A crate that your code never names is not linked**, and neither are its functions.
//!   `use jobs as _;` names the crate `jobs`.
//! - **A worker that you start yourself may outlive your program.** When the program ends,
//!   the worker reads end-of-file from its socket. With
//!   [`kill_on_drop(true)`](Process::kill_on_drop), the worker is killed when its handle is
//!   dropped or the program ends.
//!
//! # Features
//!
//! - `tokio` (by default): `.await`, `async fn` workers, tokio's types as arguments.
//! - `pool` (by default): typed calls ([`call`](macro@call)) and pools.
//! - `serde`: `Json` and `Postcard`.
//! - `plugin`: workers from libraries that are loaded at run time.
//! - `tower`: `f::service(&pool)`, the calls of a function `f` as a
//!   `tower_service::Service`.
//! - `tracing`: a span named `launch` for each launch, with the fields `worker`,
//!   `template`, `pid`, `ready_micros`, `exit_micros` and `exit`; a span named `call` for
//!   each call in a pool, with the fields `function`, `id` and `micros`; and an event for
//!   each failure. All of them have the target `anyfork`.

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
    pub use crate::entry::asynchronous::calls::block_on_call;
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
