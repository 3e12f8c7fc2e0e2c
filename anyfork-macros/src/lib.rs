//! The attributes of [anyfork](https://docs.rs/anyfork), which re-exports them.
//! <!-- RUNS IN: the compiler -->
//!
//! Each attribute leaves the function as it is written and adds, beside it, an
//! element of a list that the linker collects. Each parses, checks and expands:
//! expansion never fails, and an error points at the token that is wrong.

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
/// A free `fn` or `async fn`, of any visibility, also inside another function.
/// It stays as it is written, and can be called like any other.
///
/// | parameter | takes |
/// |---|---|
/// | the first, if it is an `UnixStream` or `OwnedFd` | the communication socket: `std::os::unix::net::UnixStream`, `OwnedFd`, and in an `async fn` `tokio::net::UnixStream` |
/// | `T: FromArg` | one argument |
/// | `Option<T>`, at the end | one argument, if there is one left |
/// | `Args`, the last | all arguments that are left |
///
/// The attribute recognises all of these types by their names, so an alias of
/// `UnixStream` is an argument. A worker may do without a socket, which is closed then:
/// `fn thumbnail(image: PathBuf)`.
///
/// It returns `()`, `!`, `ExitCode`, or a `Result` of these whose error
/// implements `Display` and `Debug`.
///
/// An `async fn` gets a tokio runtime of its own in its process; this needs
/// anyfork's feature `tokio`, which is on by default.
///
/// # The companion
///
/// An empty type of the function's name and visibility, with
///
/// - `NAME: &'static str`, the name that the worker is registered under, and
/// - `run(process, …) -> Launch<Worker>`, which takes the function's parameters
///   after the socket, each of a type that implements `IntoArg` too. An
///   `Option` that is `None` is not sent. If one that follows it is `Some`, or
///   `Args` are given, the launch fails, because the worker would take the later
///   argument for the earlier.
///
/// # Keys
///
/// | key | meaning |
/// |---|---|
/// | `name = "…"` | registers this name instead of the function's path, `module_path!()::name` |
/// | `flavor = "current_thread"` | for an `async fn`: the whole runtime in one thread, as without the key |
/// | `flavor = "multi_thread"` | for an `async fn`: a pool of as many threads as there are processors |
/// | `worker_threads = N` | with `flavor = "multi_thread"`: this many threads |
/// | `crate = path` | where a re-export of anyfork (of this version) is, for crates that do not depend on it themselves |
///
/// # Errors
///
/// The compiler reports, at the token, what is not supported: generic and `unsafe`
/// functions, `extern`, `self`, references, parameters that are no arguments, a
/// misplaced `Option` or `Args`, unknown keys.
///
/// # Caveats
///
/// - A worker may confine itself (seccomp(2)). After it has returned, its process makes no
///   system calls but `read`, `write`, `sendto`, `recvfrom`, `close`, `fcntl`, `brk`,
///   `mmap`, `munmap`, `mremap`, `madvise`, `futex`, `sigaltstack`, `rt_sigprocmask`,
///   `rt_sigreturn`, `getpid`, `gettid` and `exit_group`. One that has started threads also
///   makes `clone3` and what a new thread needs, and an `async fn` what its runtime needs.
/// - The parent of a worker is its template, not the program: what the kernel ties to
///   parents, such as the permission to trace (ptrace(2)) and `PR_SET_PDEATHSIG`, sees the
///   template, and a program that is a subreaper (`PR_SET_CHILD_SUBREAPER`) becomes the
///   parent when that has exited.
/// - std names the first thread of a program in its start, which a worker has not had:
///   there `std::thread::current().name()` is `None`. What the kernel calls the thread
///   (`comm`) is the beginning of the process's title, `anyfork: ` and the worker's name.
/// - The random keys of std's `HashMap` belong to a thread, which makes them when it needs
///   them first. If a preload or init function has, the first threads of all workers of that
///   template have the same keys. Where others choose what a worker puts into its maps, make
///   these in a thread that the worker starts, which has keys of its own, or give them a
///   hasher that is seeded by an [`after_fork`](macro@after_fork) function.
/// - What a worker prints is not captured by the test harness, as that of any other
///   process is not. Give it a pipe (`stdout(Stdio::piped())`), or have it write to its
///   socket, and print that in the test.
/// - A worker's process leaves by `_exit`. What the program prints is written out before,
///   and so are the counters of `-C instrument-coverage` and `-C profile-generate`: each
///   process has a file of its own if the name has a `%p` in it (`LLVM_PROFILE_FILE`), as
///   the compiler's default and those of `cargo llvm-cov` have. If it has a `%m` only, the
///   counters are added to those that are there. A template writes its own when it exits. A
///   program that was built with a sanitizer looks for leaks when a worker has succeeded. A
///   process that is killed, or executes a program, writes and reports nothing.
/// - The companion has the function's name, in the type namespace: no type and no
///   module of this name can stand beside it.
/// - The path of a function inside another function does not have the outer
///   function's name, and two versions of one crate have the same paths. A companion
///   starts its own function all the same; to be started by name, two functions of
///   one path need a `name`.
/// - A crate that is never named in code is not linked, with its workers:
///   `use jobs as _;`.
#[proc_macro_attribute]
pub fn worker(keys: TokenStream, item: TokenStream) -> TokenStream {
    beside(item, |item| worker::worker(keys.into(), item))
}

