//! Answers one typed call: decodes, calls the function, and sends what came of it.
//! RUNS IN: child
//!
//! [`calls`](crate::child::calls) has received the request and found the function. A plugin
//! answers with its own copy of this.

use std::any::Any;
use std::cell::Cell;
use std::io;
use std::mem::{self, ManuallyDrop};
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use crate::child::calls::outlet::SocketOutlet;
use crate::child::frame;
use crate::child::report;
use crate::entry::call::{CallEntry, Refusal, retires};
use crate::entry::sender::Outlet;
use crate::error::{Error, Result};
use crate::protocol::call::outgoing::Outgoing;
use crate::protocol::call::{Kind, Payload, Terms, encode_failure};
use crate::registry::CallFunction;
use crate::sys::fork;
use crate::sys::fork_mark::ForkMark;
use crate::sys::socket::{self, Wait};
use crate::value::{Decoder, Encoder};

thread_local! {
    /// Memory of the answer before, for the next one. The process has it until its exit: for
    /// the registration of a destructor it would pay with a dozen page faults.
    static ROOM: Cell<ManuallyDrop<Vec<u8>>> = const { Cell::new(ManuallyDrop::new(Vec::new())) };
}

/// What the worker does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Served {
    /// It takes the next call.
    Stays,
    Leaves,
}

/// The answer to a call.
pub(super) struct Answer {
    kind: Kind,
    payload: Payload,
}

impl Answer {
    /// The answer as a frame. `leaves`: the worker takes no more calls.
    #[cfg(feature = "tokio")]
    pub(super) fn into_frame(self, number: u64, leaves: bool) -> Outgoing {
        Outgoing::new(self.kind, number, leaves, "", self.payload)
    }

    /// Whether the worker takes no more calls after this.
    pub(super) fn leaves(&self, terms: &Terms) -> bool {
        let has_panicked = matches!(self.kind, Kind::Panicked);
        // Whoever makes what cannot be encoded may make worse.
        let is_suspect = matches!(self.kind, Kind::BadResult);
        terms.is_last || retires() || is_suspect || (has_panicked && !terms.keep_after_panic)
    }
}

/// Calls the function, and answers. The arguments begin behind `skip` bytes of the payload.
pub(crate) fn serve_one(
    function: &'static CallFunction,
    payload: Payload,
    skip: usize,
    number: u64,
    terms: &Terms,
    socket: BorrowedFd<'_>,
    mark: ForkMark,
) -> Result<Served> {
    let make_outlet = || -> Result<Arc<dyn Outlet>> {
        let outlet = SocketOutlet::new(socket, mark, number, terms.max_result)?;
        Ok(Arc::new(outlet))
    };
    report::set_worker(function.name);
    let Payload { main, blobs, fds } = payload;
    let decoder = Decoder::new(main, skip, blobs, fds);
    let mut entry = CallEntry::new(function.name, decoder, &make_outlet);
    let returned = catch_unwind(AssertUnwindSafe(|| {
        frame::__anyfork_begin_short_backtrace(function.enter, &mut entry)
    }));
    if mark.is_copy() {
        // A copy of this process, which the function has forked, has no call to answer.
        frame::flush_at_exit();
        fork::exit_now(0);
    }
    // All events come before the result.
    if let Some(outlet) = entry.outlet.take() {
        outlet.close();
    }
    let answer = answer_of(returned, entry.result, terms);
    send(answer, number, terms, socket)
}

/// Answers that a call was not begun.
pub(super) fn cancelled(number: u64, socket: BorrowedFd<'_>) -> Result<()> {
    let mut frame = Outgoing::new(Kind::Cancelled, number, false, "", Payload::default());
    send_frame(socket, &mut frame).map(drop)
}

/// Answers that the function is not called.
pub(crate) fn refuse(
    text: String,
    number: u64,
    terms: &Terms,
    socket: BorrowedFd<'_>,
) -> Result<Served> {
    send(refused(text), number, terms, socket)
}

pub(super) fn answer_of(
    returned: thread::Result<Result<(), Refusal>>,
    result: Encoder,
    terms: &Terms,
) -> Answer {
    match returned {
        Err(panic) => panicked(panic),
        Ok(Err(Refusal::BadArgument(text))) => refused(text),
        Ok(Err(Refusal::BadResult(text))) => Answer {
            kind: Kind::BadResult,
            payload: Payload::of(text.into_bytes()),
        },
        Ok(Ok(())) => {
            let payload = Payload {
                main: result.main,
                blobs: result.blobs,
                fds: result.fds.into(),
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
    }
}

pub(super) fn refused(text: String) -> Answer {
    Answer {
        kind: Kind::BadArgument,
        payload: Payload::of(text.into_bytes()),
    }
}

pub(super) fn panicked(panic: Box<dyn Any + Send>) -> Answer {
    let failure = report::unwound(&*panic);
    // Forget: the payload's destructor is user code and might panic, too.
    mem::forget(panic);
    Answer {
        kind: Kind::Panicked,
        payload: Payload::of(encode_failure(&failure)),
    }
}

fn send(answer: Answer, number: u64, terms: &Terms, socket: BorrowedFd<'_>) -> Result<Served> {
    let leaves = answer.leaves(terms);
    let Answer { kind, payload } = answer;
    if leaves {
        // The caller may be looking for what the function has printed.
        frame::flush_at_exit();
    }
    let room = ManuallyDrop::into_inner(ROOM.take());
    let mut frame = Outgoing::in_room(room, kind, number, leaves, "", payload);
    let is_read = send_frame(socket, &mut frame)?;
    ROOM.set(ManuallyDrop::new(frame.take_room()));
    Ok(match leaves || !is_read {
        true => Served::Leaves,
        false => Served::Stays,
    })
}

/// Sends an answer. `false`: nobody reads it.
fn send_frame(socket: BorrowedFd<'_>, frame: &mut Outgoing) -> Result<bool> {
    while let Some((bytes, fds)) = frame.next() {
        let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        match socket::send_or_wait(socket, Wait::Yes, bytes, &fds) {
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

/// Whether the caller has closed the socket.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionReset)
}
