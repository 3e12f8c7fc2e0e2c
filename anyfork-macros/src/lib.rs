//! The attributes of [anyfork](https://docs.rs/anyfork), which re-exports them.
//! <!-- RUNS IN: the compiler -->
//!
//! Each attribute leaves the function as it was written, and adds an element to a list that the
//! linker collects. Each parses, checks and expands: expansion never fails, and an error points
//! at the token that is wrong.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod after_fork;
mod argument;
mod call;
mod codec;
mod companion;
mod early;
mod errors;
mod function;
mod init;
mod keys;
mod over_items;
mod registered;
mod sender;
mod text;
mod worker;

use proc_macro::TokenStream;

/// Registers a function that runs in a process of its own, and gives it a
/// companion that starts it.
///
/// ```
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
///
/// use anyfork::Process;
///
/// /// Runs in a fresh process. The socket is connected to the caller's end.
/// #[anyfork::worker]
/// fn repeat(mut socket: UnixStream, word: String, times: Option<usize>) -> std::io::Result<()> {
///     write!(socket, "{}", word.repeat(times.unwrap_or(2)))
/// }
///
/// #[anyfork::early]
/// fn main() -> anyfork::Result<()> {
///     // By name, with arguments of any type that turns into `word` and `times`:
///     let by_name = Process::new()?.send_arg("ho").send_arg("3").run("repeat");
///     // The same, checked by the compiler:
///     let checked = repeat::run(Process::new()?, "ho".into(), Some(3));
///     for launch in [by_name, checked] {
///         let mut worker = launch.blocking()?;
///         let mut text = String::new();
///         worker.socket.read_to_string(&mut text)?;
///         assert_eq!(text, "hohoho");
///         assert!(worker.wait()?.success());
///     }
///     assert!(repeat::NAME.ends_with("::repeat"));
///     Ok(())
/// }
/// ```
///
/// # The function
///
/// A free `fn` or `async fn` of any visibility; it may be nested in another function. The
/// attribute does not change it, and it can be called like any other.
///
/// | parameter | takes |
/// |---|---|
/// | the first, if it is a `UnixStream` or an `OwnedFd` | the communication socket: `std::os::unix::net::UnixStream`, `OwnedFd`, and in an `async fn` `tokio::net::UnixStream` |
/// | `T: FromArg` | one argument |
/// | `Option<T>`, at the end | one argument, if one is left |
/// | `Args`, the last | all remaining arguments |
///
/// The attribute recognises all of these types by their names, so it takes an alias of
/// `UnixStream` for an argument. A worker that needs no socket leaves the parameter out, and the
/// socket is closed: `fn thumbnail(image: PathBuf)`.
///
/// The function returns `()`, `!`, `ExitCode`, or a `Result` of these whose error implements
/// `Display` and `Debug`.
///
/// An `async fn` gets a tokio runtime of its own in its process; this needs
/// anyfork's feature `tokio`, which is on by default.
///
/// # The companion
///
/// An empty type with the function's name and visibility. It has
///
/// - `NAME: &'static str`, the name that the worker is registered under, and
/// - `run(process, …) -> Launch<Worker>`, which takes the function's parameters after the socket.
///   Their types must also implement `IntoArg`. An `Option` that is `None` is not sent. If a
///   later `Option` is `Some`, or the `Args` are not empty, the launch fails, because the worker
///   would take the later argument for the earlier one.
///
/// Start the worker by its name if the template already has some of the arguments, or if an
/// argument only becomes the parameter's type in the worker, as std's `TcpListener` becomes
/// tokio's: `template.fork().send_fd(listener).run(serve::NAME)`.
///
/// # Keys
///
/// | key | meaning |
/// |---|---|
/// | `name = "…"` | registers this name instead of the function's path, `module_path!()::name` |
/// | `flavor = "current_thread"` | for an `async fn`: the whole runtime runs in one thread; this is the default |
/// | `flavor = "multi_thread"` | for an `async fn`: the runtime has one thread for each processor |
/// | `worker_threads = N` | with `flavor = "multi_thread"`: this many threads |
/// | `crate = path` | the path of a re-export of anyfork (of this version), for crates that do not depend on anyfork themselves |
///
/// # Errors
///
/// The compiler reports at the offending token what is not supported: generic and `unsafe`
/// functions, `extern`, `self`, references, parameters whose types cannot be arguments, a
/// misplaced `Option` or `Args`, unknown keys.
///
/// # Caveats
///
/// - A worker may confine itself (seccomp(2)). After the worker has returned, its process makes
///   no system calls other than `read`, `write`, `sendto`, `recvfrom`, `close`, `fcntl`, `brk`,
///   `mmap`, `munmap`, `mremap`, `madvise`, `futex`, `sigaltstack`, `rt_sigprocmask`,
///   `rt_sigreturn`, `getpid`, `gettid` and `exit_group`. If the worker has ever started a
///   thread, another thread flushes the output: the process then also makes `clone3` and the
///   calls of a new thread. The process of an `async fn` also makes those of its runtime.
/// - The parent of a worker is its template, not the program. What the kernel ties to the parent,
///   such as the permission to trace (ptrace(2)) and `PR_SET_PDEATHSIG`, refers to the template.
///   A program that is a subreaper (`PR_SET_CHILD_SUBREAPER`) becomes the parent once the
///   template has exited.
/// - std names the first thread of a program in its start-up code, which does not run in a
///   worker: there `std::thread::current().name()` is `None`. The kernel's name for the thread
///   (`comm`) is the beginning of the process's title: `anyfork: ` and the worker's name.
/// - Each thread makes the random keys of std's `HashMap` when it first needs them. If a preload
///   or init function has made them, the first threads of all workers of that template have the
///   same keys. If strangers choose what a worker puts into its maps, make the maps in a thread
///   that the worker starts, which has keys of its own, or give them a hasher that an
///   [`after_fork`](macro@after_fork) function seeds.
/// - The test harness does not capture what a worker prints, nor what any other process prints.
///   Give the worker a pipe (`stdout(Stdio::piped())`) or have it write to its socket, and print
///   the text in the test.
/// - A worker's process ends with `_exit`. Before that, it writes out what std and the C library
///   have buffered, and the counters of `-C instrument-coverage` and `-C profile-generate`: each
///   process has a file of its own if the file name (`LLVM_PROFILE_FILE`) contains `%p`, as the
///   compiler's default and the names of `cargo llvm-cov` do. If the name contains only `%m`, the
///   counters are added to those in the file. A template writes its counters when it exits. A
///   program that was built with a sanitizer looks for leaks after a worker has succeeded. A
///   process that is killed, or that executes a program, writes and reports nothing.
/// - The companion takes the function's name in the type namespace: no type or module of this
///   name can be defined beside it.
/// - The path of a nested function does not contain the outer function's name, and two versions
///   of one crate have the same paths. A companion starts its own function all the same. To be
///   started by name, functions that share a path need a `name` each.
/// - A crate that is never named in code is not linked, and neither are its workers:
///   `use jobs as _;` names it.
#[proc_macro_attribute]
pub fn worker(keys: TokenStream, item: TokenStream) -> TokenStream {
    beside(item, |item| worker::worker(keys.into(), item))
}

