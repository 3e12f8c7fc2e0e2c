//! The fast path: a request for a worker and its arguments, and nothing else.
//! RUNS IN: template, child
//!
//! Most requests are of this kind. For such a request the template finds the worker and
//! makes all that the child needs before the fork, because in the template the memory
//! and the code for it are mapped already. In a new process, the first write to a page
//! of memory, and the first run of a page of code, costs about a microsecond each: so
//! the child has few steps left. Their order was measured.
//!
//! The child reads the arguments, as with any other request: otherwise they would stay
//! in the template's memory, of which all later children have a copy; and closing the
//! last descriptor of a file may take long, which would hold the template up.

use std::mem;
use std::os::fd::{AsFd, AsRawFd};

use crate::args::Args;
use crate::child::fd_limit::Limits;
use crate::child::functions::find_own_worker;
use crate::child::prepare;
use crate::child::reply::refuse;
use crate::child::report::ReporterSeed;
use crate::child::request::Request;
use crate::child::role::{self, Inherited, exit_with};
use crate::child::run::run_worker;
use crate::child::title::Titles;
use crate::early;
use crate::error::Result;
use crate::protocol::body::Body;
use crate::protocol::request::{BodyAt, Role};
use crate::registry::Function;
use crate::sys::fd::KeepOpen;
use crate::sys::proc_title::Title;
use crate::sys::threads::OneThread;

/// What the child of such a request needs, made by the template before the fork.
pub(crate) struct FastPath {
    worker: &'static Function,
    reporter: ReporterSeed,
    keep_open: KeepOpen,
    title: Title,
    limits: Limits,
}

impl FastPath {
    /// Prepares the child. `None` if the request is of another kind or will be refused.
    pub(crate) fn of(
        request: &Request<'_>,
        inherited: &Inherited<'_>,
        titles: &Titles,
    ) -> Option<FastPath> {
        let head = &request.head;
        let is_fast = head.role == Role::Worker
            && head.body_at == BodyAt::Inline
            && head.trailing_fds == 0
            && Args::is_empty(inherited.args)
            && !prepare::has_hooks();
        let name = Body::fast_path_name(request.body).filter(|_| is_fast)?;
        let worker = find_own_worker(&name).ok()?;
        let own = [request.socket.as_raw_fd(), request.status.as_raw_fd()];
        let inline = request.inline_fds.iter().map(AsRawFd::as_raw_fd);
        Some(FastPath {
            worker,
            reporter: ReporterSeed::new(request.status.as_fd()),
            keep_open: role::keep_open(own.into_iter().chain(inline), inherited),
            title: titles.worker(worker.name),
            limits: inherited.limits.clone(),
        })
    }

    /// Runs the worker, in the child, to its exit.
    pub(crate) fn run(self, one_thread: OneThread, request: Request<'_>) -> ! {
        early::mark_forked();
        self.reporter.activate();
        // Open to the exit of the process, which reports its failure there.
        let _status = mem::ManuallyDrop::new(request.status);
        let prepare = || {
            request.surroundings.enter_and_leave_open()?;
            role::isolate(one_thread, &self.keep_open)?;
            role::restore_own(&self.limits)?;
            self.title.set(one_thread);
            role::settle_signals()?;
            Ok(Body::parse_fast_path(request.body, request.inline_fds)?)
        };
        let prepared: Result<_> = prepare();
        // Forget: freeing would dirty a page shared with the template.
        mem::forget(self.keep_open);
        exit_with(|| match prepared {
            Ok(args) => run_worker(self.worker, args, request.socket),
            Err(error) => refuse(&request.socket, &error),
        })
    }
}
