//! Templates by exec: this program's file, or another program's that links
//! anyfork.
//!
//! Works from any thread of a process of any size, because `posix_spawn` copies
//! nothing. The new process never reaches its `main`: the constructor in
//! `template::boot` finds the marker in the environment. It forks the template
//! off and ends, so the template is nobody's child and never a zombie.

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

use crate::early::TemplateSockets;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::{hello, reply};
use crate::sys::poll::Interest;
use crate::sys::{poll, posix_spawn, socket, startup, wait};

/// So long a program may take to say that it is one of ours. It says so before
/// it prepares anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Executes this program's own file, also if its path leads elsewhere now.
pub(crate) fn this_program() -> Result<TemplateSockets> {
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
    program_with(&program, env::args_os(), PATIENCE)
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
pub(crate) fn program(path: &Path, patience: Duration) -> Result<TemplateSockets> {
    program_with(path, [path.as_os_str().to_owned()], patience)
}

fn program_with(
    program: &Path,
    args: impl IntoIterator<Item = OsString>,
    patience: Duration,
) -> Result<TemplateSockets> {
    let name = program.display();
    let failed = |error| Error::io(format_args!("exec a template from `{name}`"), error);
    // None: longer than a clock can tell.
    let deadline = Instant::now().checked_add(patience);
    let (control, served) = socket::control_pair().map_err(failed)?;
    let (answer, answering) = socket::stream_pair().map_err(failed)?;
    socket::send(control.as_fd(), &hello::MESSAGE, &[answering.as_fd()]).map_err(failed)?;
    drop(answering);

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
    let born = await_birth(program, &answer, deadline);
    if let Err(error) = born {
        // Not one of ours, or not able to: it may run on without us.
        posix_spawn::kill_group(pid);
        collect(pid);
        return Err(error);
    }
    wait::reap_blocking(pid).map_err(failed)?;
    Ok(TemplateSockets::new(control, answer))
}

/// Collects a child that was killed. One that changed its user cannot be: that
/// one is waited for elsewhere.
fn collect(pid: u32) {
    const PATIENCE: Duration = Duration::from_secs(1);
    let (done, collected) = mpsc::channel();
    thread::spawn(move || {
        let _ = wait::reap_blocking(pid);
        let _ = done.send(());
    });
    let _ = collected.recv_timeout(PATIENCE);
}

/// Waits until the program says that it is one of ours.
fn await_birth(program: &Path, answer: &UnixStream, deadline: Option<Instant>) -> Result<()> {
    let name = program.display();
    let failed = |error| Error::io(format_args!("wait for `{name}`"), error);
    let stranger = |why: String| {
        let message = format!("`{name}` {why}: is it a program that links anyfork?");
        Error::new(ErrorKind::NotAnyfork, message)
    };
    if !poll::wait(answer.as_fd(), Interest::Readable, deadline).map_err(failed)? {
        return Err(stranger("did not answer in time and was killed".to_owned()));
    }
    let (mut head, mut fds) = ([0; reply::HEAD_LEN], Vec::new());
    match socket::receive(answer.as_fd(), &mut head, &mut fds) {
        Err(error) if error.kind() != io::ErrorKind::ConnectionReset => return Err(failed(error)),
        Ok(received) if received.len == reply::HEAD_LEN => {}
        _ => {
            return Err(stranger(
                "ended, or closed its descriptors, without an answer".to_owned(),
            ));
        }
    }
    match reply::parse_head(&head).map_err(|what| stranger_version(program, what.into()))? {
        reply::Head::Hello => Ok(()),
        reply::Head::Failed { kind, rest } => {
            let mut text = vec![0; rest];
            let read = socket::receive(answer.as_fd(), &mut text, &mut fds).map_err(failed)?;
            Err(reply::parse_failure(kind, &text[..read.len])?)
        }
        reply::Head::Ready { .. } => Err(stranger("answered out of turn".to_owned())),
    }
}

/// A protocol error, with the program's name.
fn stranger_version(program: &Path, error: Error) -> Error {
    Error::new(error.kind(), format!("`{}`: {error}", program.display()))
}