/// Requests a template that is forked before `main`, before any thread exists.
///
/// On `main`, that is all. The attribute may stand above or below another one such as
/// `#[tokio::main]`. If another function is annotated, the template also runs that function,
/// once, before it serves requests: every worker has what the function has loaded.
///
/// ```
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
/// use std::sync::OnceLock;
///
/// use anyfork::Process;
///
/// static WORDS: OnceLock<Vec<String>> = OnceLock::new();
///
/// #[anyfork::early]
/// fn load() {
///     WORDS.get_or_init(|| vec!["loaded".to_owned(), "once".to_owned()]);
/// }
///
/// #[anyfork::worker]
/// fn word(mut socket: UnixStream, index: usize) -> std::io::Result<()> {
///     let words = WORDS.get().map_or(&[][..], Vec::as_slice);
///     write!(socket, "{}", words[index])
/// }
///
/// fn main() -> anyfork::Result<()> {
///     let mut worker = word::run(Process::new()?, 1).blocking()?;
///     let mut text = String::new();
///     worker.socket.read_to_string(&mut text)?;
///     assert_eq!(text, "once");
///     assert!(WORDS.get().is_none(), "this process has not loaded them");
///     Ok(())
/// }
/// ```
///
/// # The function
///
/// `main`, or a free function without parameters. Its return type is one that a worker may have
/// (see [`worker`](macro@worker)). The attribute does not change the function. If a program has
/// several annotated functions, they run in the order of their full paths. In a test file, which
/// has no `main`, annotate an empty function: the tests then have an early template.
///
/// # Keys
///
/// | key | meaning |
/// |---|---|
/// | `keep_fds` | the template and its workers keep the descriptors that the program was started with, under the same numbers |
/// | `keep_rights` | the template keeps the rights that the program has at its start, and still serves the program after it has given them up: see Rights |
/// | `constructors = false` | the program's other constructors do not run in the template |
/// | `crate = path` | the path of a re-export of anyfork (of this version), for crates that do not depend on anyfork themselves |
///
/// # Rights
///
/// A program that gives up rights after its start (a change of user, fewer capabilities,
/// chroot(2), `no_new_privs`, seccomp(2)) would get them back through a template that still has
/// them. Such a template is therefore not used again: it ends, and another one is executed with
/// the program's present rights. (The bounding set, which limits the capabilities of executed
/// programs, is compared for external programs only: reading it takes some 41 system calls, and
/// it limits nothing in a worker that executes no program.) If the program's file has
/// capabilities (`setcap`), its early template has them, too, and serves the program. No other
/// template can be executed, neither before nor after the program gives them up, because the file
/// would give them to whoever executes it. With `keep_rights`, on any of the annotated functions,
/// the early template stays and serves the program even so: this is for programs that separate
/// privileges on purpose. An attacker who takes over such a program can run all of its workers,
/// and any external program, with the rights that the program had at its start.
/// `Process::end_early` ends the template.
///
/// # Constructors
///
/// The template is forked by a constructor of priority 100. Before the annotated functions, the
/// template runs the program's later constructors: those of the crates `ctor`, `inventory` and
/// `typetag`, of C++ objects, and of LLVM's profile runtime. If a constructor starts a thread,
/// the template fails with a message that says so; `constructors = false`, on any of the
/// annotated functions, leaves them all out.
///
/// # Descriptors
///
/// Once it is prepared, the template lets go of the program's standard streams and current
/// directory, unless the annotated functions have replaced them. It closes all other descriptors
/// that a shell (`9>lock`) or a supervisor gave the program, because they would stay open as long
/// as the template lives. With `keep_fds`, on any of the annotated functions, the template and
/// all of its workers keep these descriptors (external programs do not). The workers always have
/// the descriptors that the annotated functions open.
///
/// # Errors
///
/// Parameters, generics, `unsafe`, `extern` and `async` (except on `main`) are compile errors at
/// the token.
///
/// # Caveats
///
/// The function runs before `main` has set up anything: no logger, no settings, no parsed
/// arguments. It must not leave threads behind, since a fork copies only the thread that calls
/// it.
#[proc_macro_attribute]
pub fn early(keys: TokenStream, item: TokenStream) -> TokenStream {
    beside(item, |item| early::early(keys.into(), item))
}

