//! A spare's rehearsal: it sends itself a request before it waits for one.
//! RUNS IN: spare
//!
//! It goes with the request up to the answer, but runs no user code. In a new process the
//! first write to a page of memory, and the first run of a page of code, costs two
//! microseconds each, and more on a virtual machine. After the rehearsal they are paid for.
//! It leaves nothing: its descriptors are closed, and its streams are those that the spare
//! has anyway. Where it cannot go on, the spare is merely slower.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::child::functions::find_own_worker;
use crate::child::reply;
use crate::child::request::{Arrival, Request, gather};
use crate::child::role::Inherited;
use crate::entry::Kind;
use crate::protocol::body::Body;
use crate::protocol::request::{Head, Role, Surroundings};
use crate::registry;
use crate::sys::socket::{self, Wait};
use crate::sys::{code, fd, signal};

/// Maximum number of workers whose code is mapped in advance: of those that are registered
/// first.
const MAX_WORKERS: usize = 8;

/// Plays one request. `buffer` is zero before and after.
pub(crate) fn play(buffer: &mut [u8], inherited: &Inherited<'_>) {
    let workers = registry::functions(Kind::Worker);
    let name = workers.first().map_or("", |worker| worker.name);
    let _ = try_play(buffer, inherited, name);
    for worker in workers.iter().take(MAX_WORKERS) {
        code::map(worker.enter as *const ());
    }
}

fn try_play(buffer: &mut [u8], inherited: &Inherited<'_>, name: &'static str) -> io::Result<()> {
    let (owner, receiver) = socket::control_pair()?;
    let (_reply, child) = socket::reply_pair()?;
    let body = Body {
        name: name.into(),
        settings: Vec::new(),
        steps: Vec::new(),
        program: None,
    };
    let (body, _) = body.encode();
    let head = Head {
        surroundings: Surroundings {
            streams: [true; 3],
            ..Surroundings::default()
        },
        ..Head::new(Role::Worker, &body, 0)
    };
    let streams = [0, 1, 2].map(fd::standard_stream);
    let fds: [BorrowedFd<'_>; 5] = [
        child.as_fd(),
        child.as_fd(),
        streams[0],
        streams[1],
        streams[2],
    ];
    let message = head.encode(&body);
    socket::send(owner.as_fd(), &message, &fds)?;
    let (limits, trust) = (inherited.limits, inherited.trust);
    let arrival = Request::receive(receiver.as_fd(), Wait::No, buffer, limits, trust);
    if let Arrival::Request(request) = arrival {
        take_on(request);
    }
    // No more than that: each further page would be the spare's own.
    buffer[..message.len()].fill(0);
    Ok(())
}

/// Does what a spare does with a request, up to its answer.
fn take_on(request: Request<'_>) {
    signal::discard_pending();
    // The streams are duplicates of those that they replace.
    let _ = request.surroundings.enter();
    let (socket, fds) = (request.socket, request.inline_fds);
    if let Ok(body) = gather(&socket, &request.head, request.body, None, fds) {
        let _ = find_own_worker(&body.name);
    }
    let _ = reply::say_ready(&socket);
}
