//! Serves typed calls: the worker of the library's own, in which functions are called.
//! RUNS IN: child
//!
//! One call after the other: it reads a request, notes the number of the call in the page
//! that it shares with the caller, and has it [answered](mod@answer). It leaves when the caller
//! closes the socket, after a panic, and when the function has asked for it.

pub(crate) mod answer;
mod outlet;

use std::any::TypeId;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use crate::args::value::Arg;
use crate::child::calls::answer::{Served, is_gone, refuse, serve_one};
#[cfg(feature = "plugin")]
use crate::child::plugin::{self, PluginFunction};
use crate::entry::Entry;
use crate::entry::outcome::Outcome;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::call::incoming::Incoming;
use crate::protocol::call::{Frame, Head, Kind, MAX_LEN, Payload, Terms, items};
use crate::registry::{self, CallFunction, Function};
use crate::spec::name::{CALL_LOOP, CallLoop, ONE_CALL};
use crate::sys::fork_mark::ForkMark;
use crate::sys::shared_page::SharedNumber;
use crate::sys::signal;
use crate::sys::socket::{self, Wait};

/// The worker in which calls run one after the other. It is in no list of the program's.
pub(crate) static LOOP: Function = Function {
    name: CALL_LOOP,
    identity: TypeId::of::<CallLoop>,
    enter: serve,
};

/// The worker that serves the one call that it gets as an argument.
pub(crate) static ONE_CALL_WORKER: Function = Function {
    name: ONE_CALL,
    identity: TypeId::of::<CallLoop>,
    enter: serve_one_call,
};

/// A function that was found.
enum Found {
    Own(&'static CallFunction),
    #[cfg(feature = "plugin")]
    Plugin(PluginFunction),
}

/// Serves calls until the caller closes the socket.
fn serve(entry: &mut Entry) -> Result<Outcome> {
    // Last, behind what the process was given before it became a worker of a pool's.
    let (entered, mark) = prepare(entry.rest().last())?;
    let socket = entry.enter_with::<UnixStream>()?;
    let mut incoming = Incoming::new(MAX_LEN);
    while let Some(frame) = receive(&socket, &mut incoming)? {
        let (terms, has_items) = match frame.head.kind {
            Kind::Call(terms) => (terms, false),
            Kind::Items(terms) => (terms, true),
            _ => return Err(nonsense("a worker was sent an answer")),
        };
        let request = Request::of(&frame, terms, socket.as_fd(), mark)?;
        let answer = |number, payload, skip| {
            entered.store(number);
            request.answer(number, payload, skip)
        };
        let (first, skip) = (frame.head.number, frame.head.name);
        let mut served = Served::Stays;
        if has_items {
            let items = items::split(frame.payload, skip)?;
            for (number, item) in (first..).zip(items) {
                served = answer(number, item, 0)?;
                if served == Served::Leaves {
                    break;
                }
            }
        } else {
            served = answer(first, frame.payload, skip)?;
        }
        if served == Served::Leaves {
            break;
        }
    }
    Ok(Outcome::SUCCESS)
}

/// Serves the call whose request is among the arguments: its descriptors, its bytes, and
/// the page, behind what the process was given before.
fn serve_one_call(entry: &mut Entry) -> Result<Outcome> {
    let mut args: Vec<Arg> = entry.rest().collect();
    let (entered, mark) = prepare(args.pop())?;
    let Some(Arg::Bytes(request)) = args.pop() else {
        return Err(nonsense("a worker was not sent its call"));
    };
    let Some((head, main)) = request.split_first_chunk() else {
        return Err(nonsense("a worker was sent a part of a call"));
    };
    let head = Head::parse(head)?;
    let is_whole = head.blobs == 0 && head.main == main.len() as u64;
    let (Kind::Call(terms), true, Some(first)) =
        (head.kind, is_whole, args.len().checked_sub(head.fds))
    else {
        return Err(nonsense("a worker was sent a part of a call"));
    };
    let fds = args.drain(first..).filter_map(|arg| match arg {
        Arg::Fd(fd) => Some(fd),
        Arg::Bytes(_) => None,
    });
    let payload = Payload {
        main: main.to_vec(),
        blobs: Vec::new(),
        fds: fds.collect(),
    };
    let frame = Frame {
        has_lost_fds: payload.fds.len() < head.fds,
        head,
        payload,
    };
    let socket = entry.enter_with::<UnixStream>()?;
    entered.store(head.number);
    let request = Request::of(&frame, terms, socket.as_fd(), mark)?;
    request.answer(frame.head.number, frame.payload, frame.head.name)?;
    Ok(Outcome::SUCCESS)
}

/// Maps the page that the caller shares with this worker, and does what a worker of calls
/// does before it is ready.
fn prepare(page: Option<Arg>) -> Result<(SharedNumber, ForkMark)> {
    let entered = match page {
        Some(Arg::Fd(page)) => SharedNumber::map(page.as_fd()),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    };
    let entered = entered.map_err(|error| Error::io("map the page of a worker's calls", error))?;
    let mark = ForkMark::new().map_err(|error| Error::io("mark a worker", error))?;
    signal::ignore_terminal().map_err(|error| Error::io("catch SIGINT and SIGQUIT", error))?;
    Ok((entered, mark))
}

/// What the calls of a request have in common.
struct Request<'a> {
    /// Or why it is not called.
    function: Result<Found, String>,
    terms: Terms,
    socket: BorrowedFd<'a>,
    mark: ForkMark,
}

