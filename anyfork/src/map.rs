//! The map of this code, for newcomers: read it first. This file has no code.
//! RUNS IN: any
//!
//! # Five processes
//!
//! | process | who makes it | what it does |
//! |---|---|---|
//! | *caller* | somebody else | any program that asks for processes, of any size and with any number of threads; it never forks |
//! | *template* | [`boot`](crate::boot), before `main` or in a process that was exec'ed; or another template, on request | waits for requests with one thread, forks, reports how its children ended, and reaps them |
//! | *child* | a template, for each request | takes on its role: a worker, an external program, or a further template |
//! | *spare* | a template, in advance | a child without a request: waits for one on the template's own control socket |
//! | *monitor* | a template with many children | holds the children's descriptors in the template's place |
//!
//! The first line of a file's docs says what the file is for, and the second line
//! (`RUNS IN:`) which of these processes run its code. *Program before main* means a caller
//! whose `main` has not begun; *any* means all of the processes. Four folders are named
//! after the processes that run their code: `caller`, `boot`, `template`, `child`. The
//! folder `protocol` has the messages between the processes, and `sys` the system calls.
//!
//! # Three channels
//!
//! | channel | kind | from, to | carries |
//! |---|---|---|---|
//! | *control socket* | `SOCK_SEQPACKET` pair, one for each template | any owner to the template, or to whichever spare reads first | requests; the number of spares. Its hang-up means that the last owner is gone |
//! | *reply socket* | stream pair, one for each start | the child to the caller | `Ready` or `Failed`, with the child's own pidfd. For a worker it is the communication socket from then on |
//! | *status pipe* | pipe, one for each start | the child and the template to the caller | why the child failed (the child writes it) and how it ended (both do). If nobody reads it, the caller has dropped its handle |
//!
//! [`protocol`](crate::protocol) has the tables of their bytes.
//!
//! # A start in eight lines
//!
//! 1. `Process::run` encodes what was collected, and [`Spawn`](crate::caller::spawn)
//!    makes the reply socket and the status pipe and sends one message to the template.
//! 2. The template's loop ([`template::server`](crate::template::server)) receives it, and
//!    forks or starts a program ([`template::programs`](crate::template::programs)); or a
//!    spare ([`child::spare`](crate::child::spare)) receives it.
//! 3. The child closes what is not its own, and reads the request
//!    ([`child::request`](crate::child::request)). If the request has nothing but a worker
//!    and its arguments, the template has read it before the fork
//!    ([`child::fast_path`](crate::child::fast_path)).
//! 4. It applies the settings and takes the steps ([`child::role`](crate::child::role),
//!    [`child::settings`](crate::child::settings),
//!    [`child::prepare`](crate::child::prepare)).
//! 5. It finds the worker ([`child::functions`](crate::child::functions)), decodes the
//!    arguments ([`entry`](crate::entry)), and answers `Ready` with its pidfd
//!    ([`child::reply`](crate::child::reply)).
//! 6. The caller reads the answer ([`caller::spawn::reply`](crate::caller::spawn::reply)): the
//!    launch resolves. The child calls the worker ([`child::run`](crate::child::run)).
//! 7. The worker returns: the child writes why it failed, if it did, and its exit code
//!    ([`child::report`](crate::child::report)), and leaves by `_exit`.
//! 8. The caller's wait is woken by the pidfd and reads the status pipe
//!    ([`caller::child`](crate::caller::child)); the template writes the record that
//!    the kernel gives it, and reaps ([`template::children`](crate::template::children)).
//!
//! # Which file do I open?
//!
//! | task | file |
//! |---|---|
//! | add a setting of a process | `spec.rs` (`Setting`, its place in the order); then `caller/process/attributes.rs` and `caller/command/settings.rs` (the method), `protocol/setting.rs` and the table in `protocol.rs` (its bytes), `child/settings.rs` (applying it); for a program without a fork `protocol/direct.rs` and `template/programs/layout.rs` |
//! | add an argument type | `args/convert.rs` (the traits are in `args/value.rs`), for a descriptor `args/descriptor.rs`, for a type of tokio's `args/tokio.rs` |
//! | a launch hangs | `caller/spawn.rs` (what it waits for), `caller/spawn/wait_for.rs` (the event), `caller/wait/` (how), `caller/spawn/template_lost.rs` (when nobody answers) |
//! | a wrong exit code or status | `caller/child/exit_watch.rs` (where a status comes from), `caller/child/status.rs` and `protocol/status.rs` (the bytes), `child/report.rs` (what the child writes), `template/children.rs` (what the template writes) |
//! | starts got slower | `template.rs` (the system calls of a start), `child/fast_path.rs`, `template/server.rs`; for spares `child/rehearsal.rs` |
//! | change how a process is started | `caller/process/collect.rs` (what it is given), `caller/process/start.rs` (a worker), `caller/process/fork.rs` (a template), `caller/command/start.rs` (a program) |
//! | a new kind of error | `error.rs`, and `protocol/reply.rs` if it comes from the child |
//! | an attribute | `anyfork-macros` (parse, check, expand); the generated code calls `entry.rs` and `registry.rs` |
//! | a program starts differently if it has an init function | `template/programs/layout.rs` and `child/role.rs`, which must do the same |
//! | a program starts differently from std's | `caller/command/start.rs` (what it inherits), `caller/command/environment.rs`, `child/exec.rs` |
//! | a limit of a program's time or output, its input | `caller/command/bounds.rs` (what is set), `caller/command/exchange.rs` (when it is ended), and in `exchange/` the reading and writing |
//! | a panic is not reported | `child/report.rs`; without memory or stack `child/report/last_word.rs` and `sys/crash.rs` |
//! | a backtrace lacks names | `child/report/frames.rs` (what is sent), `failure/names.rs` (names) |
//! | a template does not start | `boot/constructor.rs`, `boot/double_fork.rs`, `caller/templates/exec.rs` |
//! | a typed call | `pool/call.rs` (what its owner has), `pool/fresh.rs` and `pool/pooled.rs` (where it runs), `pool/connection.rs` (one worker), `protocol/call.rs` (the bytes), `child/calls.rs` (the worker) |
//! | `map` | `pool/map/flights.rs` (what is under way, and what is sent again), `pool/map/pace.rs` (how much is under way), `protocol/call/items.rs` (several items in a request) |
//! | events of a call | `entry/sender.rs` (what the function has), `child/calls/outlet.rs` (how they leave), `pool/arrivals.rs` (what is kept), `pool/recv.rs` (what the owner has) |
//! | a lease, `each` | `pool/lease.rs` (what its owner has), `pool/lease/leasing.rs` (how it is waited for), `pool/each.rs`, `pool/state/leases.rs` (whose turn it is) |
//! | a pool does the wrong thing next | `pool/state.rs`, pure and tested in every interleaving |
//! | a pool hangs | `pool/exchange.rs` (who reads), `pool/inner.rs` (`reading`: when the watcher does), `pool/watcher.rs` |
//! | lines that workers print | `pool/logs.rs` (the threads), `pool/logs/source.rs` (a pipe, and which call a line belongs to), `pool/logs/queue.rs` (what waits, and what is left out) |
//! | spans and events of workers | `child/trace.rs` (the worker's subscriber), `protocol/trace.rs` (the bytes), `pool/logs/retold.rs` (how they are reported here), `pool/logs/sites.rs` (their callsites), `pool/trace.rs` (`Home`: where they belong) |
//! | a setting of a pool | `pool/builder/` (the method), `pool/limits.rs` (if the state goes by it) or `pool/core.rs` (`Options`) |
//! | a value that crosses with a call | `value/probe.rs` (which codec a type has), `value/parts.rs` (tuples and the like), `value/codecs.rs`; the text of a compile error is at `value/probe.rs` (`Crosses`) |
//! | a call in a fresh process | `pool/fresh/course.rs` (what happens), `pool/fresh.rs` (how it is waited for), `pool/failed.rs` (what its caller is told) |
//! | a function is not found, or refused | `child/calls.rs`, `value/fingerprint.rs`; in a plugin `child/plugin.rs` |
//! | spares | `template/spares.rs` (how many), `template/patience.rs` (when they take nothing), `child/spare.rs` (what one does), `child/rehearsal.rs` (what it pays in advance) |
//!
//! # Between the fork and the worker
//!
//! A child may allocate and lock, because the template has one thread, so no lock is
//! held across the fork. What may not happen:
//!
//! - unwinding or returning into the template's loop, whose descriptors are closed;
//! - dropping an object of the template's that owns a descriptor, because the number is
//!   closed and may be another's: such objects are forgotten;
//! - running destructors or `exit` handlers at the end, which are the template's too:
//!   a child flushes and leaves by `_exit`;
//! - running the user's code before the child has sent its claim, and before it is tied to
//!   the life of its caller ([`child::reply`](crate::child::reply));
//! - on the fast path, touching memory that was not touched yet: each page costs about a
//!   microsecond.
//!
//! A child of [`template::programs`](crate::template::programs) is not forked: it shares the
//! memory of its template, which keeps running. The child runs only
//! [`sys::vm_child`](crate::sys::vm_child), which neither allocates, nor locks, nor calls the
//! C library.
//!
//! # Statics of a process, and what a fork does to them
//!
//! | static | who writes it | after a fork of ours |
//! |---|---|---|
//! | `early::EARLY` | the constructor, once | stays; of another generation, so not used |
//! | `early::GENERATION` | every child, first | one more: what an earlier generation made is not ours |
//! | `caller::templates`: the default template, the early template's handle | the first `Process::new` | of another generation, so forgotten |
//! | `caller::templates::adopted::LEFT` | the first process of a container, and a subreaper: what it may have to reap | of another generation, so forgotten |
//! | `child::report::STATE` | template (who it is), child (its pipe), panic hook | replaced by the child's own, before anything can fail |
//! | `child::report::last_word`: where to report, and the prepared frame | as `STATE` | as `STATE`; a frame is of its own process's panic |
//! | `child::report::frames::PROGRAM` | a template at its birth | stays: the program is the same |
//! | `sys::crash::LAST_WORD` | a template at its birth | stays: the children's last words are reported, too |
//! | `child::reply::WAKE` | a spare that has taken a request | empty: a spare is not forked from before it is ready |
//! | `child::reply::TIED_TO_CALLER` | the child before user's code | false, because nobody forks while it is true |
//! | `child::baseline`: what was there at birth, whether user's code has run | a template at its birth; whoever runs user's code | stays: a child is compared with its template's birth |
//! | `child::own_limits::GIVEN` | a child that a setting limits | stays: so does the limit |
//! | `child::title::OWNER` | a template at its birth | stays: the owner is the same |
//! | `sys::proc_title` (where the command line is) | the first title | stays: memory of its own at the same place |
//! | `child::surroundings::OWNED` | a template that is prepared, settings | stays: what the template owns, its children own |
//! | `child::privacy::WAS_OPEN` | a template, when it begins to serve | stays: its children restore it |
//! | `child::trust::KEEPS_RIGHTS` | a template at its birth | stays |
//! | `caller::templates::EARLY_ENDED` | the program | stays; the generation decides before |
//! | `sys::signal::IGNORES_SIGCHLD`, `sys::signal::PROGRAMS_IGNORE_SIGPIPE` | a template at its birth, settings | stays: the disposition is the same |
//! | `sys::vm_child::task`: the texts of errors | a template that starts a program | stays: the texts are the same |
//! | `sys::environ::NAMELESS` | the constructor, once, if there is such a text | stays: what the program was started with |
//! | `sys::tools` (the name of the file of counters, and whose pid is in it) | the constructor; every child, first | the child's own pid |
//! | `sys::threads::OF_LIBRARIES` | a template at its birth | replaced in the next template; others do not count threads |
//! | `caller::wait::shortage::STATE` | every launch and wait | of another generation, so forgotten |
//! | `sys::constructors` (the arguments of `main`), `sys::threads` (the C library's flag) | the constructor, a template at its birth | stays: memory at the same place |
//! | `child::prepare`: the sorted `after_fork` functions | the first child that runs them | stays or is made again |
//! | `child::plugin::LOADED`, `child::plugin::guest::TABLE` | `require`; a plugin's entry | stays: the library is mapped in the child, too |
//! | `entry::collected::COLLECTED` | an init function's run | empty: while an init function runs, only the user's code forks |
//! | `pool::watcher::WATCHER` (the pools, and the thread that watches them) | the first pool, the watcher | of another process, so replaced |
//! | `pool::logs::sites::SITES` (callsites of workers' events) | the thread that reports them | stays: callsites are never freed |
//! | `child::trace::ENTERED` (thread-local: the spans that a thread is in) | the worker's subscriber | stays, like the subscriber, which is silent in a copy |
//! | `pool::call::LATEST` (the number of the latest call) | every call | stays: numbers only rise |
//! | `entry::call::RETIRES` (whether the worker leaves) | `anyfork::retire` | stays; nothing is forked from a worker of a pool |
//! | `args::failure` (thread-local) | whoever collects arguments | empty outside of a collection |
//! | `child::plugin::guest`: which process reports, and its mark | a call of a plugin's function | of another pid, so made again |
//! | the fingerprints of functions that are called | the first call, or the first search for a function | stays: the types are the same |
//! | `value::fd` (thread-locals), the runtime of `async` functions that are called (thread-local) | one value; the first such call | empty outside of a call |
//! | the linkme slices | the linker | read-only |
//!
//! # Where a status comes from
//!
//! The caller looks at the pidfd first, which tells whether the process is running, has
//! exited or was reaped. It then looks at the status pipe: what an ended process has not
//! written by then, it never will.
//!
//! | pidfd | status pipe | then |
//! |---|---|---|
//! | running | (not read) | it runs |
//! | exited | has the template's record | if the kernel keeps the status (Linux 6.15), wait a short time for the reap; otherwise, the record is the status. If the caller has adopted the process, it reaps it |
//! | exited | has only the child's own record | that is the status; wait a short time for the usage |
//! | exited | empty, with writers | wait: the template is about to write, or others hold the pipe. After a second also ask `/proc`: the child may be traced |
//! | exited or reaped | at its end | the template is gone: the kernel is asked (`waitid` for an adopted process, `PIDFD_GET_INFO` from Linux 6.15, `/proc` for a zombie), or the status is lost: `Died` without code and signal |
//! | reaped | has a record | the kernel is asked (`PIDFD_GET_INFO`): whoever can write into the pipe can lie. Before Linux 6.15 the record is the status |
//! | reaped | empty | as if the pipe were at its end: whoever reaped the process wrote nothing |
//!
//! # Glossary
//!
//! - **adopted**: a process whose parent is gone, and whose new parent the program is.
//! - **abandoned**: a child whose status pipe nobody reads any more.
//! - **arrival**: what a worker sends for a call before its last answer: an event, or the
//!   answer to one of several items.
//! - **answer**, **reply**: the one frame that a child sends before it is ready.
//! - **back-off**: the interval before something that failed is tried again.
//! - **base**: the process whose forks the workers of a pool are.
//! - **baseline**: the streams, directory and environment at a template's birth.
//! - **body**, **head**: the two parts of a request; the template reads only the head.
//! - **blob**: a large run of bytes in a call, which is received into memory of its own.
//! - **boot**: making a template before `main`.
//! - **call**: a function that is called in another process, and gives a result.
//! - **caller**: the process that asks.
//! - **child**: a process that a template has forked for a request.
//! - **chunk**: items of a map that follow each other, and go to a worker in one call.
//! - **claim**: the frame by which a child tells its caller, with its pidfd, who it is, before
//!   it runs user's code.
//! - **codec**: what carries the values of one type.
//! - **control socket**: where a template receives requests.
//! - **default template**: the early one, or one that is exec'ed at first need.
//! - **delegate**: to hand children to a monitor.
//! - **direct**: a child that becomes a program, and shares its template's memory until the
//!   exec.
//! - **double fork**: forking a child that forks the template and exits, so that the
//!   template is nobody's child.
//! - **early template**: the one that is forked before `main`.
//! - **entered**: a call, from the moment before its arguments are decoded.
//! - **entry**: what decodes a function's arguments and calls it.
//! - **event**: what a function sends its caller while it runs. In `pool/state`: an input of
//!   the state.
//! - **exit**: how a process ended. *End* is the end of a descriptor's data.
//! - **fast path**: a request for a worker and its arguments, and nothing else.
//! - **fingerprint**: the digest of a function's name and signature.
//! - **fresh process**: one that is started for one call.
//! - **generation**: the number of our forks since the exec.
//! - **home**: the observer and the span that a worker's reports belong to.
//! - **init**: a registered function that prepares a process.
//! - **launch**: a start as the user sees it; **spawn**: the same inside.
//! - **line**: the conversation with one worker of a pool; one thread at a time holds it.
//! - **lost**: a child whose status pipe its template does not have.
//! - **monitor**: see the five processes.
//! - **notice**: what a spare or a monitor reports to its template.
//! - **owner**: a process that holds a sending end of a control socket.
//! - **plugin**: a library with functions of its own, loaded while the program runs.
//! - **preload**: an `#[anyfork::early]` function that is not `main`.
//! - **reap**: to take a process's status from the kernel, after which its pid is free.
//! - **region**: the memory of a direct child, which its template lays out.
//! - **record**: the frame in a status pipe that has the status.
//! - **reported**: written into the status pipe.
//! - **request**: one message on a control socket; of a call, a frame to its worker.
//! - **role**: what a child becomes.
//! - **setting**: what is applied before user's code; **step**: what is done after it.
//! - **spare**: see the five processes. **Surplus**: spares above the target.
//! - **status pipe**: see the three channels.
//! - **surroundings**: the standard streams and the directory.
//! - **target**: the number of spares that a template keeps.
//! - **template**: see the five processes.
//! - **usage**: the time and the memory that a process has used.
//! - **watcher**: the thread that watches all pools of a process.
//! - **worker**: a registered function, and the child that runs it.
//!
//! # The walls
//!
//! ```text
//! boot ─► template ─► child ─┐                snapshot ─► boot, caller
//! caller ────────────────────┴─► protocol ─► spec ─► args ─► error ─► exit ─► failure
//! pool ─► caller, protocol, value ─► args
//! child ─► registry ─► entry ─► args          everyone ─► sys ─► nothing of ours
//! ```
//!
//! The test `walls_stand` checks these walls. It also checks that no file depends on itself by
//! way of others, that `unsafe` stays in `sys`, and that tokio stays in `caller` and in one
//! file each of `args`, `child` and `entry`.
