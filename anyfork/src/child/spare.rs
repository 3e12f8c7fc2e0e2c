//! A spare: a child that is forked before it is needed, and waits for a request
//! on its template's own socket. The kernel gives each request to one of them,
//! with the template out of the way.
//!
//! A spare has done all that a child does before it knows what it is to become:
//! it has closed what belongs to the template and to others, and has paid for
//! most of the memory that it will write to. It runs no code of the program's.
//! When it has taken a request, it leaves a notice for the template, which takes
//! over the status pipe and forks the next. The notice lies there before anybody
//! can know of the process, but it wakes the template only when the process is
//! ready, or something comes that might take long: until then the caller is to
//! have the processors. A process that ends before that wakes it by its end.

use std::hint::black_box;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crate::child::request::{Arrival, Request};
use crate::child::role::{self, Inherited, Next};
use crate::child::{reply, title};
use crate::early;
use crate::protocol::control::ControlMessage;
use crate::protocol::notice::SpareNotice;
use crate::sys::eventfd::EventFd;
use crate::sys::socket::Wait;
use crate::sys::{fd, fork, signal, socket};

/// What a spare inherits from its template.
pub(crate) struct SpareContext<'a> {
    pub(crate) control: OwnedFd,
    pub(crate) channel: Channel,
    /// The template's pid.
    pub(crate) template: u32,
    pub(crate) buffer: &'a mut [u8],
    pub(crate) inherited: Inherited<'a>,
}

/// Waits for a request, and takes on the role that it gives. Exits when the last
/// owner of the template is gone, or the template has too many spares.
pub(crate) fn wait_for_role(context: SpareContext<'_>) -> Next {
    let SpareContext {
        control,
        channel,
        template,
        buffer,
        inherited,
    } = context;
    early::mark_forked();
    let Channel {
        reads,
        notices,
        bell,
    } = channel;
    // Forget: the number is closed below, with all that is the template's.
    mem::forget(reads);
    let own = [control.as_raw_fd(), notices.as_raw_fd(), bell.as_raw_fd()];
    let settled = role::isolate(&role::kept(own, &inherited))
        .and_then(|()| fork::die_with_parent(template).map_err(Into::into));
    if settled.is_err() {
        fork::exit_now(1);
    }
    title::spare();
    rehearse(buffer);
    loop {
        let arrival = Request::receive(control.as_fd(), Wait::Yes, buffer, inherited.limits);
        match arrival {
            Arrival::Nothing => {}
            Arrival::Refused => buffer.fill(0),
            Arrival::Closed | Arrival::Control(ControlMessage::ExitSpare, _) => fork::exit_now(0),
            Arrival::Control(ControlMessage::SetSpares(wanted), owner) => {
                let owner = owner.as_ref().map(AsFd::as_fd);
                let _ = tell(&notices, &bell, SpareNotice::SetSpares(wanted), owner);
                bell.signal();
            }
            Arrival::Request(request) => {
                // Before anybody can learn of this process: a worker's whole life
                // may be shorter than the way of this notice.
                let taken = SpareNotice::Taken {
                    pid: std::process::id(),
                    kill_on_drop: request.head.kill_on_drop,
                };
                let told = tell(&notices, &bell, taken, Some(request.status.as_fd()));
                drop((control, notices));
                reply::wake_later(bell);
                if told.is_err() {
                    // The template is gone, and nobody would collect this process
                    // or its status.
                    fork::exit_now(1);
                }
                fork::outlive_parent();
                signal::discard_pending();
                return role::take_on(request, inherited);
            }
        }
    }
}

/// Leaves a notice for the template, which does not wake it. Waits if it has to
/// read others before.
fn tell(
    notices: &OwnedFd,
    bell: &EventFd,
    notice: SpareNotice,
    fd: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let bytes = notice.encode();
    let send = |wait| socket::send_or_wait(notices.as_fd(), wait, &bytes, fd.as_slice()).map(drop);
    match send(Wait::No) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            bell.signal();
            send(Wait::Yes)
        }
        sent => sent,
    }
}

/// Writes where a request will be written, so that the pages are this process's
/// own by then.
fn rehearse(buffer: &mut [u8]) {
    const PAGE: usize = 4096;
    if let Some(byte) = buffer.first_mut() {
        *byte = black_box(0);
    }
    // The stack, as deep as a request goes.
    let mut stack = [0u8; 2 * PAGE];
    black_box(&mut stack);
    // And the heap, where an allocation of any small size comes from.
    for size in [32, 128, 512, 2048] {
        black_box(vec![1u8; size]);
    }
}

/// What spares and their template talk over. The template has all of it, a spare
/// the last two.
pub(crate) struct Channel {
    /// Where the template reads the notices.
    pub(crate) reads: OwnedFd,
    /// Where a spare leaves them.
    notices: OwnedFd,
    /// Tells the template that there are any.
    pub(crate) bell: EventFd,
}

impl Channel {
    /// How many it takes.
    pub(crate) const DESCRIPTORS: u64 = 3;

    pub(crate) fn new() -> io::Result<Channel> {
        let (reads, notices) = socket::message_pair()?;
        fd::set_blocking(notices.as_fd())?;
        let bell = EventFd::new()?;
        Ok(Channel {
            reads,
            notices,
            bell,
        })
    }
}
