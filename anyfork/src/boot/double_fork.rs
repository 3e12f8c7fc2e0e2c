//! A template's birth by a fork of the process at hand: before `main`, or as a
//! snapshot of a program that runs.
//!
//! It is forked twice over, so that it is nobody's child in the end: a
//! `waitpid(-1)` in the program never meets it, and it never lies about as a
//! zombie, however it ends.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::process;

use crate::args::Args;
use crate::child::baseline;
use crate::child::prepare::{check_threads, open_standard_streams, settled_threads};
use crate::child::reply::{answer_failure, die_with_caller, say_ready};
use crate::child::report;
use crate::child::run::flush;
use crate::child::title;
use crate::early;
use crate::early::TemplateSockets;
use crate::error::{Error, ErrorKind, Result};
use crate::sys::fork::Side;
use crate::sys::signal::BlockedSignals;
use crate::sys::threads::OneThread;
use crate::sys::{fd, fork, signal, socket, wait};
use crate::template::server::Template;

/// Forks a template that runs `prepare` before it serves. Only the program's
/// side returns.
///
/// `kept` are descriptors of the program's that the template and its children
/// are to have.
pub(crate) fn fork_template(
    one_thread: OneThread,
    kept: &[RawFd],
    prepare: impl FnOnce() -> Result<()>,
) -> Result<TemplateSockets> {
    let failed = |what: &'static str| {
        move |error: io::Error| {
            Error::os(
                ErrorKind::ForkFailed,
                format_args!("fork a template: {what}"),
                error,
            )
        }
    };
    // Text that is buffered now must come out once, here.
    flush();
    let (control, served) = socket::message_pair().map_err(failed("socketpair"))?;
    let (answer, answering) = socket::stream_pair().map_err(failed("socketpair"))?;
    // A Ctrl-C in the middle of it is for the program: the template must neither
    // end by it nor run the program's handler.
    let _held_back = BlockedSignals::all().map_err(failed("block signals"))?;
    match fork::fork(one_thread).map_err(failed("fork"))? {
        Side::Parent(pid) => {
            wait::reap_blocking(pid).map_err(failed("waitpid"))?;
            Ok(TemplateSockets::new(control, answer))
        }
        Side::Child(one_thread) => {
            drop((control, answer));
            double_fork(one_thread, served, &answering, kept, prepare)
        }
    }
}

/// In a process that its parent waits for: forks the template and ends.
///
/// All signals are blocked, and stay so in the template.
pub(crate) fn double_fork(
    one_thread: OneThread,
    control: OwnedFd,
    answering: &UnixStream,
    kept: &[RawFd],
    prepare: impl FnOnce() -> Result<()>,
) -> ! {
    match fork::fork(one_thread) {
        Ok(Side::Parent(_)) => fork::exit_now(0),
        Ok(Side::Child(one_thread)) => live(one_thread, control, answering, kept, prepare),
        Err(error) => {
            let error = Error::os(ErrorKind::ForkFailed, "fork a template: fork", error);
            answer_failure(answering, &error);
            fork::exit_now(1)
        }
    }
}

/// The life of a template that was not asked for by a request.
fn live(
    one_thread: OneThread,
    control: OwnedFd,
    answering: &UnixStream,
    kept: &[RawFd],
    prepare: impl FnOnce() -> Result<()>,
) -> ! {
    early::mark_forked();
    let prepare = || {
        // The program's descriptors are not held open behind its back.
        let own = [control.as_raw_fd(), answering.as_raw_fd()];
        fd::close_all_but(one_thread, [kept, &own].concat())
            .and_then(|()| fd::open_standard_streams())
            .map_err(|error| Error::io("set the template's descriptors up", error))?;
        signal::reset_actions();
        die_with_caller(answering)?;
        title::template(one_thread);
        baseline::take();
        prepare()?;
        open_standard_streams()?;
        // What was printed must not come out of every child again.
        flush();
        let one_thread = check_threads().map_err(|why| {
            let message = format!("the template has ended: its preload functions {why}");
            Error::new(ErrorKind::TemplateGone, message)
        })?;
        Template::new(
            one_thread,
            control.as_fd(),
            Args::new(),
            &[answering.as_fd()],
        )
    };
    match prepare() {
        Ok(template) => match say_ready(answering) {
            Ok(()) => template.serve(control),
            Err(_) => fork::exit_now(1),
        },
        Err(error) => {
            // Before the control socket closes: who finds it closed asks why.
            answer_failure(answering, &error);
            fork::exit_now(1)
        }
    }
}

/// Forks this process, as it is now, into a template.
pub(crate) fn snapshot() -> Result<TemplateSockets> {
    let refused = |why: String| Err(Error::new(ErrorKind::MultiThreaded, why));
    let one_thread = match settled_threads() {
        Ok(Ok(one_thread)) => one_thread,
        Ok(Err(n)) => {
            return refused(format!(
                "cannot take a snapshot: this process has {n} threads, and a fork would copy one of \
                 them; take it before they start, or use `Process::new()`"
            ));
        }
        Err(error) => {
            return refused(format!(
                "cannot take a snapshot: the number of threads is unknown: {error}"
            ));
        }
    };
    title::set_owner(process::id());
    fork_template(one_thread, &[], || {
        baseline::note_user_code();
        report::install_over();
        Ok(())
    })
}
