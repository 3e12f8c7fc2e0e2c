//! The birth of a template by a double fork.
//! RUNS IN: program before main, caller, template
//!
//! The process forks a child, which forks the template and exits. So the template is nobody's
//! child: a `waitpid(-1)` of the program never finds it, and it is never a zombie of the
//! program's, however it exits. The process is a program before `main`, one that was exec'ed
//! as a template, or a running program that takes a snapshot of itself.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::process;

use crate::args::Args;
use crate::child::baseline;
use crate::child::frame::flush;
use crate::child::prepare::{check_threads, open_standard_streams, settled_threads};
use crate::child::reply::{answer_failure, die_with_caller, say_ready};
use crate::child::report;
use crate::child::surroundings::{self, Snapshot};
use crate::child::title;
use crate::early;
use crate::early::TemplateSockets;
use crate::error::{Error, ErrorKind, Result};
#[cfg(feature = "pool")]
use crate::registry;
use crate::sys::fork::Side;
use crate::sys::signal::BlockedSignals;
use crate::sys::threads::OneThread;
use crate::sys::{fd, fork, signal, socket, threads, wait};
use crate::template::server::Template;

/// Forks a template that runs `prepare` before it serves. Returns in the program only.
///
/// The template and its children keep the descriptors `keep` of the program.
pub(crate) fn fork_template(
    one_thread: OneThread,
    keep: &[RawFd],
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
    // Buffered text must come out once, in this process.
    flush();
    let (control, served) = socket::control_pair().map_err(failed("socketpair"))?;
    let (reply, reply_end) = socket::reply_pair().map_err(failed("socketpair"))?;
    // A Ctrl-C during the fork is for the program: the template must neither die of it
    // nor run the program's handler.
    let _blocked = BlockedSignals::all().map_err(failed("block signals"))?;
    match fork::fork(one_thread).map_err(failed("fork"))? {
        Side::Parent(pid) => {
            wait::reap_blocking(pid).map_err(failed("waitpid"))?;
            Ok(TemplateSockets::new(control, reply))
        }
        Side::Child(one_thread) => {
            drop((control, reply));
            double_fork(one_thread, served, &reply_end, keep, prepare)
        }
    }
}

/// Forks the template, in a process that its parent waits for, and exits.
///
/// All signals are blocked here, and stay blocked in the template.
pub(crate) fn double_fork(
    one_thread: OneThread,
    control: OwnedFd,
    reply_end: &UnixStream,
    keep: &[RawFd],
    prepare: impl FnOnce() -> Result<()>,
) -> ! {
    match fork::fork(one_thread) {
        Ok(Side::Parent(_)) => fork::exit_now(0),
        Ok(Side::Child(one_thread)) => template_main(one_thread, control, reply_end, keep, prepare),
        Err(error) => {
            let error = Error::os(ErrorKind::ForkFailed, "fork a template: fork", error);
            answer_failure(reply_end, &error);
            fork::exit_now(1)
        }
    }
}

/// Runs a template that no request has asked for: prepares it, and serves.
fn template_main(
    one_thread: OneThread,
    control: OwnedFd,
    reply_end: &UnixStream,
    keep: &[RawFd],
    prepare: impl FnOnce() -> Result<()>,
) -> ! {
    early::mark_forked();
    threads::note_of_libraries();
    let prepare = || {
        // The template must not hold the program's descriptors open.
        let own = [control.as_raw_fd(), reply_end.as_raw_fd()];
        fd::close_all_but(one_thread, [keep, &own].concat())
            .and_then(|()| fd::open_standard_streams())
            .map_err(|error| Error::io("set the template's descriptors up", error))?;
        signal::drop_handlers();
        die_with_caller(reply_end)?;
        title::template(one_thread);
        baseline::take();
        #[cfg(feature = "pool")]
        registry::digest_calls();
        surroundings::own_nothing();
        let before = Snapshot::now();
        prepare()?;
        open_standard_streams()?;
        // Text that was printed must not come out of every child again.
        flush();
        before
            .let_go()
            .map_err(|error| Error::io("let go of the program's streams and directory", error))?;
        let one_thread = check_threads().map_err(|why| {
            let message = format!("the template has ended: its preload functions {why}");
            Error::new(ErrorKind::TemplateGone, message)
        })?;
        Template::new(
            one_thread,
            control.as_fd(),
            Args::new(),
            &[reply_end.as_fd()],
        )
    };
    let prepared = prepare().and_then(|template| {
        say_ready(reply_end)?;
        Ok(template)
    });
    match prepared {
        Ok(template) => template.serve(control),
        Err(error) => {
            // Before the control socket closes: a caller that finds it closed reads
            // the reason.
            answer_failure(reply_end, &error);
            fork::exit_now(1)
        }
    }
}

/// Forks this process, as it is now, into a template, for `Process::snapshot`.
pub(crate) fn snapshot() -> Result<TemplateSockets> {
    let refused = |why: String| Err(Error::new(ErrorKind::MultiThreaded, why));
    let one_thread = match settled_threads() {
        Ok(Ok(one_thread)) => one_thread,
        Ok(Err(others)) => {
            let n = others.total();
            return refused(format!(
                "cannot take a snapshot: this process has {n} threads, and a fork would copy one of \
                 them, not {others}; take it before they start, or use `Process::new()`"
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
