//! The crate's constructor, which runs before `main`.
//! RUNS IN: program before main, template
//!
//! It makes this process a template if that is what it was exec'ed for, and forks the early
//! template if the program has asked for one. `#[anyfork::early]` only adds an element to a
//! static list, which is why it works under `#![forbid(unsafe_code)]`.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;

use crate::boot::double_fork::{double_fork, fork_template};
use crate::child::baseline;
use crate::child::prepare::check_threads;
use crate::child::reply::{answer_failure, say_hello};
use crate::child::report;
use crate::child::report::panic_note::panic_text;
use crate::child::title;
use crate::child::trust;
use crate::early;
use crate::early::{EARLY, TemplateSockets};
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::hello::{LEN, VARIABLE, parse};
use crate::registry::{self, Early};
use crate::sys::rights::Rights;
use crate::sys::threads::OneThread;

use crate::sys::{constructors, environ, fd, fork, objects, peer, signal, socket, startup, tools};

constructors::before_main!(before_main);

fn before_main() {
    let assumed = OneThread::assume_before_main();
    tools::note_program();
    if let Some(number) = environ::take_variable(assumed, VARIABLE)
        && let Some((control, reply)) = accept_hello(assumed, &number)
    {
        title::set_owner(peer::pid(control.as_fd()).unwrap_or_default());
        double_fork(assumed, control, &reply, &[], run_preloads)
    }
    environ::note_nameless(assumed);
    if !registry::early().is_empty() {
        // Setting it fails only in a second run of this constructor, which does not
        // happen.
        let _ = EARLY.set(early::Early {
            generation: early::generation(),
            rights: match registry::early().iter().any(|early| early.keep_rights) {
                true => None,
                false => Rights::all_now().ok(),
            },
            sockets: fork_early(),
        });
    }
}

/// Receives the control socket and the reply socket from the process that has exec'ed
/// this one as a template. Exits if the two do not understand each other.
///
/// `None` if the variable is left over from another process: then there is no socket of
/// this kind with a message in it.
fn accept_hello(one_thread: OneThread, number: &str) -> Option<(OwnedFd, UnixStream)> {
    let control = socket::adopt_message_socket(number.parse().ok()?)?;
    // First: a received descriptor must not get the number of a standard stream.
    let opened = fd::open_standard_streams();
    let (mut greeting, mut fds) = ([0; LEN], Vec::new());
    let received = socket::receive(control.as_fd(), &mut greeting, &mut fds).ok()?;
    // The message shows that this process is to be a template: `main` must not run,
    // whatever fails from here on.
    let Some(reply) = fds.pop().map(UnixStream::from) else {
        fork::exit_now(1);
    };
    let understood = parse(&greeting[..received.len]).map_err(Error::from);
    if let Err(error) = understood.and_then(|()| may_serve(control.as_fd())) {
        answer_failure(&reply, &error);
        fork::exit_now(1);
    }
    let keep = [control.as_raw_fd(), reply.as_raw_fd()];
    if let Err(error) = opened.and_then(|()| fd::close_all_but(one_thread, keep)) {
        answer_failure(&reply, &Error::io("set the descriptors up", error));
        fork::exit_now(1);
    }
    // Before this process joins a group that a Ctrl-C may be sent to.
    if let Err(error) = signal::block_all() {
        answer_failure(&reply, &Error::io("block signals", error));
        fork::exit_now(1);
    }
    // The caller has made this process the leader of a group, to kill it together with
    // all that it might start. A template belongs to its caller's group, as any child
    // of a shell's job.
    peer::join_group(control.as_fd());
    say_hello(&reply);
    Some((control, reply))
}

/// Checks that this process may become the template of the process that has exec'ed it.
fn may_serve(control: BorrowedFd<'_>) -> Result<()> {
    // An owner of a template runs the program's functions with the template's rights.
    if startup::runs_with_raised_rights() && !peer::is_trusted(control) {
        let message = "the program runs with raised rights (AT_SECURE) that it got at its start, \
             and that its caller does not have: it cannot be exec'ed as a template";
        return Err(Error::new(ErrorKind::ExecFailed, message));
    }
    // Threads that other constructors have started are no reason to refuse: the
    // constructors would start them every time, so that there would never be a
    // template. The threads stay behind in the fork that follows.
    Ok(())
}

fn fork_early() -> Result<TemplateSockets> {
    let one_thread = may_fork()?;
    // Before this library opens any descriptor.
    let keep = match registry::early().iter().any(|early| early.keep_fds) {
        true => fd::inherited_above_standard()
            .map_err(|error| Error::io("no early template: list open descriptors", error))?,
        false => Vec::new(),
    };
    fd::open_standard_streams()
        .map_err(|error| Error::io("no early template: open /dev/null", error))?;
    title::set_owner(process::id());
    if registry::early().iter().any(|early| early.keep_rights) {
        trust::keep_rights();
    }
    fork_template(one_thread, &keep, run_preloads)
}

/// Checks that this process may fork the early template: a fork is safe only in a
/// process with one thread, and this one only in a program that is just starting.
fn may_fork() -> Result<OneThread> {
    let refuse = |why: &str| {
        let message = format!("no early template: {why}");
        Err(Error::new(ErrorKind::TemplateGone, message))
    };
    if !objects::is_main_program() {
        return refuse("this is a shared library, and the program may have begun long ago");
    }
    // Capabilities of the program's file are no reason: the template has them as the
    // program has them, and serves this program only.
    if startup::runs_with_raised_rights() && startup::runs_as_another() {
        return refuse("the program runs with raised rights (AT_SECURE)");
    }
    match OneThread::check() {
        Ok(Ok(one_thread)) => Ok(one_thread),
        Ok(Err(others)) => {
            let n = others.total();
            refuse(&format!(
                "{n} threads existed before `main`, {others} among them"
            ))
        }
        Err(error) => refuse(&format!("the number of threads is unknown: {error}")),
    }
}

/// Runs the program's preload functions, in the order of their names.
fn run_preloads() -> Result<()> {
    report::install();
    run_constructors()?;
    let mut preloads: Vec<&Early> = registry::early().iter().collect();
    preloads.sort_by_key(|early| early.name);
    preloads.into_iter().try_for_each(preload)
}

/// Runs the program's constructors that come after ours.
fn run_constructors() -> Result<()> {
    if registry::early().iter().any(|early| !early.constructors) {
        return Ok(());
    }
    constructors::run_later();
    check_threads().map(drop).map_err(|why| {
        let message = format!(
            "the template has ended: a constructor of the program, which runs before `main`, {why}; \
             `#[anyfork::early(constructors = false)]` leaves constructors out"
        );
        Error::new(ErrorKind::TemplateGone, message)
    })
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
