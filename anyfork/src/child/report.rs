//! What a process here says of its own failure: on stderr, behind its name and
//! pid, and in its status pipe, for `Exit::failure`.
//!
//! A panic is noted when it happens, by a panic hook, because only then its
//! place and its stack are known. It is told when it has ended the worker, or in
//! the hook where that is the last moment: the process aborts then. What the
//! worker catches, and what ends another thread only, is no failure.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, Write};
use std::mem;
use std::os::fd::BorrowedFd;
use std::panic::{self, PanicHookInfo};
use std::process;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use crate::failure::Failure;
use crate::protocol::status;
use crate::sys::fd_identity::RememberedFd;
use crate::sys::{fork, wait};

static STATE: Mutex<State> = Mutex::new(State {
    who: Who::Template,
    pid: 0,
    pipe: None,
    thread: None,
    panics: Vec::new(),
    has_told: false,
});

struct State {
    who: Who,
    /// The process that this holds for, and not what its code forks off.
    pid: u32,
    /// The write end of the status pipe, which the worker's code may have closed.
    pipe: Option<RememberedFd>,
    /// The thread that enters the worker.
    thread: Option<ThreadId>,
    /// The panics so far, the last one last; a few of them.
    panics: Vec<Panic>,
    /// A failure is told once.
    has_told: bool,
}

/// What this process is called on stderr.
#[derive(Clone, Copy)]
enum Who {
    Template,
    /// Not a worker yet, or something else.
    Process,
    Worker(&'static str),
}

/// So many panics are remembered: a worker may catch its own for years.
const REMEMBERED: usize = 4;

/// A panic, as the hook has seen it.
struct Panic {
    message: String,
    place: String,
    /// Empty for the thread that enters the worker.
    thread: String,
    id: ThreadId,
    /// Not resolved: most are never shown.
    backtrace: Backtrace,
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Installs the hook in a process in which nobody else has had the time to
/// install one: it does what std's does, too.
pub(crate) fn install() {
    panic::set_hook(Box::new(|info| {
        let text = note(info);
        print(&text);
    }));
}

/// Installs the hook where there may be another one, which is called, too.
pub(crate) fn install_over() {
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        note(info);
        print(&format!("{}:", prefix()));
        previous(info);
    }));
}

/// A process that was asked for, and tells of its failure and its end in a pipe.
/// What can be found out before it is forked was.
pub(crate) struct ReporterSeed(State);

impl ReporterSeed {
    /// Of a process that is no worker yet, or something else.
    pub(crate) fn new(pipe: BorrowedFd<'_>) -> ReporterSeed {
        ReporterSeed(State {
            who: Who::Process,
            pid: 0,
            pipe: RememberedFd::new(pipe),
            thread: Some(thread::current().id()),
            panics: Vec::new(),
            has_told: false,
        })
    }

    /// From here on it is this process.
    #[inline]
    pub(crate) fn activate(self) {
        let pid = fork::current_pid();
        let before = mem::replace(&mut *state(), State { pid, ..self.0 });
        // It is the parent's, and empty there.
        mem::forget(before);
    }
}

/// Before code of the user's that may leave a process behind, which holds all that
/// this one has: if the template is killed, the caller learns by the pipe who it
/// is to wait for.
pub(crate) fn claim_pipe() {
    let state = state();
    if let (Some(pipe), true) = (&state.pipe, state.pid == process::id()) {
        let _ = pipe.claim();
    }
}

/// From here on it is that worker's.
pub(crate) fn set_worker(worker: &'static str) {
    state().who = Who::Worker(worker);
}

/// Tells, as the last thing in this process, what its end is going to be: so the
/// caller does not have to wait until the template has collected it. Whoever
/// reads this waits for the end first.
pub(crate) fn write_exit_record(code: u8) {
    let state = state();
    if state.pid != fork::current_pid() {
        return;
    }
    if let Some(pipe) = &state.pipe {
        let usage = wait::usage();
        let record = status::encode_exit(
            i32::from(code) << 8,
            usage.user_micros,
            usage.system_micros,
            usage.peak_memory,
        );
        let _ = pipe.write(&record);
    }
}

/// Tells that a panic has ended this process's work.
pub(crate) fn on_unwind(payload: &(dyn Any + Send)) {
    let mut state = state();
    let message = panic_text(payload);
    let panics = mem::take(&mut state.panics);
    // The hook has seen it, in whatever thread it began, unless the program has
    // replaced the hook. First among those of this thread: what is no text is
    // all the same.
    let here = |panic: &Panic| panic.thread.is_empty() && panic.message == message;
    let this = panics.iter().rposition(here);
    let this = this.or_else(|| panics.iter().rposition(|it| it.message == message));
    let failure = match this {
        Some(this) => panics[this].failure(&elsewhere(&panics, Some(this))),
        None => {
            let message = message.to_owned() + &elsewhere(&panics, None);
            Failure::new(true, message, String::new(), String::new(), String::new())
        }
    };
    state.tell(&failure);
}

/// Tells, and prints, that the worker has returned an error.
pub(crate) fn on_error(error: &str) {
    print(&format!("{}: {error}", prefix()));
    let mut state = state();
    let panics = mem::take(&mut state.panics);
    let message = error.to_owned() + &elsewhere(&panics, None);
    let none = String::new;
    state.tell(&Failure::new(false, message, none(), none(), none()));
}