/// Requests a template that is forked before `main`, before any thread exists.
///
/// On `main`, that is all. The attribute goes above or below another one such as
/// `#[tokio::main]`. On another function, the function's body also runs in the
/// template, once, before the template serves: every worker has what it loads.
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
/// `main`, or a free function without parameters whose return type is one of a
/// worker's (see [`worker`](macro@worker)). It stays as it is written. Several in
/// one program run in the order of their full paths. In a test file, which has no
/// `main`, an empty function gives the tests their template.
///
/// # Keys
///
/// | key | meaning |
/// |---|---|
/// | `keep_fds` | the template and its workers keep the descriptors that the program was started with, under their numbers |
/// | `keep_rights` | the template keeps the rights that the program has at its start, and goes on serving the program when it gives them up: see Rights |
/// | `constructors = false` | the program's other constructors do not run in the template |
/// | `crate = path` | where a re-export of anyfork (of this version) is, for crates that do not depend on it themselves |
///
/// # Rights
///
/// A program that gives up rights after its start (another user, a capability, a
/// chroot(2), `no_new_privs`, seccomp(2)) would get them back through a template that
/// still has them. So the template ends when it is about to be used then, and another
/// one is executed with the program's rights as they are. (The set of capabilities that an
/// executed program can have at most, the bounding set, is compared for external programs
/// only: it takes some 41 system calls, and a worker that executes nothing has no use for
/// it.) A program whose file has capabilities (`setcap`) has an early template that serves
/// it with these; none can be executed, before or after it gives them up, because the file
/// would give them to whoever executes it. With `keep_rights`, on any of
/// the annotated functions, it stays and serves the program all the same: for programs
/// that separate privileges on purpose. Whoever takes over such a program can run all
/// of its workers, and any external program, with the rights that it had at its start.
/// `Process::end_early` ends the template.
///
/// # Constructors
///
/// The template is forked by a constructor of priority 100. Before it runs the annotated
/// functions, it runs the program's constructors that come after: those of the crates
/// `ctor`, `inventory` and `typetag`, of C++ objects, and of LLVM's profile runtime. One
/// that starts a thread makes the template fail, with a message that says so;
/// `constructors = false`, on any of the annotated functions, leaves them all out.
///
/// # Descriptors
///
/// The template lets go of the standard streams and the directory when it is prepared,
/// but for those that the annotated functions have replaced. It closes all other
/// descriptors that a shell (`9>lock`) or a supervisor gave the program, because they would stay open
/// as long as the template lives. With `keep_fds`, on any of the annotated
/// functions, the template keeps them, and so do all of its workers (external
/// programs do not). The workers always have the descriptors that the annotated
/// functions open.
///
/// # Errors
///
/// Parameters, generics, `unsafe`, `extern` and `async` (but on `main`) are
/// compile errors at the token.
///
/// # Caveats
///
/// The function runs before everything that `main` sets up: loggers, settings,
/// argument parsing. It must not leave threads behind, since a fork copies only
/// one.
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
/// A call is for work that is given away and awaited: arguments go in, one result comes
/// out, and a crash is an error of that call alone. A [`worker`](macro@worker) is for a
/// conversation: it has a socket, on which the two sides say what they like for as long as
/// they like.
///
/// # The function
///
/// A free `fn` or `async fn`, of any visibility, also inside another function. It stays as
/// it is written, and can be called like any other. It sees its parameters only, and runs in
/// a copy of the template: a static has there what the template's preparation has put into
/// it, and not what the caller has.
///
/// These types can be parameters and results:
///
/// | type | crosses as |
/// |---|---|
/// | descriptors, as arguments of workers: `File`, `OwnedFd`, pipes, std's and tokio's sockets; `Option` and `Vec` of them | descriptors: no data is copied |
/// | `Vec<u8>`, `String`, `PathBuf`, `OsString` | bytes, which are not copied if they are many |
/// | `std::io::Error` | kind, number and text: [`raw_os_error`](std::io::Error::raw_os_error) still answers |
/// | `anyfork::Failure` | its texts |
/// | all that implement serde's `Serialize` and `DeserializeOwned` | postcard |
///
/// The compiler takes the first that fits, also behind an alias. An outermost tuple (of at
/// most twelve), `Option` or `Result` is taken apart, and so is a tuple in `Ok`: each part
/// crosses by these rules. What is deeper is serde's: a structure with a descriptor inside
/// has it as `anyfork::Fd`.
///
/// An `async fn` runs in the tokio runtime of its process, which has one thread; this needs
/// anyfork's feature `tokio`.
///
/// # The companion
///
/// An empty type of the function's name and visibility, with
///
/// - `NAME: &'static str`, the name that the function is registered under, and
/// - `call(on, …) -> Call<R, E>`, which takes where to run it, such as a `&Pool`, a
///   `&mut Lease`, or a `Process` for a fresh process of its own, and the function's parameters. The call is
///   under way when it is made;
/// - `map(&pool, items) -> pool::Map<I, R>`: a call for each item, which is the parameter, the
///   tuple of them, or `()`;
/// - `each(&pool, …) -> pool::Each<R>`: once in every worker that lives; and
/// - with anyfork's feature `tower`, `service(&pool)`: the calls as a `tower_service::Service`.
///
/// One parameter may be an `anyfork::Sender<E>`, known by that name: the function sends
/// events of type `E` with it while it runs, and the caller receives them with `Call::recv`.
/// `call` does not have that parameter, and `map`, `each` and `service` are refused.
///
/// # Keys
///
/// | key | meaning |
/// |---|---|
/// | `name = "…"` | registers this name instead of the function's path, `module_path!()::name` |
/// | `text_errors` | the error of the `Result` crosses as text, with its sources, and arrives as `anyfork::Failure`, which `?` passes on: for `anyhow::Error`, `Box<dyn Error>` |
/// | `crate = path` | where a re-export of anyfork (of this version) is, for crates that do not depend on it themselves |
///
/// # Errors
///
/// The compiler reports, at the token, what is not supported: generic and `unsafe`
/// functions, `extern`, `self`, references, `impl Trait`, `!`, a second attribute of
/// anyfork's, unknown keys, and a type that cannot cross.
///
/// # Caveats
///
/// - postcard does not describe itself: `#[serde(flatten)]`, `#[serde(untagged)]`,
///   `#[serde(skip_serializing_if = "…")]` and `serde_json::Value` cannot be decoded. Such a
///   type crosses as `anyfork::Json`.
/// - A call finds its function by name, parameter names, types and their sizes. Another
///   program (`Process::exec_program`) or plugin with another signature refuses the call. A
///   structure whose fields have changed and whose size has not is not told apart.
/// - Of a function that forks, the copy may return, too: its answer is refused, and the copy
///   exits.
/// - The process of a call is not stopped by SIGINT and SIGQUIT, which a Ctrl-C sends to the
///   whole group; the programs that it starts are.
/// - The companion has the function's name, in the type namespace: no type and no module of
///   this name can stand beside it.
/// - A crate that is never named in code is not linked, with its functions: `use jobs as _;`.
#[proc_macro_attribute]
pub fn call(keys: TokenStream, item: TokenStream) -> TokenStream {
    beside(item, |item| call::call(keys.into(), item))
}

/// Registers a function that prepares a process before it runs a worker or is
/// forked from, and gives it a companion that adds it to the preparation.
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
/// A free `fn` whose parameters are as a worker's (see [`worker`](macro@worker)), but
/// without a socket. It returns `()` or a `Result` whose error implements
/// `Display` and `Debug`. After an error or a panic every launch from that process
/// fails with `InitFailed`.
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
/// | `crate = path` | where a re-export of anyfork is |
///
/// # Errors
///
/// As [`worker`](macro@worker); `async` is not supported.
///
/// # Caveats
///
/// In a process that is forked from later the function must leave no thread behind,
/// since a fork copies only one: the launches fail otherwise.
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
/// A free `fn()`. Several run in the order of their full paths, in templates
/// that were forked from others and in workers, before their init functions.
///
/// # Keys
///
/// | key | meaning |
/// |---|---|
/// | `crate = path` | where a re-export of anyfork is |
///
/// # Caveats
///
/// A panic ends the child, and its launch fails. Every start takes longer by the
/// time that the function takes.
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
