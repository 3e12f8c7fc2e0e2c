//! From the fork to the role that a request gives the process.
//! RUNS IN: child
//!
//! The role is that of a worker, of an external program or of a template. [`take_on`]
//! returns what is left to do as [`Next`], so that `child` does not know the template's
//! loop. It never unwinds, because the caller's frames are those of the template, whose
//! descriptors are closed in the child. When it returns, a worker has run, and an external
//! program could not be executed.

use std::mem::{self, ManuallyDrop};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::args::Args;
use crate::args::value::Arg;
use crate::child::fd_limit::Limits;
use crate::child::frame;
use crate::child::functions::find_function;
use crate::child::prepare;
use crate::child::privacy;
use crate::child::reply::{die_with_caller, refuse, wake_template};
use crate::child::report::panic_note::panic_text;
use crate::child::report::{self, ReporterSeed};
use crate::child::request::{Request, gather};
use crate::child::run::{self, PANICKED};
use crate::child::surroundings::Snapshot;
use crate::child::trust::Trust;
use crate::child::{exec, own_limits, settings, title};
use crate::early;
use crate::entry::Kind;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::Malformed;
use crate::protocol::body::Body;
use crate::protocol::request::BodyAt;
use crate::spec::name::FunctionName;
use crate::spec::{Program, Setting, Step};
use crate::sys::fd::KeepOpen;
use crate::sys::fd_identity::{Socket, is_socket};
use crate::sys::threads::OneThread;
use crate::sys::{fork, signal, threads, tools};

/// What a child inherits from its template.
pub(crate) struct Inherited<'a> {
    /// The arguments that the template passes on.
    pub(crate) args: &'a mut Args,
    /// The descriptors that user code has opened in the template.
    pub(crate) shared: &'a [RawFd],
    pub(crate) limits: &'a Limits,
    /// Whose requests the template serves.
    pub(crate) trust: Trust,
}

/// What a process has left to do once it has taken on its role.
pub(crate) enum Next {
    /// To exit with this code.
    Exit(u8),
    /// To serve as a template.
    Serve(NewTemplate),
}

/// A template that is prepared, but does not serve yet.
pub(crate) struct NewTemplate {
    /// Made after the last of the user's code.
    pub(crate) one_thread: OneThread,
    /// The socket that it receives requests from.
    pub(crate) control: OwnedFd,
    /// The socket on which it answers that it serves, or why not.
    pub(crate) reply: UnixStream,
    /// The write end of its status pipe, which stays open to its exit.
    pub(crate) status: ManuallyDrop<OwnedFd>,
    /// The arguments that it passes on.
    pub(crate) args: Args,
    /// The number of spares that it keeps.
    pub(crate) spares: usize,
}

/// Restores what the template has changed of itself: the limit of descriptors, and what
/// others may see. The child is isolated.
#[inline]
pub(crate) fn restore_own(limits: &Limits) -> Result<()> {
    privacy::restore();
    let restored = limits.restore();
    restored.map_err(|error| Error::io("restore RLIMIT_NOFILE", error))
}