/// Tells that the worker has returned a code that means failure. All that can
/// be known of the reason is that another thread has panicked.
pub(crate) fn on_failure_code() {
    let mut state = state();
    let panics = mem::take(&mut state.panics);
    let other = panics.iter().rfind(|panic| !panic.thread.is_empty());
    if let Some(panic) = other {
        state.tell(&panic.failure(""));
    }
}

/// What other threads have panicked of, to follow a message.
fn elsewhere(panics: &[Panic], but: Option<usize>) -> String {
    let others = panics
        .iter()
        .enumerate()
        .filter(|(index, panic)| Some(*index) != but && !panic.thread.is_empty());
    let texts = others.map(|(_, panic)| format!("; before, {}", panic.headline()));
    texts.collect()
}

/// Notes a panic, and tells of it if it is the end of this process. Gives what
/// is to be printed.
fn note(info: &PanicHookInfo<'_>) -> String {
    let place = info.location().map(ToString::to_string);
    let current = thread::current();
    let mut state = state();
    let panic = Panic {
        message: panic_text(info.payload()).to_owned(),
        place: place.unwrap_or_default(),
        thread: match state.thread {
            Some(thread) if thread != current.id() => current.name().unwrap_or("unnamed").into(),
            _ => String::new(),
        },
        id: current.id(),
        backtrace: Backtrace::force_capture(),
    };
    let mut text = format!("{}: {}", state.prefix(), panic.headline());
    match Backtrace::capture().status() {
        BacktraceStatus::Captured => text += &format!("\nstack backtrace:\n{}", panic.stack()),
        _ => text += "\nnote: run with `RUST_BACKTRACE=1` to see the stack here",
    }
    let cannot_unwind = cannot_unwind(&panic.message);
    if cannot_unwind.is_some() || cfg!(panic = "abort") {
        let behind = cannot_unwind.unwrap_or(0);
        state.tell_last_words(panic, behind);
    } else {
        if state.panics.len() == REMEMBERED {
            state.panics.remove(0);
        }
        state.panics.push(panic);
    }
    text
}

/// For a panic of the core library's own, after which the process aborts: how
/// many panics of the same thread are behind it.
fn cannot_unwind(message: &str) -> Option<usize> {
    match message {
        "panic in a function that cannot unwind" => Some(1),
        // The one that unwound, and the destructor's.
        "panic in a destructor during cleanup" => Some(2),
        _ => None,
    }
}

impl State {
    fn prefix(&self) -> String {
        let pid = process::id();
        match self.who {
            Who::Template => format!("anyfork template ({pid})"),
            Who::Process => format!("anyfork process ({pid})"),
            Who::Worker(name) => format!("anyfork worker {name} ({pid})"),
        }
    }

    /// Tells of the last panic of an aborting process, by what has led to it.
    fn tell_last_words(&mut self, last: Panic, behind: usize) {
        let same_thread = self.panics.iter().filter(|it| it.id == last.id);
        let mut chain: Vec<&Panic> = same_thread.rev().take(behind).collect();
        chain.reverse();
        chain.push(&last);
        let then = chain[1..]
            .iter()
            .map(|it| format!("; then: {}", it.message));
        let failure = chain[0].failure(&then.collect::<String>());
        self.tell(&failure);
    }

    fn tell(&mut self, failure: &Failure) {
        if self.pid != fork::current_pid() || mem::replace(&mut self.has_told, true) {
            return;
        }
        if let Some(pipe) = &self.pipe {
            // A page is left for the record of the end.
            let room = pipe.pipe_capacity().saturating_sub(4096);
            let frame = status::encode_failure(failure, room);
            let _ = pipe.write(&frame);
        }
    }
}

fn prefix() -> String {
    state().prefix()
}

impl Panic {
    /// All of it, with more text behind the message. Resolves the backtrace.
    fn failure(&self, more: &str) -> Failure {
        self.with(self.message.clone() + more, self.stack())
    }

    /// The backtrace, without what lies below the worker, and above the panic.
    fn stack(&self) -> String {
        let all = self.backtrace.to_string();
        let frames: Vec<&str> = all.split_inclusive('\n').collect();
        let has = |name| frames.iter().position(|line| line.contains(name));
        let is_place = |line: &&&str| line.trim_start().starts_with("at ");
        let below = has("__anyfork_begin_short_backtrace").unwrap_or(frames.len());
        let above = has("__rust_end_short_backtrace").map_or(0, |end| {
            let places = frames[end + 1..].iter().take_while(is_place);
            end + 1 + places.count()
        });
        let shown = frames.get(above..below).unwrap_or(&frames);
        shown.concat().trim_end().to_owned()
    }

    /// In a line.
    fn headline(&self) -> String {
        self.with(self.message.clone(), String::new()).to_string()
    }

    fn with(&self, message: String, backtrace: String) -> Failure {
        Failure::new(
            true,
            message,
            self.place.clone(),
            self.thread.clone(),
            backtrace,
        )
    }
}

/// In one piece, so that what several processes print does not mix.
fn print(text: &str) {
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// What a panic said, if it said text.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let owned = || panic.downcast_ref::<String>().map(String::as_str);
    let text = panic.downcast_ref::<&str>().copied().or_else(owned);
    text.unwrap_or("a value that is no text")
}
