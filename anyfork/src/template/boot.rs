//! Before `main`: forks the early template, if the program registered one.
//!
//! The one constructor of the crate. The attribute only adds an element to a
//! static list, which is why it works under `#![forbid(unsafe_code)]`.
//!
//! The template is forked twice over, so that it is nobody's child in the end:
//! a `waitpid(-1)` in the program never meets it, and it never lies about as a
//! zombie, however it ends.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::child::panic_text;
use super::serve::Template;
use crate::args::Args;
use crate::early::{EARLY, EarlyTemplate};
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::answer;
use crate::registry::{ANYFORK_V1_EARLY, Early};
use crate::sys::fork::Side;
use crate::sys::{boot, descriptor, fork, message, signal};

boot::before_main!(before_main);

fn before_main() {
    if ANYFORK_V1_EARLY.is_empty() {
        return;
    }
    let early = may_fork().and_then(|()| fork_template());
    // The one other writer would be a second run of this constructor.
    let _ = EARLY.set(early);
}

/// A fork is safe only in a process with one thread, and ours only in a program
/// that is just starting.
fn may_fork() -> Result<()> {
    let refuse = |why: &str| {
        Err(Error::new(
            ErrorKind::TemplateGone,
            format!("no early template: {why}"),
        ))
    };
    if !boot::is_main_program() {
        return refuse("this is a shared library, and the program may have begun long ago");
    }
    if boot::runs_with_raised_rights() {
        return refuse("the program runs with raised rights (AT_SECURE)");
    }
    match boot::threads() {
        Ok(1) => Ok(()),
        Ok(n) => refuse(&format!("{n} threads existed before `main`")),
        Err(error) => refuse(&format!("the number of threads is unknown: {error}")),
    }
}

/// Forks the template; only the program's side returns.
fn fork_template() -> Result<EarlyTemplate> {
    let failed = |what: &str, error| {
        Error::os(
            ErrorKind::ForkFailed,
            format!("no early template: {what}"),
            error,
        )
    };
    descriptor::open_standard_streams().map_err(|e| failed("open /dev/null", e))?;
    // What constructors before this one printed must not come out of both.
    flush();
    let (control, served) = descriptor::message_pair().map_err(|e| failed("socketpair", e))?;
    let (answer, answering) = descriptor::stream_pair().map_err(|e| failed("socketpair", e))?;
    match fork::fork().map_err(|e| failed("fork", e))? {
        Side::Parent(pid) => {
            fork::wait_for(pid).map_err(|e| failed("waitpid", e))?;
            Ok(EarlyTemplate { control, answer })
        }
        Side::Child => {
            drop((control, answer));
            match fork::fork() {
                Ok(Side::Parent(_)) => {}
                Ok(Side::Child) => become_template(served, &answering),
                Err(error) => tell(&answering, &answer::failed(&failed("fork", error))),
            }
            fork::leave(0)
        }
    }
}

/// The life of the early template.
fn become_template(control: OwnedFd, answering: &UnixStream) -> ! {
    match prepare() {
        Ok(()) => tell(answering, &answer::ready(std::process::id())),
        Err(error) => {
            tell(answering, &answer::failed(&error));
            fork::leave(1)
        }
    }
    match Template::new(control, Args::new()) {
        Ok(template) => template.serve(),
        Err(_) => fork::leave(1),
    }
}

/// Makes the world what a template needs, and runs the program's preloads.
fn prepare() -> Result<()> {
    signal::reset_actions();
    signal::block_all().map_err(|error| Error::io("block signals in the template", error))?;
    let mut preloads: Vec<&Early> = ANYFORK_V1_EARLY.iter().collect();
    preloads.sort_by_key(|early| early.name);
    for early in preloads {
        preload(early)?;
    }
    // What they printed must not come out of every child again.
    flush();
    match boot::threads() {
        Ok(1) => Ok(()),
        Ok(n) => Err(gone(format_args!(
            "its preload functions left {} threads running",
            n - 1
        ))),
        Err(error) => Err(gone(format_args!(
            "the number of threads is unknown: {error}"
        ))),
    }
}

/// Writes out what is in the buffers of both libraries.
fn flush() {
    let _ = io::stdout().flush();
    fork::flush_c_streams();
}

fn preload(early: &Early) -> Result<()> {
    let Some(load) = early.preload else {
        return Ok(());
    };
    let name = early.name;
    match catch_unwind(AssertUnwindSafe(load)) {
        Err(panic) => Err(gone(format_args!(
            "preload `{name}` panicked: {}",
            panic_text(&*panic)
        ))),
        Ok(outcome) => match (outcome.failure(), outcome.code()) {
            (Some(why), _) => Err(gone(format_args!("preload `{name}` failed: {why}"))),
            (None, 0) => Ok(()),
            (None, code) => Err(gone(format_args!(
                "preload `{name}` failed with exit code {code}"
            ))),
        },
    }
}

fn gone(why: std::fmt::Arguments<'_>) -> Error {
    Error::new(
        ErrorKind::TemplateGone,
        format!("the early template has ended: {why}"),
    )
}

/// Answers the owner, who may be gone.
fn tell(answering: &UnixStream, octets: &[u8]) {
    use std::os::fd::AsFd;
    let _ = message::send(answering.as_fd(), octets, &[]);
}
