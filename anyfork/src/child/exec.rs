//! Executes an external program, in a process that has taken its last step.
//! RUNS IN: child
//!
//! The exec closes the reply socket: its end tells the caller that the exec has
//! succeeded. If the exec fails after `Ready`, the error follows on the socket.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;

use crate::args::Args;
use crate::args::value::Arg;
use crate::child::frame;
use crate::child::reply::say_ready;
use crate::error::{Error, ErrorKind, Result};
use crate::spec::Program;
use crate::sys::exec::{Dup2Plan, Image};
use crate::sys::{fd, signal};

/// The lowest number for the descriptors that the caller gave without a number.
const FIRST_NUMBER: i32 = 3;

/// Executes the program. Returns only if that fails, with the error and the socket to
/// report it on.
pub(crate) fn execute(
    program: Program,
    collected: Args,
    socket: UnixStream,
) -> (Error, UnixStream) {
    let Program {
        path,
        arg0,
        args,
        fds,
    } = program;
    let (collected, numbered) = args_and_fds(collected);
    let name = path.clone();
    let wanted = numbered.into_iter().chain(fds);
    let moved = Dup2Plan::new(wanted, socket.as_fd());
    let (plan, socket) = match moved.map_err(dup_failed) {
        Ok((plan, moved)) => (plan, UnixStream::from(moved)),
        Err(error) => return (error, socket),
    };
    let execute = || {
        let args = [arg0].into_iter().chain(collected).chain(args);
        let image = Image::new(&path, args).map_err(|error| exec_failed(&name, error))?;
        // Text that an init function has printed comes before the program's.
        frame::flush();
        // Exec drops handlers. What an init function has ignored or blocked stays.
        signal::settle_sigpipe();
        fd::close_all_on_exec().map_err(dup_failed)?;
        say_ready(&socket)?;
        plan.apply().map_err(dup_failed)?;
        match image.execute() {
            Err(error) => Err(exec_failed(&name, error)),
            Ok(never) => match never {},
        }
    };
    let result: Result<()> = execute();
    let error = result.expect_err("a success does not return");
    (error, socket)
}

/// The collected arguments of a process as a program takes them: bytes are arguments,
/// and descriptors get the next numbers.
fn args_and_fds(collected: Args) -> (Vec<OsString>, Vec<(OwnedFd, i32)>) {
    let (mut args, mut numbered) = (Vec::new(), Vec::new());
    for arg in collected {
        match arg {
            Arg::Bytes(bytes) => args.push(OsString::from_vec(bytes)),
            Arg::Fd(fd) => numbered.push((fd, FIRST_NUMBER + numbered.len() as i32)),
        }
    }
    (args, numbered)
}

fn dup_failed(error: std::io::Error) -> Error {
    Error::io("give a descriptor its number", error)
}

fn exec_failed(program: &OsStr, error: std::io::Error) -> Error {
    let what = format_args!("execute `{}`", program.display());
    Error::os(ErrorKind::ExecFailed, what, error)
}
