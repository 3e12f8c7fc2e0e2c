//! What a process reports of its failure and its exit.
//! RUNS IN: template, child
//!
//! It reports on stderr, behind its name and pid, and in its status pipe, for
//! [`Exit::failure`](crate::exit::Exit::failure).
//!
//! A panic is noted when it happens, by a panic hook, because only then its location and its
//! stack are known. The child reports it when it has ended the worker, or in the hook where
//! that is the last moment, because the process aborts then. A panic that the worker catches,
//! or that ends another thread only, is no failure.

mod frames;
pub(crate) mod last_word;
pub(crate) mod panic_note;

use std::any::Any;
use std::env;
use std::io::{self, Write};
use std::mem;
use std::os::fd::BorrowedFd;
use std::panic::{self, PanicHookInfo};
use std::process;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use crate::child::report::panic_note::{PanicNote, panic_text};
use crate::failure::Failure;
use crate::protocol::reply::lost_socket;
use crate::protocol::status;
use crate::sys::fd_identity::RememberedFd;
use crate::sys::fork;

static STATE: Mutex<State> = Mutex::new(State {
    name: ProcessName::Template,
    pid: 0,
    pipe: None,
    thread: None,
    panics: Vec::new(),
});

struct State {
    name: ProcessName,
    /// The process that reports here; a process that its code forks off does not.
    pid: u32,
    /// The write end of the status pipe, which the worker's code may have closed.
    pipe: Option<RememberedFd>,
    /// The thread that enters the worker.
    thread: Option<ThreadId>,
    /// The latest panics, the last one last.
    panics: Vec<PanicNote>,
}

/// What this process is called on stderr.
#[derive(Clone, Copy)]
enum ProcessName {
    Template,
    /// Not a worker yet, or something else.
    Process,
    Worker(&'static str),
}

/// Maximum number of panics that are remembered: a worker may catch its own for
/// years.
const MAX_PANICS: usize = 4;

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Installs the panic hook in a process in which nobody else has had the time to
/// install one. It prints as std's hook does.
pub(crate) fn install() {
    last_word::install();
    panic::set_hook(Box::new(|info| {
        let text = note(info);
        print(&text);
    }));
}

/// Installs the panic hook where there may be another one, and calls that, too.
pub(crate) fn install_over() {
    last_word::install();
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        note(info);
        print(&format!("{}:", prefix()));
        previous(info);
    }));
}

/// The state of a process that is about to be forked for a request: what the template
/// can find out for it.
pub(crate) struct ReporterSeed(State);

impl ReporterSeed {
    /// The seed of a process that reports in `pipe`, and is no worker yet.
    pub(crate) fn new(pipe: BorrowedFd<'_>) -> ReporterSeed {
        ReporterSeed(State {
            name: ProcessName::Process,
            pid: 0,
            pipe: RememberedFd::new(pipe),
            thread: Some(thread::current().id()),
            panics: Vec::new(),
        })
    }

    /// Makes this process the one that reports.
    #[inline]
    pub(crate) fn activate(self) {
        let pid = fork::current_pid();
        last_word::set_target(pid, self.0.pipe.as_ref());
        let before = mem::replace(&mut *state(), State { pid, ..self.0 });
        // Forget: freeing would dirty a page shared with the template.
        mem::forget(before);
    }
}

/// The status pipe, for a plugin's copy of this library.
#[cfg(all(feature = "plugin", feature = "pool"))]
pub(crate) fn status_pipe() -> Option<RememberedFd> {
    let number = state().pipe.as_ref().map(RememberedFd::number)?;
    RememberedFd::of_number(number)
}

/// Calls this process by the worker that it is about to run.
pub(crate) fn set_worker(worker: &'static str) {
    state().name = ProcessName::Worker(worker);
}

/// Writes into the status pipe, as the last thing in this process, how it is going to
/// exit, so that the caller need not wait until the template has reaped it. A reader
/// of this record waits for the exit first.
///
/// The process may have confined itself (seccomp(2)): it makes no system call here that
/// the documentation of `#[anyfork::worker]` does not list.
pub(crate) fn write_exit_record(code: u8) {
    let state = state();
    if state.pid != fork::current_pid() {
        return;
    }
    if let Some(pipe) = &state.pipe {
        let _ = pipe.write(&status::encode_own_exit(code));
    }
}

/// Reports the panic that has unwound out of this process's work.
pub(crate) fn on_unwind(payload: &(dyn Any + Send)) {
    last_word::panic_ends_worker();
    let mut state = state();
    let failure = state.unwound(payload);
    state.write_failure(&failure);
}

/// The panic that has unwound out of a function of a typed call: the answer has it, and
/// the status pipe has not.
#[cfg(feature = "pool")]
pub(crate) fn unwound(payload: &(dyn Any + Send)) -> Failure {
    state().unwound(payload)
}

/// Reports, and prints, the error that the worker has returned.
pub(crate) fn on_error(error: &str) {
    print(&format!("{}: {error}", prefix()));
    let mut state = state();
    let panics = mem::take(&mut state.panics);
    let message = error.to_owned() + &other_threads(&panics, None);
    let none = String::new;
    state.write_failure(&Failure::new(false, message, none(), none(), none()));
}

