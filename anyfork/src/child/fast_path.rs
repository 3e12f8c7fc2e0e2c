//! A plain request: a worker and its arguments, and nothing else.
//!
//! Most requests are. For such a one the template finds the worker and makes ready
//! what the child will need, where all that this touches is in memory and in its
//! page tables already. The first steps of the child are few then: each page of
//! memory that a new process writes to, and each stretch of code that it comes to,
//! costs it about a microsecond.
//!
//! The arguments are the child's business, as in any other request: a template
//! keeps nothing of them, which all its later children would have, too, and closes
//! no descriptor that nobody else has, which may take its time.

use std::mem;
use std::os::fd::{AsFd, AsRawFd};

use crate::args::Args;
use crate::child::fd_limit::Limits;
use crate::child::functions::find_own_worker;
use crate::child::prepare;
use crate::child::reply::refuse;
use crate::child::report::ReporterSeed;
use crate::child::request::Request;
use crate::child::role;
use crate::child::role::{Inherited, exit_with};
use crate::child::run::run_worker;
use crate::child::title::Titles;
use crate::early;
use crate::error::{Error, Result};
use crate::protocol::body::Body;
use crate::protocol::request::{BodyAt, Role};
use crate::registry::Function;
use crate::sys::fd::KeepOpen;
use crate::sys::proc_title::Title;
use crate::sys::signal;
use crate::sys::threads::OneThread;

/// What the child of a plain request needs, as far as its template knows it.
pub(crate) struct Plain {
    worker: &'static Function,
    beginning: ReporterSeed,
    kept: KeepOpen,
    title: Title,
    limits: Limits,
}

impl Plain {
    /// `None` if the request is none, or if it is to be refused.
    pub(crate) fn of(
        request: &Request<'_>,
        inherited: &Inherited<'_>,
        titles: &Titles,
    ) -> Option<Plain> {
        let head = &request.head;
        let is_plain = head.role == Role::Worker
            && head.body_at == BodyAt::Inline
            && head.trailing_fds == 0
            && Args::is_empty(inherited.args)
            && !prepare::has_hooks();
        let name = Body::fast_path_name(request.body).filter(|_| is_plain)?;
        let worker = find_own_worker(name).ok()?;
        let own = [request.socket.as_raw_fd(), request.status.as_raw_fd()];
        let attached = request.inline_fds.iter().map(AsRawFd::as_raw_fd);
        Some(Plain {
            worker,
            beginning: ReporterSeed::new(request.status.as_fd()),
            kept: role::kept(own.into_iter().chain(attached), inherited),
            title: titles.worker(worker.name),
            limits: inherited.limits.clone(),
        })
    }

    /// In the child: runs the worker.
    pub(crate) fn run(self, one_thread: OneThread, request: Request<'_>) -> ! {
        early::mark_forked();
        self.beginning.activate();
        // Held to the end of the process, for what it has to say of a failure.
        let _status = mem::ManuallyDrop::new(request.status);
        let settle = || {
            role::isolate(one_thread, &self.kept)?;
            role::restore_limits(&self.limits)?;
            self.title.set(one_thread);
            signal::unblock_all().map_err(|error| Error::io("unblock signals", error))?;
            Ok(Body::parse_fast_path(request.body, request.inline_fds)?)
        };
        let settled: Result<_> = settle();
        // Its memory is the template's, too: nothing is given back here.
        mem::forget(self.kept);
        exit_with(|| match settled {
            Ok(args) => run_worker(self.worker, args, request.socket),
            Err(error) => refuse(&request.socket, &error),
        })
    }
}
