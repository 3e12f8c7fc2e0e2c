//! From the fork to what the child was made for.
//!
//! Nothing may unwind or return from here into the template's loop above, whose
//! descriptors are closed here: every path ends in `leave`.

use std::mem::{self, ManuallyDrop};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::args::Args;
use crate::args::value::Arg;
use crate::child::arrival::gather;
use crate::child::exec;
use crate::child::fd_limit::Limits;
use crate::child::functions::look_up;
use crate::child::prepare;
use crate::child::report;
use crate::child::report::Beginning;
use crate::child::request::Request;
use crate::child::run;
use crate::child::run::{PANICKED, say_ready};
use crate::child::settings;
use crate::child::title;
use crate::early;
use crate::entry::Kind;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::body::Body;
use crate::spec::{Program, Setting, Step};
use crate::sys::fd::KeepOpen;
use crate::sys::{fork, signal};
use crate::template::server::{Template, answer_failure};

/// What a child has from its template.
pub(crate) struct Inherited<'a> {
    /// What was given to it to be given on.
    pub(crate) args: &'a mut Args,
    /// The descriptors that code of the program's has opened there.
    pub(crate) shared: &'a [RawFd],
    pub(crate) limits: &'a Limits,
}

/// Gives this process the limits that the program had.
#[inline]
pub(crate) fn restore_limits(limits: &Limits) -> Result<()> {
    let restored = limits.restore();
    restored.map_err(|error| Error::io("restore RLIMIT_NOFILE", error))
}

/// What is open in a child: `own`, and what it has from its template.
pub(crate) fn kept(own: impl IntoIterator<Item = RawFd>, inherited: &Inherited<'_>) -> KeepOpen {
    let args = inherited.args.iter().filter_map(|arg| match arg {
        Arg::Fd(fd) => Some(fd.as_raw_fd()),
        Arg::Bytes(_) => None,
    });
    KeepOpen::new(
        own.into_iter()
            .chain(inherited.shared.iter().copied())
            .chain(args),
    )
}

/// Closes all that belongs to the template and to other children.
#[inline]
pub(crate) fn isolate(kept: &KeepOpen) -> Result<()> {
    kept.close_others()
        .map_err(|error| Error::io("close the template's descriptors in the child", error))
}

/// In a process that was just forked for this request: becomes what it asks for.
pub(crate) fn isolate_and_run(request: Request<'_>, inherited: Inherited<'_>) -> ! {
    early::mark_forked();
    let fixed = [request.socket.as_raw_fd(), request.status.as_raw_fd()];
    let received = request.control.iter().chain(&request.memory);
    let received = received.chain(&request.inline_fds).map(AsRawFd::as_raw_fd);
    let kept = kept(fixed.into_iter().chain(received), &inherited);
    if let Err(error) = isolate(&kept) {
        refuse(&request.socket, &error);
        fork::exit_now(1)
    }
    run(request, inherited)
}

/// Becomes what the request asks for.
pub(crate) fn run(request: Request<'_>, inherited: Inherited<'_>) -> ! {
    end_with(|| become_asked(request, inherited))
}

/// Ends this process with the code that `last` gives.
pub(crate) fn end_with(last: impl FnOnce() -> u8) -> ! {
    let code = catch_unwind(AssertUnwindSafe(last));
    let code = code.unwrap_or_else(|panic| {
        report::unwound(&*panic);
        // Its destructor is the user's code, and might panic, too.
        mem::forget(panic);
        PANICKED
    });
    report::end(code);
    fork::exit_now(code)
}

