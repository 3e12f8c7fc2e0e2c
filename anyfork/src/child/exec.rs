//! From the last step of a preparation to an external program.
//!
//! The caller learns of success by the end of the answer socket, which exec
//! closes. An error after "ready" follows on it.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;

use crate::args::Args;
use crate::args::value::Arg;
use crate::child::baseline;
use crate::child::reply::say_ready;
use crate::child::run;
use crate::error::{Error, ErrorKind, Result};
use crate::spec::Program;
use crate::sys::exec::Dup2Plan;
use crate::sys::exec::Image;
use crate::sys::{fd, signal};

/// The first number of a descriptor that was given without one.
const FIRST: i32 = 3;

/// Becomes the program; returns why it could not, and the socket to say so on.
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
    let (collected, numbered) = sort(collected);
    let name = path.clone();
    let wanted = numbered.into_iter().chain(fds);
    let moved = Dup2Plan::new(wanted, socket.as_fd());
    let (plan, socket) = match moved.map_err(place) {
        Ok((plan, moved)) => (plan, UnixStream::from(moved)),
        Err(error) => return (error, socket),
    };
    let become_it = || {
        let args = [arg0].into_iter().chain(collected).chain(args);
        let image = Image::new(&path, args).map_err(|error| execution(&name, error))?;
        // What an init function has printed comes before.
        run::flush();
        settle_signals()?;
        fd::close_all_on_exec().map_err(place)?;
        say_ready(&socket)?;
        plan.apply().map_err(place)?;
        match image.execute() {
            Err(error) => Err(execution(&name, error)),
            Ok(never) => match never {},
        }
    };
    let result: Result<()> = become_it();
    let error = result.expect_err("a success does not return");
    (error, socket)
}

/// What a process has collected: bytes are arguments, and descriptors are
/// numbered.
fn sort(collected: Args) -> (Vec<OsString>, Vec<(OwnedFd, i32)>) {
    let (mut args, mut numbered) = (Vec::new(), Vec::new());
    for arg in collected {
        match arg {
            Arg::Bytes(bytes) => args.push(OsString::from_vec(bytes)),
            Arg::Fd(fd) => numbered.push((fd, FIRST + numbered.len() as i32)),
        }
    }
    (args, numbered)
}

/// A program starts with default actions, SIGPIPE's too, and an empty mask.
fn settle_signals() -> Result<()> {
    if baseline::has_run_user_code() {
        signal::reset_actions();
    }
    signal::reset_sigpipe();
    signal::unblock_all().map_err(|error| Error::io("unblock signals", error))
}

fn place(error: std::io::Error) -> Error {
    Error::io("give a descriptor its number", error)
}

fn execution(program: &OsStr, error: std::io::Error) -> Error {
    let what = format_args!("execute `{}`", program.display());
    Error::os(ErrorKind::ExecFailed, what, error)
}