/// Registers a function whose result comes back, and gives it a companion that calls it in
/// another process.
///
/// ```
/// use anyfork::Process;
///
/// /// Runs in a process of its own, and knows nothing of that.
/// #[anyfork::call]
/// fn add(one: u32, other: u32) -> u32 {
///     one + other
/// }
///
/// fn main() -> anyfork::Result<()> {
///     assert_eq!(add::call(Process::new()?, 1, 2).blocking()?, 3);
///     assert_eq!(add(1, 2), 3, "the same here");
///     assert!(add::NAME.ends_with("::add"));
///     Ok(())
/// }
/// ```
///
/// # A call, or a worker?
///
/// A call is for work that is handed over and awaited: arguments go in, one result comes out, and
/// a crash is an error of that call alone. A [`worker`](macro@worker) is for a conversation: it
/// has a socket, on which the two sides say what they like for as long as they like.
///
/// # The function
///
/// A free `fn` or `async fn` of any visibility; it may be nested in another function. The
/// attribute does not change it, and it can be called like any other. It sees only its
/// parameters, and runs in a copy of the template: a static has the value that the template's
/// preparation gave it, not the caller's.
///
/// These types can be parameters and results:
///
/// | type | crosses as |
/// |---|---|
/// | descriptors, the same types as for workers: `File`, `OwnedFd`, pipes, std's and tokio's sockets; `Option` and `Vec` of them | descriptors: no data is copied |
/// | `Vec<u8>`, `String`, `PathBuf`, `OsString` | bytes; long ones are not copied |
/// | `std::io::Error` | kind, number and text: [`raw_os_error`](std::io::Error::raw_os_error) still works |
/// | `anyfork::Failure` | its texts |
/// | any type that implements serde's `Serialize` and `DeserializeOwned` | postcard |
///
/// The first row that fits the type counts, even if the function names the type by an alias. An
/// outermost tuple (of at most twelve parts), `Option` or `Result` is taken apart, and so is a
/// tuple in `Ok`: each part crosses by these rules. Everything deeper is left to serde: there, a
/// descriptor crosses as an `anyfork::Fd`.
///
/// An `async fn` runs in the tokio runtime of its process, which has one thread; this needs
/// anyfork's feature `tokio`.
///
/// # The companion
///
/// An empty type with the function's name and visibility. It has
///
/// - `NAME: &'static str`, the name that the function is registered under, and
/// - `call(on, …) -> Call<R, E>`, which takes the place where the function is to run, and the
///   function's parameters. The place is a `&Pool`, a `&mut Lease`, or a `Process` for a fresh
///   process of the call's own. The call is under way when the method returns;
/// - `map(&pool, items) -> pool::Map<I, R>`: a call for each item. An item is the parameter, a
///   tuple of the parameters, or `()`;
/// - `each(&pool, …) -> pool::Each<R>`: one call in every live worker; and
/// - with anyfork's feature `tower`, `service(&pool)`: the calls as a `tower_service::Service`.
///
/// One parameter may be an `anyfork::Sender<E>`, which the attribute recognises by that name:
/// while the function runs, it sends events of type `E`, and the caller receives them with
/// `Call::recv`. The companion's `call` leaves that parameter out, and the compiler refuses
/// `map`, `each` and `service`.
///
/// # Keys
///
/// | key | meaning |
/// |---|---|
/// | `name = "…"` | registers this name instead of the function's path, `module_path!()::name` |
/// | `text_errors` | the error of the `Result` crosses as text, with its sources, and arrives as `anyfork::Failure`, which `?` passes on: for `anyhow::Error`, `Box<dyn Error>` |
/// | `crate = path` | the path of a re-export of anyfork (of this version), for crates that do not depend on anyfork themselves |
///
/// # Errors
///
/// The compiler reports at the offending token what is not supported: generic and `unsafe`
/// functions, `extern`, `self`, references, `impl Trait`, `!`, a second attribute of anyfork's,
/// unknown keys, and a type that cannot cross.
///
/// # Caveats
///
/// - postcard's format does not describe itself: types with `#[serde(flatten)]`,
///   `#[serde(untagged)]` or `#[serde(skip_serializing_if = "…")]`, and `serde_json::Value`,
///   cannot be decoded. Send such a type as `anyfork::Json`.
/// - A call finds its function by the function's name, the names of its parameters, and the types
///   in its signature with their sizes. Another program (`Process::exec_program`) or plugin in
///   which these differ refuses the call. A structure whose fields have changed, but whose size
///   has not, goes unnoticed.
/// - If a function forks, the copy of the process may return from the function, too: the copy's
///   answer is refused, and the copy exits.
/// - The process of a call has a handler for SIGINT and SIGQUIT that does nothing, because a
///   terminal sends them to its whole process group (Ctrl-C). The programs that the function
///   starts have no such handler.
/// - The companion takes the function's name in the type namespace: no type or module of this
///   name can be defined beside it.
/// - A crate that is never named in code is not linked, and neither are its functions:
///   `use jobs as _;` names it.
#[proc_macro_attribute]
pub fn call(keys: TokenStream, item: TokenStream) -> TokenStream {
    beside(item, |item| call::call(keys.into(), item))
}