fn become_asked(request: Request<'_>, inherited: Inherited<'_>) -> u8 {
    let Request {
        head,
        body,
        socket,
        status,
        control,
        memory,
        inline_fds,
    } = request;
    Beginning::new(status.as_fd()).begin();
    if head.trailing_fds > 0 {
        run::wake_template();
    }
    let own = Own {
        socket,
        status: ManuallyDrop::new(status),
        control,
    };
    let arrived = gather(&own.socket, &head, body, memory, inline_fds).and_then(|body| {
        restore_limits(inherited.limits)?;
        Ok(body)
    });
    let body = match arrived {
        Ok(body) => body,
        Err(error) => return refuse(&own.socket, &error),
    };
    let Body {
        name,
        settings,
        steps,
        program,
    } = body;
    // The last of them counts.
    let warm = settings.iter().rev().find_map(|it| match it {
        Setting::Spares(count) => Some(*count as usize),
        _ => None,
    });
    let has_title = settings.iter().any(|it| matches!(it, Setting::Title(_)));
    match (&own.control, has_title) {
        (_, true) => {}
        (Some(_), false) => title::template(),
        (None, false) if program.is_some() => {}
        (None, false) => title::worker(&name),
    }
    if !settings.is_empty() {
        run::wake_template();
    }
    if let Err(error) = settings::apply(settings) {
        let error = match &program {
            Some(program) => error.during(start_of(program)),
            None => error,
        };
        return refuse(&own.socket, &error);
    }
    if (prepare::has_hooks() || prepare::runs_code(&steps))
        && let Err(error) = run::die_with_caller(&own.socket)
    {
        return refuse(&own.socket, &error);
    }
    if let Err(error) = run_hooks(own.control.is_some()) {
        return refuse(&own.socket, &error);
    }
    if let Some(program) = program {
        return become_program(program, steps, mem::take(inherited.args), own.socket);
    }
    match own.control {
        Some(control) => {
            let answering = (&own.socket, own.status.as_fd());
            let warm = warm.unwrap_or(0);
            become_template(steps, mem::take(inherited.args), answering, control, warm)
        }
        None => become_worker(
            &name,
            steps,
            mem::take(inherited.args),
            own.socket,
            own.status.as_fd(),
        ),
    }
}

/// Does what the program wants done in every child. What panics in there ends the
/// process, which its status tells; of a template nobody reads the status.
fn run_hooks(is_template: bool) -> Result<()> {
    if !is_template {
        prepare::after_fork();
        return Ok(());
    }
    catch_unwind(prepare::after_fork).map_err(|panic| {
        let why = report::panic_text(&*panic);
        let message = format!("an `after_fork` function panicked in a template: {why}");
        Error::new(ErrorKind::InitFailed, message)
    })
}

pub(crate) fn refuse(socket: &UnixStream, error: &Error) -> u8 {
    answer_failure(socket, error);
    1
}

/// The library's own descriptors in a child.
struct Own {
    socket: UnixStream,
    /// Held to the end of the process, for what it has to say of a failure: also
    /// of a panic that unwinds past here.
    status: ManuallyDrop<OwnedFd>,
    control: Option<OwnedFd>,
}

/// Prepares itself, and serves as a template of its own.
fn become_template(
    steps: Vec<Step>,
    inherited: Args,
    (socket, status): (&UnixStream, BorrowedFd<'_>),
    control: OwnedFd,
    warm: usize,
) -> u8 {
    let prepare = || {
        let args = prepare::take_steps(steps, inherited)?;
        run::flush();
        prepare::check_threads().map_err(|why| {
            let message = format!("the preparation of a template {why}");
            Error::new(ErrorKind::InitFailed, message)
        })?;
        // What is open now is taken for the program's: the bell must not be.
        run::wake_template();
        Template::new(control.as_fd(), args, &[socket.as_fd(), status])
    };
    match prepare() {
        // Before the control socket closes: who finds it closed asks why.
        Err(error) => refuse(socket, &error),
        Ok(template) => {
            // Its owner may be gone already, having left requests behind: they
            // are served before the end.
            let _ = say_ready(socket);
            template.keep_warm(warm).serve(control)
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
        Ok(args) => exec::execute(program, args, socket),
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
