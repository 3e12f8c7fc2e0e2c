//! Templates by exec: this program's file, or another program's that links anyfork.
//! RUNS IN: caller
//!
//! Works from any thread of a process of any size, because `posix_spawn` copies
//! nothing. The new process never reaches its `main`: the constructor in `boot` finds
//! the marker in the environment. It forks the template off and exits, so the template
//! is not this process's child, and leaves no zombie.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::caller::spawn::reply::{Reply, ReplyReader};
use crate::early::TemplateSockets;
use crate::error::{Error, ErrorKind, Result};
use crate::exit::{Exit, Usage};
use crate::protocol::hello;
use crate::sys::poll::Interest;
use crate::sys::{deliver, objects, pidfd, poll, posix_spawn, socket, startup, wait};

/// Timeout for the `Hello` of a program, which sends it before it prepares anything.
pub(crate) const TIMEOUT_HELLO: Duration = Duration::from_secs(10);

/// Number of pauses for which the greeting waits until the kernel takes its descriptor.
const MAX_PAUSES: u32 = 1000;

/// Timeout for the exit of a program that has closed its end of the reply socket.
const TIMEOUT_EXIT: Duration = Duration::from_millis(100);

/// Timeout for reaping a program that was sent SIGKILL.
const TIMEOUT_REAP: Duration = Duration::from_secs(1);

/// Executes this program's own file, also if its path leads elsewhere now.
pub(crate) fn this_program() -> Result<TemplateSockets> {
    if !objects::is_linked_at_start() {
        return Err(loaded_by_another());
    }
    // The link works for a file that was deleted or replaced.
    let link = Path::new("/proc/self/exe");
    let program = match link.exists() {
        true => link.to_owned(),
        false => path_without_proc().unwrap_or_else(|| link.to_owned()),
    };
    if is_loader(&program) {
        let message = "this program was started through the dynamic loader: \
             its own file is unknown, and cannot be executed again";
        return Err(Error::new(ErrorKind::ExecFailed, message));
    }
    program_with(&program, env::args_os(), TIMEOUT_HELLO)
}

/// The error for this code in a library that a program has loaded which knows nothing of
/// anyfork: executed, it would do what it does.
fn loaded_by_another() -> Error {
    let library = objects::own_library().unwrap_or_default();
    let program = fs::read_link("/proc/self/exe").unwrap_or_default();
    let message = format!(
        "anyfork is in the library `{}`, which the program `{}` has loaded at run time: that \
         program does not link anyfork, and would do its own work if it were executed as a \
         template. Build a program that links anyfork and has the workers, and make processes of \
         it with `Process::exec_program`",
        library.display(),
        program.display()
    );
    Error::new(ErrorKind::ExecFailed, message)
}

/// Whether the link leads to the loader (`ld.so ./program argument`), which
/// would take the program's first argument for a program.
fn is_loader(link: &Path) -> bool {
    let target = fs::read_link(link).ok();
    let name = target
        .as_deref()
        .and_then(Path::file_name)
        .and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with("ld-") && name.contains(".so"))
}

/// Where this program's file is, if the kernel does not show it.
fn path_without_proc() -> Option<PathBuf> {
    let executed_as = startup::executed_as().map(PathBuf::from);
    executed_as
        .filter(|path| path.exists())
        .or_else(|| env::current_exe().ok())
}

/// Executes another program.
pub(crate) fn program(path: &Path, timeout: Duration) -> Result<TemplateSockets> {
    program_with(path, [path.as_os_str().to_owned()], timeout)
}

fn program_with(
    program: &Path,
    args: impl IntoIterator<Item = OsString>,
    timeout: Duration,
) -> Result<TemplateSockets> {
    let name = program.display();
    let failed = |error| Error::io(format_args!("exec a template from `{name}`"), error);
    // None: longer than a clock can tell.
    let deadline = Instant::now().checked_add(timeout);
    let (control, served) = socket::control_pair().map_err(failed)?;
    let (reply, replying) = socket::reply_pair().map_err(failed)?;
    let fds = [replying.as_fd()];
    let pauses = &mut { MAX_PAUSES };
    deliver::send(control.as_fd(), &hello::MESSAGE, &fds, pauses).map_err(failed)?;
    drop(replying);

    let marker = (
        hello::VARIABLE.into(),
        served.as_raw_fd().to_string().into(),
    );
    let variables = env::vars_os().filter(|(name, _)| name != hello::VARIABLE);
    let pid =
        posix_spawn::spawn(program, args, variables.chain([marker]), &served).map_err(|error| {
            Error::os(
                ErrorKind::ExecFailed,
                format_args!("execute `{name}`"),
                error,
            )
        })?;
    drop(served);
    let greeted = await_hello(program, &reply, deadline)
        .and_then(|()| await_double_fork(program, pid, deadline));
    if let Err(error) = greeted {
        let killed = match error.kind() {
            ErrorKind::NotAnyfork => killed_before(program, pid),
            _ => None,
        };
        // Another program, or one that failed: without this it might run on.
        posix_spawn::kill_group(pid);
        reap_killed(pid);
        return Err(killed.unwrap_or(error));
    }
    // It has forked the template and is about to exit, if it is what it says.
    if !exits_by(pid, deadline) {
        posix_spawn::kill_group(pid);
        reap_killed(pid);
        return Err(Error::too_late(&format!(
            "`{name}`, exec'ed as a template,"
        )));
    }
    Ok(TemplateSockets::new(control, reply))
}

