//! From the fork to what the child was made for.
//!
//! Nothing may unwind or return from here into the template's loop above, whose
//! descriptors are closed here: every path ends in `leave`.

use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::arrival::gather;
use super::enter::{self, PANICKED, say_ready};
use super::lookup::look_up;
use super::prepare;
use super::program;
use super::report;
use super::serve::{Inherited, Request, Template, answer_failure};
use super::settings;
use super::title;
use crate::args::{Arg, Args};
use crate::early;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::request::Body;
use crate::registry::Kind;
use crate::settings::Setting;
use crate::step::{Program, Step};
use crate::sys::{descriptor, fork, signal};

/// Becomes what the request asks for.
pub(super) fn run(request: Request<'_>, inherited: Inherited<'_>) -> ! {
    let code = catch_unwind(AssertUnwindSafe(|| become_asked(request, inherited)));
    fork::leave(code.unwrap_or_else(|panic| {
        report::unwound(&*panic);
        // Its destructor is the user's code, and might panic, too.
        mem::forget(panic);
        PANICKED
    }))
}

fn become_asked(request: Request<'_>, inherited: Inherited<'_>) -> u8 {
    let Request {
        head,
        body,
        socket,
        status,
        control,
        memory,
        attached,
    } = request;
    early::be_a_child();
    report::begin("process".to_owned(), status.as_fd());
    let own = Own {
        socket,
        status,
        control,
    };
    let arrived = own
        .isolate(&memory, &attached, &inherited)
        .and_then(|()| gather(&own.socket, &head, body, memory, attached))
        .and_then(|body| {
            let restored = inherited.limits.restore().map(|()| body);
            restored.map_err(|error| Error::io("restore RLIMIT_NOFILE", error))
        });
    let body = match arrived {
        Ok(body) => body,
        Err(error) => return refuse(&own.socket, &error),
    };
    // From here on code of the user's runs, for as long as somebody waits for it.
    if let Err(error) = descriptor::die_with_peer(own.socket.as_fd()) {
        return refuse(&own.socket, &Error::io("watch the caller's end", error));
    }
    let Body {
        name,
        settings,
        steps,
        program,
    } = body;
    let has_title = settings.iter().any(|it| matches!(it, Setting::Title(_)));
    match (&own.control, has_title) {
        (_, true) => {}
        (Some(_), false) => title::template(),
        (None, false) if program.is_some() => {}
        (None, false) => title::worker(&name),
    }
    if let Err(error) = settings::apply(settings) {
        let error = match &program {
            Some(program) => error.during(start_of(program)),
            None => error,
        };
        return refuse(&own.socket, &error);
    }
    prepare::after_fork();
    if let Some(program) = program {
        return become_program(program, steps, inherited.args, own.socket);
    }
    match own.control {
        Some(control) => {
            let answering = (&own.socket, own.status.as_fd());
            become_template(steps, inherited.args, answering, control)
        }
        None => become_worker(&name, steps, inherited.args, own.socket, own.status.as_fd()),
    }
}

fn refuse(socket: &UnixStream, error: &Error) -> u8 {
    answer_failure(socket, error);
    1
}

/// The library's own descriptors in a child.
struct Own {
    socket: UnixStream,
    /// Held to the end, for what the worker has to say of a failure.
    status: OwnedFd,
    control: Option<OwnedFd>,
}

impl Own {
    /// Closes all that belongs to the template and to other children.
    fn isolate(
        &self,
        memory: &Option<OwnedFd>,
        attached: &[OwnedFd],
        inherited: &Inherited<'_>,
    ) -> Result<()> {
        let mut kept = vec![self.socket.as_raw_fd(), self.status.as_raw_fd()];
        let received = self.control.iter().chain(memory).chain(attached);
        kept.extend(received.map(AsRawFd::as_raw_fd));
        kept.extend(inherited.shared);
        kept.extend(inherited.args.iter().filter_map(|arg| match arg {
            Arg::Fd(fd) => Some(fd.as_raw_fd()),
            Arg::Bytes(_) => None,
        }));
        descriptor::close_all_but(&mut kept)
            .map_err(|error| Error::io("close the template's descriptors in the child", error))
    }
}

/// Prepares itself, and serves as a template of its own.
fn become_template(
    steps: Vec<Step>,
    inherited: Args,
    (socket, status): (&UnixStream, BorrowedFd<'_>),
    control: OwnedFd,
) -> u8 {
    let prepare = || {
        let args = prepare::take_steps(steps, inherited)?;
        enter::flush();
        prepare::check_threads().map_err(|why| {
            let message = format!("the preparation of a template {why}");
            Error::new(ErrorKind::InitFailed, message)
        })?;
        Template::new(control.as_fd(), args, &[socket.as_fd(), status])
    };
    match prepare() {
        // Before the control socket closes: who finds it closed asks why.
        Err(error) => refuse(socket, &error),
        Ok(template) => {
            // Its owner may be gone already, having left requests behind: they
            // are served before the end.
            let _ = say_ready(socket);
            template.serve(control)
        }
    }
}

/// Prepares itself, and becomes an external program.
fn become_program(program: Program, steps: Vec<Step>, inherited: Args, socket: UnixStream) -> u8 {
    let what = start_of(&program);
    let prepare = || {
        signal::unblock_all().map_err(|error| Error::io("unblock signals", error))?;
        prepare::take_steps(steps, inherited)
    };
    let (error, socket) = match prepare() {
        Ok(args) => program::execute(program, args, socket),
        Err(error) => (error, socket),
    };
    match error.kind() {
        // It names the program already.
        ErrorKind::ExecFailed => refuse(&socket, &error),
        _ => refuse(&socket, &error.during(what)),
    }
}

fn start_of(program: &Program) -> String {
    format!("start `{}`", program.path.display())
}

/// Prepares itself, and enters the worker.
fn become_worker(
    name: &str,
    steps: Vec<Step>,
    inherited: Args,
    socket: UnixStream,
    status: BorrowedFd<'_>,
) -> u8 {
    let prepare = || {
        signal::unblock_all().map_err(|error| Error::io("unblock signals", error))?;
        let args = prepare::take_steps(steps, inherited)?;
        // Last: a step may load the plugin that has it.
        Ok((args, look_up(Kind::Worker, name)?))
    };
    match prepare() {
        Err(error) => refuse(&socket, &error),
        Ok((args, worker)) => worker.work(args, socket, status),
    }
}
