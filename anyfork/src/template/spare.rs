//! A spare: a child that is forked before it is needed, and waits for a request
//! on its template's own socket. The kernel gives each request to one of them,
//! with the template out of the way.
//!
//! A spare has done all that a child does before it knows what it is to become:
//! it has closed what belongs to the template and to others, and has paid for
//! most of the memory that it will write to. It runs no code of the program's.
//! When it has taken a request, it tells the template, which takes over the
//! status pipe and forks the next.

use std::hint::black_box;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::child::{self, Inherited};
use super::request::{Arrival, Request};
use super::title;
use crate::early;
use crate::protocol::keep::{self, Keep, Notice};
use crate::sys::message::{self, Wait};
use crate::sys::{descriptor, fork, signal};

/// What a spare has from its template.
pub(super) struct Place<'a> {
    pub(super) control: OwnedFd,
    /// Where it tells the template.
    pub(super) notices: OwnedFd,
    /// The template's pid.
    pub(super) template: u32,
    pub(super) buffer: &'a mut [u8],
    pub(super) inherited: Inherited<'a>,
}

/// Lives as a spare, and then as what is asked for.
pub(super) fn live(place: Place<'_>) -> ! {
    let Place {
        control,
        notices,
        template,
        buffer,
        inherited,
    } = place;
    early::be_a_child();
    let own = [control.as_raw_fd(), notices.as_raw_fd()];
    let settled = child::isolate(own, &inherited)
        .and_then(|()| fork::die_with_parent(template).map_err(Into::into));
    if settled.is_err() {
        fork::leave(1);
    }
    title::spare();
    rehearse(buffer);
    loop {
        let arrival = Request::receive(control.as_fd(), Wait::Yes, buffer, inherited.limits);
        match arrival {
            Arrival::Nothing => {}
            Arrival::Refused => buffer.fill(0),
            Arrival::Closed | Arrival::Keep(Keep::Fewer, _) => fork::leave(0),
            Arrival::Keep(Keep::Spares(wanted), owner) => {
                let owner = owner.as_ref().map(AsFd::as_fd);
                let _ = tell(&notices, Notice::Spares(wanted), owner);
            }
            Arrival::Request(request) => {
                // Before anybody can learn of this process: a worker's whole life
                // may be shorter than the way of this notice.
                let taken = Notice::Taken {
                    pid: std::process::id(),
                    kill_on_drop: request.head.kill_on_drop,
                };
                let told = tell(&notices, taken, Some(request.status.as_fd()));
                drop((control, notices));
                if told.is_err() {
                    // The template is gone, and nobody would collect this process
                    // or its status.
                    fork::leave(1);
                }
                fork::outlive_parent();
                signal::forget_pending();
                child::run(request, inherited)
            }
        }
    }
}

/// Tells the template. Waits while it has much to read.
fn tell(notices: &OwnedFd, notice: Notice, fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let octets = keep::notice(notice);
    message::send_or_wait(notices.as_fd(), Wait::Yes, &octets, fd.as_slice()).map(drop)
}

/// Writes where a request will be written, so that the pages are this process's
/// own by then.
fn rehearse(buffer: &mut [u8]) {
    const PAGE: usize = 4096;
    if let Some(octet) = buffer.first_mut() {
        *octet = black_box(0);
    }
    // The stack, as deep as a request goes.
    let mut stack = [0u8; 2 * PAGE];
    black_box(&mut stack);
    // And the heap, where an allocation of any small size comes from.
    for size in [32, 128, 512, 2048] {
        black_box(vec![1u8; size]);
    }
}

/// What spares and their template talk over: the template's end, and the spares'.
pub(super) fn channel() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reads, writes) = descriptor::message_pair()?;
    descriptor::set_blocking(writes.as_fd())?;
    Ok((reads, writes))
}
