//! Serves typed calls: the worker of the library's own, in which functions are called.
//! RUNS IN: child
//!
//! One call after the other: it reads a request, notes the number of the call in the page
//! that it shares with the caller, and has it [answered](mod@answer). Calls of `async fn`s may
//! run [beside](mod@beside) each other. It leaves when the caller closes the socket, after a
//! panic, and when the function has asked for it.

pub(crate) mod answer;
#[cfg(feature = "tokio")]
mod beside;
mod find;
mod outlet;
mod requests;
#[cfg(feature = "tokio")]
mod tasks;
#[cfg(feature = "tokio")]
mod writer;

use std::any::TypeId;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use crate::args::value::Arg;
use crate::child::calls::answer::{Served, refuse, serve_one};
use crate::child::calls::find::{Found, find};
use crate::child::calls::requests::{Requests, nonsense, terms};
use crate::entry::Entry;
use crate::entry::outcome::Outcome;
use crate::error::{Error, Result};
use crate::protocol::call::{Frame, Head, Kind, Payload, Terms, items};
use crate::registry::Function;
use crate::spec::name::{CALL_LOOP, CallLoop, ONE_CALL};
use crate::sys::fork_mark::ForkMark;
use crate::sys::shared_page::SharedNumber;
use crate::sys::signal;

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

/// Serves calls until the caller closes the socket.
fn serve(entry: &mut Entry) -> Result<Outcome> {
    // Last, behind what the process was given before it became a worker of a pool's.
    let (entered, mark) = prepare(entry.rest().last())?;
    let socket = entry.enter_with::<UnixStream>()?;
    let mut requests = Requests::new(socket);
    while let Some(frame) = requests.next()? {
        let (terms, has_items) = terms(&frame)?;
        #[cfg(feature = "tokio")]
        if beside::startable(&frame)?.is_some() {
            requests.put_back(frame);
            match tasks::serve(&mut requests, entered, mark)? {
                Served::Stays => continue,
                Served::Leaves => break,
            }
        }
        if terms.is_ahead && !is_wanted(&mut requests, frame.head.number, entered)? {
            continue;
        }
        let request = Request::of(&frame, terms, requests.socket(), mark)?;
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

/// Notes a call as entered, and looks whether it was cancelled before. A caller that looks into
/// the page after it has cancelled a call, and does not find it there, knows that it never runs.
fn is_wanted(requests: &mut Requests, number: u64, entered: SharedNumber) -> Result<bool> {
    entered.store(number);
    requests.look()?;
    let is_cancelled = requests.take_cancelled().contains(&number);
    let withdrawn = requests.take_withdrawn();
    for number in withdrawn.into_iter().chain(is_cancelled.then_some(number)) {
        answer::cancelled(number, requests.socket())?;
    }
    Ok(!is_cancelled)
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
        fds: fds.collect::<Vec<_>>().into(),
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