/// The descriptors that stay open in a child: `own`, and those that it inherits.
pub(crate) fn keep_open(
    own: impl IntoIterator<Item = RawFd>,
    inherited: &Inherited<'_>,
) -> KeepOpen {
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

/// Gives this process the signal actions and the mask that a Rust `main` would find.
#[inline]
pub(crate) fn settle_signals() -> Result<()> {
    signal::restore_sigchld();
    signal::unblock_all().map_err(|error| Error::io("unblock signals", error))
}

/// Closes all descriptors that belong to the template and to other children.
#[inline]
pub(crate) fn isolate(one_thread: OneThread, keep_open: &KeepOpen) -> Result<()> {
    keep_open
        .close_others(one_thread)
        .map_err(|error| Error::io("close the template's descriptors in the child", error))
}

/// Isolates a process that was just forked for this request, and takes on the role
/// that the request gives it.
pub(crate) fn isolate_and_take_on(
    one_thread: OneThread,
    mut request: Request<'_>,
    inherited: Inherited<'_>,
) -> Next {
    early::mark_forked();
    let fixed = [request.socket.as_raw_fd(), request.status.as_raw_fd()];
    let received = request.control.iter().chain(&request.memory);
    let received = received.chain(&request.inline_fds).map(AsRawFd::as_raw_fd);
    let keep_open = keep_open(fixed.into_iter().chain(received), &inherited);
    let surroundings = mem::take(&mut request.surroundings);
    let isolated = surroundings
        .enter_and_leave_open()
        .and_then(|()| isolate(one_thread, &keep_open));
    if let Err(error) = isolated {
        refuse(&request.socket, &error);
        fork::exit_now(1)
    }
    take_on(one_thread, request, inherited)
}

/// Takes on the role that the request gives this process. Never unwinds.
pub(crate) fn take_on(
    one_thread: OneThread,
    request: Request<'_>,
    inherited: Inherited<'_>,
) -> Next {
    let next = catch_unwind(AssertUnwindSafe(|| {
        try_take_on(one_thread, request, inherited)
    }));
    next.unwrap_or_else(|panic| Next::Exit(code_of(panic)))
}

/// Runs `last`, writes the exit code that it gives into the status pipe, and exits.
pub(crate) fn exit_with(last: impl FnOnce() -> u8) -> ! {
    let code = catch_unwind(AssertUnwindSafe(last));
    exit(code.unwrap_or_else(code_of))
}

/// Has tools end their work in this process, writes the exit code into the status pipe,
/// and exits.
pub(crate) fn exit(code: u8) -> ! {
    tools::write_profile();
    // What a failure leaves behind is no leak.
    if code == 0 {
        tools::look_for_leaks();
    }
    report::write_exit_record(code);
    fork::exit_now(code)
}

/// Reports the panic that has unwound up to here, and gives its exit code.
fn code_of(panic: Box<dyn std::any::Any + Send>) -> u8 {
    report::on_unwind(&*panic);
    // Forget: the payload's destructor is user code and might panic, too.
    mem::forget(panic);
    PANICKED
}

fn try_take_on(one_thread: OneThread, request: Request<'_>, inherited: Inherited<'_>) -> Next {
    let Request {
        head,
        body,
        socket,
        status,
        control,
        memory,
        surroundings: _,
        inline_fds,
    } = request;
    ReporterSeed::new(status.as_fd()).activate();
    if control.is_some() {
        threads::note_of_libraries();
    }
    // A large body takes long to read, and further descriptors long to come.
    if head.trailing_fds > 0 || head.body_at == BodyAt::Memfd {
        wake_template();
    }
    // Open to the exit of the process, which reports its failure there: also that of a
    // panic that unwinds past here.
    let status = ManuallyDrop::new(status);
    let gathered = gather(&socket, &head, body, memory, inline_fds).and_then(|body| {
        check_control(control.as_ref())?;
        restore_own(inherited.limits)?;
        Ok(body)
    });
    let Body {
        name,
        settings,
        steps,
        program,
    } = match gathered {
        Ok(body) => body,
        Err(error) => return Next::Exit(refuse(&socket, &error)),
    };
    // The last one counts.
    let spares = settings.iter().rev().find_map(|it| match it {
        Setting::Spares(count) => Some(*count as usize),
        _ => None,
    });
    set_title(
        one_thread,
        &name.name,
        control.is_some(),
        program.is_some(),
        &settings,
    );
    if !settings.is_empty() {
        wake_template();
    }
    let prepared = settings::apply(one_thread, settings).and_then(|()| {
        if control.is_some() {
            own_limits::check_template()?;
        }
        if prepare::has_hooks() || prepare::runs_code(&steps) {
            die_with_caller(&socket)?;
        }
        run_hooks(control.is_some())
    });
    if let Err(error) = prepared {
        let error = match &program {
            Some(program) => error.during(start_of(program)),
            None => error,
        };
        return Next::Exit(refuse(&socket, &error));
    }
    let args = mem::take(inherited.args);
    match (program, control) {
        (Some(program), _) => Next::Exit(become_program(program, steps, args, socket)),
        (None, None) => Next::Exit(become_worker(&name, steps, args, socket, &status)),
        (None, Some(control)) => match prepare_template(steps, args, &socket) {
            // Before the control socket closes: a caller that finds it closed reads the
            // reason.
            Err(error) => Next::Exit(refuse(&socket, &error)),
            Ok((one_thread, args)) => Next::Serve(NewTemplate {
                one_thread,
                control,
                reply: socket,
                status,
                args,
                spares: spares.unwrap_or(0),
            }),
        },
    }
}

/// Checks that a template has something to serve: another kind of descriptor may never
/// report the end of all owners.
fn check_control(control: Option<&OwnedFd>) -> Result<()> {
    let serves = |control: &OwnedFd| is_socket(control.as_fd(), Socket::UnixMessages);
    match control.is_none_or(serves) {
        true => Ok(()),
        false => Err(Malformed::Because("a template's control socket is something else").into()),
    }
}

/// Calls this process by its role, unless a title is among its settings. An external
/// program brings its own title.
fn set_title(
    one_thread: OneThread,
    name: &str,
    is_template: bool,
    is_program: bool,
    settings: &[Setting],
) {
    let has_title = settings.iter().any(|it| matches!(it, Setting::Title(_)));
    if has_title || is_program {
        return;
    }
    match is_template {
        true => title::template(one_thread),
        false => title::worker(one_thread, name),
    }
}

/// Runs the `after_fork` functions. A panic in one ends the process, and is reported in
/// the status pipe. Of a template nobody reads that pipe, so the panic is an error.
fn run_hooks(is_template: bool) -> Result<()> {
    if !is_template {
        prepare::after_fork();
        return Ok(());
    }
    catch_unwind(prepare::after_fork).map_err(|panic| {
        let why = panic_text(&*panic);
        let message = format!("an `after_fork` function panicked in a template: {why}");
        Error::new(ErrorKind::InitFailed, message)
    })
}

/// Takes the steps of a template's preparation, and gives the arguments that it
/// passes on.
fn prepare_template(
    steps: Vec<Step>,
    inherited: Args,
    socket: &UnixStream,
) -> Result<(OneThread, Args)> {
    let before = Snapshot::now();
    let args = prepare::take_steps(steps, inherited, socket.as_fd())?;
    frame::flush();
    before
        .let_go()
        .map_err(|error| Error::io("let go of the caller's streams and directory", error))?;
    let one_thread = prepare::check_threads().map_err(|why| {
        let message = format!("the preparation of a template {why}");
        Error::new(ErrorKind::InitFailed, message)
    })?;
    // The template takes the descriptors that are open from here on for the user's: the
    // event descriptor must be closed before.
    wake_template();
    Ok((one_thread, args))
}

/// Takes the steps, and executes the program. If that fails, gives the exit code.
fn become_program(program: Program, steps: Vec<Step>, inherited: Args, socket: UnixStream) -> u8 {
    let what = start_of(&program);
    let prepare = || {
        settle_signals()?;
        prepare::take_steps(steps, inherited, socket.as_fd())
    };
    let (error, socket) = match prepare() {
        Ok(args) => exec::execute(program, args, socket),
        Err(error) => (error, socket),
    };
    match error.kind() {
        // The error names the program already.
        ErrorKind::ExecFailed => refuse(&socket, &error),
        _ => refuse(&socket, &error.during(what)),
    }
}

fn start_of(program: &Program) -> String {
    format!("start `{}`", program.path.display())
}

/// Takes the steps, and runs the worker to its end. Gives the exit code.
fn become_worker(
    name: &FunctionName<'_>,
    steps: Vec<Step>,
    inherited: Args,
    socket: UnixStream,
    status: &OwnedFd,
) -> u8 {
    let prepare = || {
        settle_signals()?;
        let args = prepare::take_steps(steps, inherited, socket.as_fd())?;
        // Last: a step may load the plugin that has the worker.
        Ok((args, find_function(Kind::Worker, name)?))
    };
    match prepare() {
        Err(error) => refuse(&socket, &error),
        Ok((args, worker)) => run::run(worker, args, socket, status.as_fd()),
    }
}
