//! Serves typed calls: the worker of the library's own, in which functions are called.
//! RUNS IN: child
//!
//! One call after the other: it reads a request, notes the number of the call in the page
//! that it shares with the caller, decodes, calls, and answers. It leaves when the caller
//! closes the socket, after a panic, and when the function has asked for it.

use std::any::{Any, TypeId};
use std::io;
use std::mem;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::args::value::Arg;
use crate::child::frame;
use crate::child::report;
use crate::entry::Entry;
use crate::entry::call::{CallEntry, Refusal, retires};
use crate::entry::outcome::Outcome;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::call::incoming::Incoming;
use crate::protocol::call::outgoing::Outgoing;
use crate::protocol::call::{Frame, Kind, MAX_LEN, Payload, Terms, encode_failure};
use crate::registry::{self, CallFunction, Function};
use crate::spec::name::{CALL_LOOP, CallLoop};
use crate::sys::fork;
use crate::sys::fork_mark::ForkMark;
use crate::sys::shared_page::SharedNumber;
use crate::sys::signal;
use crate::sys::socket::{self, Wait};
use crate::value::Decoder;

/// The worker in which calls run. It is in no list of the program's: only its identity
/// leads to it.
pub(crate) static WORKER: Function = Function {
    name: CALL_LOOP,
    identity: TypeId::of::<CallLoop>,
    enter: serve,
};

/// The answer to a call.
struct Answer {
    kind: Kind,
    payload: Payload,
}

/// Serves calls until the caller closes the socket.
fn serve(entry: &mut Entry) -> Result<Outcome> {
    // Last, behind what the process was given before it became a worker of a pool's.
    let entered = match entry.rest().last() {
        Some(Arg::Fd(page)) => SharedNumber::map(page.as_fd()),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    };
    let entered = entered.map_err(|error| Error::io("map the page of a worker's calls", error))?;
    let mark = ForkMark::new().map_err(|error| Error::io("mark a worker", error))?;
    signal::ignore_terminal().map_err(|error| Error::io("catch SIGINT and SIGQUIT", error))?;
    let socket = entry.enter_with::<UnixStream>()?;
    let mut incoming = Incoming::new(MAX_LEN);
    while let Some(frame) = receive(&socket, &mut incoming)? {
        let Kind::Call(terms) = frame.head.kind else {
            return Err(nonsense("a worker was sent an answer"));
        };
        let number = frame.head.number;
        entered.store(number);
        let answer = answer(frame, &terms)?;
        if mark.is_copy() {
            // A copy of this process, which the function has forked, has no call to answer.
            frame::flush();
            fork::exit_now(0);
        }
        let has_panicked = matches!(answer.kind, Kind::Panicked);
        let leaves = terms.is_last || retires() || (has_panicked && !terms.keep_after_panic);
        if leaves {
            // The caller may be looking for what the function has printed.
            frame::flush();
        }
        let frame = Outgoing::new(answer.kind, number, leaves, "", answer.payload);
        if !send(&socket, frame)? || leaves {
            break;
        }
    }
    Ok(Outcome::SUCCESS)
}

/// Calls the function that the request names.
fn answer(frame: Frame, terms: &Terms) -> Result<Answer> {
    let name = frame.name()?.to_owned();
    let refused = |text: String| Answer {
        kind: Kind::BadArgument,
        payload: Payload::of(text.into_bytes()),
    };
    if frame.has_lost_fds {
        let text = "descriptors were lost: the descriptor table of the worker is full";
        return Ok(refused(format!("the arguments of `{name}`: {text}")));
    }
    let function = match find(&name, terms.fingerprint) {
        Ok(function) => function,
        Err(text) => return Ok(refused(text)),
    };
    report::set_worker(function.name);
    let Payload { main, blobs, fds } = frame.payload;
    let decoder = Decoder::new(main, frame.head.name, blobs, fds);
    let mut entry = CallEntry::new(function.name, decoder);
    let returned = catch_unwind(AssertUnwindSafe(|| {
        frame::__anyfork_begin_short_backtrace(function.enter, &mut entry)
    }));
    Ok(match returned {
        Err(panic) => panicked(panic),
        Ok(Err(Refusal::BadArgument(text))) => refused(text),
        Ok(Err(Refusal::BadResult(text))) => Answer {
            kind: Kind::BadResult,
            payload: Payload::of(text.into_bytes()),
        },
        Ok(Ok(())) => {
            let result = entry.result;
            let payload = Payload {
                main: result.main,
                blobs: result.blobs,
                fds: result.fds,
            };
            match payload.len() {
                size if size > terms.max_result => Answer {
                    kind: Kind::TooLarge { size },
                    payload: Payload::default(),
                },
                _ => Answer {
                    kind: Kind::Returned,
                    payload,
                },
            }
        }
    })
}

fn panicked(panic: Box<dyn Any + Send>) -> Answer {
    let failure = report::unwound(&*panic);
    // Forget: the payload's destructor is user code and might panic, too.
    mem::forget(panic);
    Answer {
        kind: Kind::Panicked,
        payload: Payload::of(encode_failure(&failure)),
    }
}

/// Finds the function of that name and signature.
fn find(name: &str, fingerprint: u64) -> Result<&'static CallFunction, String> {
    let mut named = registry::calls().iter().filter(|it| it.name == name);
    let mut is_known = false;
    let found = named.find(|it| {
        is_known = true;
        it.fingerprint == fingerprint
    });
    found.ok_or_else(|| match is_known {
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

/// Sends an answer. `false`: nobody reads it.
fn send(socket: &UnixStream, mut frame: Outgoing) -> Result<bool> {
    while let Some((bytes, fds)) = frame.next() {
        let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        match socket::send_or_wait(socket.as_fd(), Wait::Yes, bytes, &fds) {
            Ok(len) => frame.sent(len),
            Err(error) if is_gone(&error) => return Ok(false),
            // The caller has not received the descriptors before these.
            Err(error) if error.raw_os_error() == Some(libc::ETOOMANYREFS) => {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            Err(error) => return Err(Error::io("send the result of a call", error)),
        }
    }
    Ok(true)
}

fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionReset)
}

fn nonsense(what: &str) -> Error {
    Error::new(ErrorKind::Protocol, what)
}