/// Reports that the worker has returned a code that means failure. The only reason
/// that can be known is a panic of another thread.
pub(crate) fn on_failure_code() {
    let mut state = state();
    let panics = mem::take(&mut state.panics);
    let other = panics.iter().rfind(|panic| !panic.thread.is_empty());
    if let Some(panic) = other {
        state.write_failure(&panic.failure(""));
    }
}

/// The panics of other threads, as a text that follows a message. The panic at
/// `except` is the one that the message is of.
fn other_threads(panics: &[PanicNote], except: Option<usize>) -> String {
    let others = panics
        .iter()
        .enumerate()
        .filter(|(index, panic)| Some(*index) != except && !panic.thread.is_empty());
    let texts = others.map(|(_, panic)| format!("; before, {}", panic.headline()));
    texts.collect()
}

/// Notes a panic, and reports it if it makes this process abort. Gives the text to
/// print.
fn note(info: &PanicHookInfo<'_>) -> String {
    let entering = state().thread;
    last_word::prepare_panic(info, entering);
    // From here on memory may run out: the process aborts then, and has its last word.
    let panic = PanicNote::new(info, entering);
    let mut text = format!("{}: {}", prefix(), panic.headline());
    match shows_backtrace() {
        true => {
            let failure = panic.failure("");
            text += "\nstack backtrace:\n";
            text += failure.backtrace().unwrap_or_default();
        }
        false => text += "\nnote: run with `RUST_BACKTRACE=1` to see the stack here",
    }
    let mut state = state();
    let causes = causes_of_abort(&panic.message);
    if causes.is_some() || cfg!(panic = "abort") {
        state.write_abort(panic, causes.unwrap_or(0));
    } else {
        if state.panics.len() == MAX_PANICS {
            state.panics.remove(0);
        }
        state.panics.push(panic);
    }
    text
}

/// Whether the environment asks for backtraces on stderr, as std reads it.
fn shows_backtrace() -> bool {
    let wanted = env::var_os("RUST_LIB_BACKTRACE").or_else(|| env::var_os("RUST_BACKTRACE"));
    wanted.is_some_and(|wanted| wanted != "0")
}

/// For a panic of the core library's own, after which the process aborts: the number
/// of panics of the same thread that have led to it.
fn causes_of_abort(message: &str) -> Option<usize> {
    match message {
        "panic in a function that cannot unwind" => Some(1),
        // The panic that unwound, and the destructor's.
        "panic in a destructor during cleanup" => Some(2),
        _ => None,
    }
}

impl State {
    fn prefix(&self) -> String {
        let pid = process::id();
        match self.name {
            ProcessName::Template => format!("anyfork template ({pid})"),
            ProcessName::Process => format!("anyfork process ({pid})"),
            ProcessName::Worker(name) => format!("anyfork worker {name} ({pid})"),
        }
    }

    /// The panic that has unwound, and the panics of other threads before.
    fn unwound(&mut self, payload: &(dyn Any + Send)) -> Failure {
        let message = panic_text(payload);
        let panics = mem::take(&mut self.panics);
        // The hook has noted the panic, in whatever thread it began, unless the program
        // has replaced the hook. The notes of this thread are searched first: payloads
        // that are no text all have the same message.
        let here = |panic: &PanicNote| panic.thread.is_empty() && panic.message == message;
        let index = panics.iter().rposition(here);
        let index = index.or_else(|| panics.iter().rposition(|it| it.message == message));
        match index {
            Some(index) => panics[index].failure(&other_threads(&panics, Some(index))),
            None => {
                let message = message.to_owned() + &other_threads(&panics, None);
                Failure::new(true, message, String::new(), String::new(), String::new())
            }
        }
    }

    /// Reports the last panic of an aborting process, by the panics that have led to
    /// it.
    fn write_abort(&mut self, last: PanicNote, causes: usize) {
        let same_thread = self.panics.iter().filter(|it| it.id == last.id);
        let mut chain: Vec<&PanicNote> = same_thread.rev().take(causes).collect();
        chain.reverse();
        chain.push(&last);
        let then = chain[1..]
            .iter()
            .map(|it| format!("; then: {}", it.message));
        let failure = chain[0].failure(&then.collect::<String>());
        self.write_failure(&failure);
    }

    /// Writes the failure into the status pipe, unless there is one in it.
    fn write_failure(&mut self, failure: &Failure) {
        if self.pid != fork::current_pid() {
            return;
        }
        if let Some(pipe) = &self.pipe {
            // One page is left free for the exit record.
            let room = pipe.pipe_capacity().saturating_sub(4096);
            let frame = status::encode_failure(failure, room);
            // Last: the last word is not written once this one is claimed.
            if last_word::claim_report() {
                let _ = pipe.write(&frame);
            }
        }
    }
}

/// Prints that an init function has closed the socket on which this process answers.
pub(crate) fn print_lost_socket(init: &str) {
    print(&format!("{}: {}", prefix(), lost_socket(init)));
}

fn prefix() -> String {
    state().prefix()
}

/// Prints in one piece, so that texts of several processes do not mix.
fn print(text: &str) {
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}
