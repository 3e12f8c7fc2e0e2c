//! From the fork to the worker's entry, and from its return to the end of the
//! process.
//!
//! Between the fork and [`Call::enter`] nothing may unwind or return into the
//! template's loop above, whose descriptors are closed here: every path ends in
//! `leave`.

use std::any::Any;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;

use sendfd::SendWithFd;

use super::serve::{Limits, Request, Template, answer_failure};
use crate::args::{Arg, Args};
use crate::call::Call;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::answer;
use crate::protocol::request::{self, Head, Item};
use crate::registry::{self, ANYFORK_V1_WORKERS};
use crate::sys::{descriptor, fork, memory, message, poll, signal};

/// The exit code of a Rust program that panicked.
const PANICKED: u8 = 101;

/// Becomes what the request asks for. `inherited` are the arguments that the
/// template was given.
pub(super) fn run(request: Request<'_>, inherited: Args, limits: &Limits) -> ! {
    let code = catch_unwind(AssertUnwindSafe(|| {
        become_asked(request, inherited, limits)
    }));
    fork::leave(code.unwrap_or(PANICKED))
}

fn become_asked(request: Request<'_>, inherited: Args, limits: &Limits) -> u8 {
    let Request {
        head,
        body,
        socket,
        status,
        control,
        memory,
        attached,
    } = request;
    let own = Own {
        socket,
        status,
        control,
    };
    let prepared = own
        .isolate(&memory, &attached, &inherited)
        .and_then(|()| Prepared::gather(&own.socket, &head, body, memory, attached, inherited));
    match prepared {
        Err(error) => {
            answer_failure(&own.socket, &error);
            1
        }
        Ok(prepared) => match own.control {
            Some(control) => serve(&own.socket, control, prepared.args),
            None => work(own.socket, prepared, limits),
        },
    }
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
        inherited: &Args,
    ) -> Result<()> {
        let mut kept = vec![self.socket.as_raw_fd(), self.status.as_raw_fd()];
        kept.extend(
            self.control
                .iter()
                .chain(memory)
                .chain(attached)
                .map(AsRawFd::as_raw_fd),
        );
        kept.extend(inherited.iter().filter_map(|arg| match arg {
            Arg::Fd(fd) => Some(fd.as_raw_fd()),
            Arg::Bytes(_) => None,
        }));
        descriptor::close_all_but(&mut kept)
            .map_err(|error| Error::io("close the template's descriptors in the child", error))
    }
}

/// A child that has all that was sent to it.
struct Prepared {
    /// The worker's name; empty for a template.
    name: String,
    args: Args,
}

impl Prepared {
    fn gather(
        socket: &UnixStream,
        head: &Head,
        body: &[u8],
        memory: Option<OwnedFd>,
        mut fds: Vec<OwnedFd>,
        mut args: Args,
    ) -> Result<Prepared> {
        let loaded;
        let body = match memory {
            None => body,
            Some(memory) => {
                loaded = memory::load(memory, head.body_len)
                    .map_err(|error| Error::io("read the arguments", error))?;
                &loaded
            }
        };
        receive_more(socket, head.following as usize, &mut fds)?;
        let (name, items) = request::parse_body(body)?;
        let mut fds = fds.into_iter();
        for item in items {
            args.extend([match item {
                Item::Octets(octets) => Arg::Bytes(octets.to_vec()),
                Item::NextDescriptor => Arg::Fd(fds.next().ok_or_else(missing_descriptor)?),
            }]);
        }
        let name = name.to_owned();
        Ok(Prepared { name, args })
    }
}

/// Takes the descriptors that did not fit into the request.
fn receive_more(socket: &UnixStream, count: usize, fds: &mut Vec<OwnedFd>) -> Result<()> {
    let wanted = fds.len() + count;
    let failed = |error| Error::io("receive the worker's descriptors", error);
    while fds.len() < wanted {
        poll::wait(socket.as_fd(), poll::Interest::Readable, None).map_err(failed)?;
        let received = message::receive(socket.as_fd(), &mut [0], fds).map_err(failed)?;
        if received.descriptors_cut {
            return Err(failed(io::Error::from_raw_os_error(libc::EMFILE)));
        }
        if received.len == 0 {
            return Err(failed(io::ErrorKind::UnexpectedEof.into()));
        }
    }
    Ok(())
}

fn missing_descriptor() -> Error {
    let message = "fewer descriptors came than the request announces";
    Error::new(ErrorKind::Protocol, message)
}

/// Becomes a template of its own.
fn serve(socket: &UnixStream, control: OwnedFd, args: Args) -> u8 {
    match Template::new(control, args) {
        Err(error) => {
            answer_failure(socket, &Error::io("start a template", error));
            1
        }
        Ok(template) => {
            // Its owner may be gone already, having left requests of others
            // that it forked from this: they are served before the end.
            let _ = say_ready(socket);
            template.serve()
        }
    }
}

/// Enters the worker and reports how it ended.
fn work(socket: UnixStream, prepared: Prepared, limits: &Limits) -> u8 {
    let start = || {
        let worker = registry::find(&ANYFORK_V1_WORKERS, &prepared.name)?;
        limits
            .restore()
            .map_err(|error| Error::io("restore RLIMIT_NOFILE", error))?;
        signal::unblock_all().map_err(|error| Error::io("unblock signals", error))?;
        Ok(worker)
    };
    let worker = match start() {
        Ok(worker) => worker,
        Err(error) => {
            answer_failure(&socket, &error);
            return 1;
        }
    };
    let mut call = Call::new(worker.name, prepared.args, socket, say_ready);
    let returned = catch_unwind(AssertUnwindSafe(|| (worker.enter)(&mut call)));
    let code = match returned {
        Err(_) => PANICKED,
        Ok(Ok(outcome)) => {
            if let Some(why) = outcome.failure() {
                complain(worker.name, why);
            }
            outcome.code()
        }
        Ok(Err(error)) => {
            match call.socket() {
                Some(socket) => answer_failure(socket, &error),
                None => complain(worker.name, &error.to_string()),
            }
            1
        }
    };
    // The worker's sockets are closed by now; what it printed must come out.
    let _ = io::stdout().flush();
    fork::flush_c_streams();
    code
}

/// Says on stderr what a worker's failure was, as a `main` does.
fn complain(worker: &str, why: &str) {
    let pid = process::id();
    let _ = writeln!(io::stderr(), "anyfork worker {worker} ({pid}): {why}");
}

/// Tells the caller that the child is about to be entered: its pid, and a
/// pidfd that it opens on itself, for which no race is possible.
fn say_ready(socket: &UnixStream) -> Result<()> {
    let failed = |error| Error::io("tell the caller that the worker is ready", error);
    let pid = process::id();
    let pidfd = fork::pidfd(pid).map_err(failed)?;
    let frame = answer::ready(pid);
    let sent = socket
        .send_with_fd(&frame, &[pidfd.as_raw_fd()])
        .map_err(failed)?;
    match sent == frame.len() {
        true => Ok(()),
        false => Err(failed(io::ErrorKind::WriteZero.into())),
    }
}

/// What a panic said, if it said text.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let owned = || panic.downcast_ref::<String>().map(String::as_str);
    let text = panic.downcast_ref::<&str>().copied().or_else(owned);
    text.unwrap_or("a value that is no text")
}