/// Registers a function that prepares a process before the process runs a worker or is forked,
/// and gives the function a companion that adds it to the preparation.
///
/// ```
/// use std::sync::OnceLock;
///
/// use anyfork::Process;
///
/// static PRIMES: OnceLock<Vec<u32>> = OnceLock::new();
///
/// #[anyfork::init]
/// fn sieve(limit: u32) -> Result<(), String> {
///     let prime = |n: &u32| (2..*n).all(|d| n % d != 0);
///     PRIMES.set((2..limit).filter(prime).collect()).map_err(|_| "sieved twice".into())
/// }
///
/// #[anyfork::worker]
/// fn check(_socket: std::os::fd::OwnedFd) {
///     assert_eq!(PRIMES.get().map(Vec::len), Some(25));
/// }
///
/// fn main() -> anyfork::Result<()> {
///     let template = sieve::init(Process::new()?, 100);
///     for _ in 0..3 {
///         let mut worker = check::run(template.fork()).blocking()?;
///         assert!(worker.wait()?.success());
///     }
///     Ok(())
/// }
/// ```
///
/// # The function
///
/// A free `fn` with parameters like a worker's (see [`worker`](macro@worker)), but without a
/// socket. It returns `()` or a `Result` whose error implements `Display` and `Debug`. After an
/// error or a panic, every launch from that process fails with `InitFailed`.
///
/// # The companion
///
/// `NAME`, and `init(process, …) -> Process`.
///
/// # Keys
///
/// | key | meaning |
/// |---|---|
/// | `name = "…"` | registers this name instead of the function's path |
/// | `crate = path` | the path of a re-export of anyfork |
///
/// # Errors
///
/// Those of [`worker`](macro@worker). In addition, `async` is not supported.
///
/// # Caveats
///
/// In a process that is to be forked, the function must leave no thread behind, since a fork
/// copies only the thread that calls it: otherwise the launches fail.
#[proc_macro_attribute]
pub fn init(keys: TokenStream, item: TokenStream) -> TokenStream {
    beside(item, |item| init::init(keys.into(), item))
}