/// Whether the child has exited, or does until the deadline. Where nobody can tell, it is
/// trusted to.
fn exits_by(pid: u32, deadline: Option<Instant>) -> bool {
    match pidfd::open(pid) {
        Ok(pidfd) => !matches!(
            poll::wait(pidfd.as_fd(), Interest::Readable, deadline),
            Ok(false)
        ),
        Err(_) => true,
    }
}

/// The error for a program that a signal has ended before it could answer.
fn killed_before(program: &Path, pid: u32) -> Option<Error> {
    exits_by(pid, Some(Instant::now() + TIMEOUT_EXIT));
    let record = wait::peek(pid).ok()??;
    let (user, system) = (record.user_micros, record.system_micros);
    let exit = Exit {
        status: record.status,
        usage: Usage::new(user, system, record.peak_memory),
        failure: None,
    };
    exit.signal()?;
    let message = format!("`{}` ended before it answered: {exit}", program.display());
    Some(Error::died(message, exit))
}

/// Reaps a program that was sent SIGKILL. One that changed its user cannot be killed:
/// after [`TIMEOUT_REAP`] a thread goes on waiting for it.
fn reap_killed(pid: u32) {
    let (done, reaped) = mpsc::channel();
    thread::spawn(move || {
        let _ = wait::reap_blocking(pid);
        let _ = done.send(());
    });
    let _ = reaped.recv_timeout(TIMEOUT_REAP);
}

/// Waits until a program that has greeted has forked its template and has exited, and
/// reaps it: any program can greet.
fn await_double_fork(program: &Path, pid: u32, deadline: Option<Instant>) -> Result<()> {
    /// Interval between two looks if there is no room for a pidfd.
    const INTERVAL: Duration = Duration::from_millis(1);
    let pidfd = pidfd::open(pid).ok();
    loop {
        // None: it runs. An error: somebody else has reaped it.
        if !matches!(wait::reap(pid), Ok(None)) {
            return Ok(());
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            let name = program.display();
            let message = format!(
                "`{name}` greeted and did not become a template in time, and was killed: is it a \
                 program that links anyfork?"
            );
            return Err(Error::new(ErrorKind::NotAnyfork, message));
        }
        match &pidfd {
            Some(pidfd) => {
                let exited = poll::wait(pidfd.as_fd(), Interest::Readable, deadline);
                exited.map_err(|error| Error::io("wait for a template", error))?;
            }
            None => thread::sleep(INTERVAL),
        }
    }
}

/// Waits for the `Hello` of a program that links anyfork.
fn await_hello(program: &Path, reply: &UnixStream, deadline: Option<Instant>) -> Result<()> {
    let name = program.display();
    let not_anyfork = |why: &str| {
        let message = format!("`{name}` {why}: is it a program that links anyfork?");
        Error::new(ErrorKind::NotAnyfork, message)
    };
    let mut reader = ReplyReader::of_program();
    loop {
        let reply_or_later = reader.read(reply.as_fd());
        match reply_or_later.map_err(|error| error.during(format_args!("`{name}`")))? {
            Some(Reply::Hello) => return Ok(()),
            Some(Reply::Failed(error)) => return Err(error),
            Some(Reply::NoRoom) => {
                let error = io::Error::from_raw_os_error(libc::EMFILE);
                return Err(Error::io(format_args!("receive from `{name}`"), error));
            }
            Some(Reply::Ready(_) | Reply::Claim) => {
                return Err(not_anyfork("answered out of turn"));
            }
            None if !reader.is_within_head() => {}
            None | Some(Reply::End) => {
                let why = "ended, or closed its descriptors, without an answer";
                return Err(not_anyfork(why));
            }
        }
        let came = poll::wait(reply.as_fd(), Interest::Readable, deadline);
        if !came.map_err(|error| Error::io(format_args!("wait for `{name}`"), error))? {
            return Err(not_anyfork("did not answer in time and was killed"));
        }
    }
}
