//! Before `main`: becomes a template if this process was exec'ed as one, or
//! forks the early template if the program registered one.
//!
//! The one constructor of the crate. The attribute only adds an element to a
//! static list, which is why it works under `#![forbid(unsafe_code)]`.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;

use crate::boot::double_fork::{double_fork, fork_template};
use crate::child::baseline;
use crate::child::reply::{answer_failure, say_hello};
use crate::child::report;
use crate::child::report::panic_note::panic_text;
use crate::child::title;
use crate::early;
use crate::early::{EARLY, TemplateSockets};
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::hello::{LEN, VARIABLE, parse};
use crate::registry::{self, Early};
use crate::sys::threads::OneThread;
use crate::sys::{environ, fd, fork, peer, signal, socket, startup};

startup::before_main!(before_main);

fn before_main() {
    let assumed = OneThread::assume_before_main();
    if let Some(number) = environ::take_variable(assumed, VARIABLE)
        && let Some((control, answering)) = accept_boot(assumed, &number)
    {
        title::set_owner(peer::pid(control.as_fd()).unwrap_or_default());
        double_fork(assumed, control, &answering, &[], run_preloads)
    }
    if !registry::early().is_empty() {
        // The one other writer would be a second run of this constructor.
        let _ = EARLY.set(early::Early {
            generation: early::generation(),
            sockets: fork_early(),
        });
    }
}

/// Takes what another process exec'ed this one with: its control socket and
/// its answer socket. Does not return if the two do not understand each other.
///
/// A stale variable is no boot: there is no such socket with a message in it.
fn accept_boot(one_thread: OneThread, number: &str) -> Option<(OwnedFd, UnixStream)> {
    let control = socket::adopt_message_socket(number.parse().ok()?)?;
    // First: what is received must not take a standard stream's number.
    let opened = fd::open_standard_streams();
    let (mut greeting, mut fds) = ([0; LEN], Vec::new());
    let received = socket::receive(control.as_fd(), &mut greeting, &mut fds).ok()?;
    // A greeting is here: whatever is wrong from now on, `main` must not run.
    let Some(answering) = fds.pop().map(UnixStream::from) else {
        fork::exit_now(1);
    };
    let understood = parse(&greeting[..received.len]).map_err(Error::from);
    if let Err(error) = understood.and_then(|()| may_serve(control.as_fd())) {
        answer_failure(&answering, &error);
        fork::exit_now(1);
    }
    let kept = [control.as_raw_fd(), answering.as_raw_fd()];
    if let Err(error) = opened.and_then(|()| fd::close_all_but(one_thread, kept)) {
        answer_failure(&answering, &Error::io("set the descriptors up", error));
        fork::exit_now(1);
    }
    // Before it is in a group that a Ctrl-C may be sent to.
    if let Err(error) = signal::block_all() {
        answer_failure(&answering, &Error::io("block signals", error));
        fork::exit_now(1);
    }
    // Its caller made it the leader of a group, to be rid of it with all that it
    // may start; a template belongs to its caller's, as for Ctrl-C.
    peer::join_group(control.as_fd());
    say_hello(&answering);
    Some((control, answering))
}

/// Whether this process may become the template of whoever exec'ed it.
fn may_serve(control: BorrowedFd<'_>) -> Result<()> {
    // Whoever controls a template runs the program's functions with its rights.
    if startup::runs_with_raised_rights() && !peer::is_trusted(control) {
        let message = "the program runs with raised rights (AT_SECURE) that it got at its start \
             and has not in its caller: it cannot be exec'ed as a template";
        return Err(Error::new(ErrorKind::ExecFailed, message));
    }
    // Other threads, of constructors that ran before, are no reason: those of
    // the program are the same, so there would never be a template. They stay
    // behind in the fork that follows.
    Ok(())
}

fn fork_early() -> Result<TemplateSockets> {
    let one_thread = may_fork()?;
    // Before this library has opened any.
    let kept = match registry::early().iter().any(|early| early.keep_fds) {
        true => fd::inherited_above_standard()
            .map_err(|error| Error::io("no early template: look what to keep open", error))?,
        false => Vec::new(),
    };
    fd::open_standard_streams()
        .map_err(|error| Error::io("no early template: open /dev/null", error))?;
    title::set_owner(process::id());
    fork_template(one_thread, &kept, run_preloads)
}

/// A fork is safe only in a process with one thread, and ours only in a program
/// that is just starting.
fn may_fork() -> Result<OneThread> {
    let refuse = |why: &str| {
        let message = format!("no early template: {why}");
        Err(Error::new(ErrorKind::TemplateGone, message))
    };
    if !startup::is_main_program() {
        return refuse("this is a shared library, and the program may have begun long ago");
    }
    if startup::runs_with_raised_rights() {
        return refuse("the program runs with raised rights (AT_SECURE)");
    }
    match OneThread::check() {
        Ok(Ok(one_thread)) => Ok(one_thread),
        Ok(Err(n)) => refuse(&format!("{n} threads existed before `main`")),
        Err(error) => refuse(&format!("the number of threads is unknown: {error}")),
    }
}

/// Runs the program's preloads, in the order of their names.
fn run_preloads() -> Result<()> {
    report::install();
    let mut preloads: Vec<&Early> = registry::early().iter().collect();
    preloads.sort_by_key(|early| early.name);
    preloads.into_iter().try_for_each(preload)
}

fn preload(early: &Early) -> Result<()> {
    let Some(load) = early.preload else {
        return Ok(());
    };
    baseline::note_user_code();
    let failed = |why: String| {
        let message = format!("the template has ended: preload `{}` {why}", early.name);
        Error::new(ErrorKind::TemplateGone, message)
    };
    match catch_unwind(AssertUnwindSafe(load)) {
        Err(panic) => Err(failed(format!("panicked: {}", panic_text(&*panic)))),
        Ok(outcome) => outcome.into_result().map_err(failed),
    }
}