/// Registers a function that runs in every forked child, before any other code of
/// yours: to reseed random number generators, or to drop caches.
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// use anyfork::Process;
///
/// static FORKS: AtomicU32 = AtomicU32::new(0);
///
/// #[anyfork::after_fork]
/// fn count() {
///     FORKS.fetch_add(1, Ordering::Relaxed);
/// }
///
/// #[anyfork::worker]
/// fn check(_socket: std::os::fd::OwnedFd) {
///     assert_eq!(FORKS.load(Ordering::Relaxed), 2, "in the template, and here");
/// }
///
/// fn main() -> anyfork::Result<()> {
///     let template = Process::new()?;
///     let mut worker = check::run(template.fork()).blocking()?;
///     assert!(worker.wait()?.success());
///     Ok(())
/// }
/// ```
///
/// # The function
///
/// A free `fn()`. If there are several, they run in the order of their full paths. They run in
/// workers, and in templates that were forked from other templates, before the init functions
/// there.
///
/// # Keys
///
/// | key | meaning |
/// |---|---|
/// | `crate = path` | the path of a re-export of anyfork |
///
/// # Caveats
///
/// A panic ends the child, and its launch fails. The time that the function takes is added to
/// every start.
#[proc_macro_attribute]
pub fn after_fork(keys: TokenStream, item: TokenStream) -> TokenStream {
    beside(item, |item| after_fork::after_fork(keys.into(), item))
}

/// The item as it was written, and what an attribute adds.
fn beside(
    item: TokenStream,
    add: impl FnOnce(proc_macro2::TokenStream) -> proc_macro2::TokenStream,
) -> TokenStream {
    let item = proc_macro2::TokenStream::from(item);
    let added = add(item.clone());
    quote::quote!(#item #added).into()
}