impl<'a> Request<'a> {
    fn of(
        frame: &Frame,
        terms: Terms,
        socket: BorrowedFd<'a>,
        mark: ForkMark,
    ) -> Result<Request<'a>> {
        let name = frame.name()?;
        let function = match frame.has_lost_fds {
            false => find(name, terms.fingerprint),
            true => Err(format!(
                "the arguments of `{name}`: descriptors were lost: the descriptor table of the \
                 worker is full"
            )),
        };
        Ok(Request {
            function,
            terms,
            socket,
            mark,
        })
    }

    /// Answers a call, whose arguments begin behind `skip` bytes of the payload.
    fn answer(&self, number: u64, payload: Payload, skip: usize) -> Result<Served> {
        let (terms, socket) = (&self.terms, self.socket);
        match &self.function {
            Ok(Found::Own(function)) => {
                serve_one(function, payload, skip, number, terms, socket, self.mark)
            }
            #[cfg(feature = "plugin")]
            Ok(Found::Plugin(function)) => {
                let mut payload = payload;
                payload.main.drain(..skip);
                Ok(function.clone().call(payload, number, terms, socket))
            }
            Err(text) => refuse(text.clone(), number, terms, socket),
        }
    }
}

/// Finds the function of that name and signature, in the program and in its plugins.
fn find(name: &str, fingerprint: u64) -> Result<Found, String> {
    let mut named = registry::calls().iter().filter(|it| it.name == name);
    let mut is_known = false;
    let own = named.find(|it| {
        is_known = true;
        (it.fingerprint)() == fingerprint
    });
    if let Some(own) = own {
        return Ok(Found::Own(own));
    }
    #[cfg(feature = "plugin")]
    for (function, its_name, its_fingerprint) in plugin::calls() {
        if its_name == name {
            is_known = true;
            if its_fingerprint == fingerprint {
                return Ok(Found::Plugin(function));
            }
        }
    }
    Err(match is_known {
        true => format!(
            "`{name}` has another signature in the program of the worker: build both programs \
             from the same source"
        ),
        false => format!("no function `{name}` with `#[anyfork::call]` in the worker's program"),
    })
}

/// Receives a request. `None`: the caller has closed the socket.
fn receive(socket: &UnixStream, incoming: &mut Incoming) -> Result<Option<Frame>> {
    loop {
        if let Some(frame) = incoming.frame()? {
            return Ok(Some(frame));
        }
        let room = incoming.room();
        let (fd, wait) = (socket.as_fd(), Wait::Yes);
        match socket::receive_append(fd, wait, room.bytes, room.limit, room.fds) {
            Ok(received) if received.len == 0 => return Ok(None),
            Ok(received) if received.fds_cut => incoming.lose_fds(),
            Ok(_) => {}
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(Error::io("receive a call", error)),
        }
    }
}

fn nonsense(what: &str) -> Error {
    Error::new(ErrorKind::Protocol, what)
}
