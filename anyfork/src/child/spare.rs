//! A spare: a child that is forked in advance and waits for a request.
//! RUNS IN: spare, child
//!
//! A spare waits on its template's control socket. The kernel gives each request to one
//! receiver, so that a spare takes it without the template.
//!
//! A spare has done all that a child can do before it knows its role: it has closed the
//! descriptors of the template and of other children, and has played a request to itself
//! ([`rehearsal`]). It runs no user code.
//!
//! When a spare has taken a request, it sends a notice to the template, which takes over the
//! status pipe and forks the next spare. The notice is sent before anybody can know of the
//! process, but the template is woken only when the process is ready, or before anything that
//! might take long: until then the caller is to have the processors. A process that exits
//! before that wakes the template by its exit.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crate::child::rehearsal;
use crate::child::request::{Arrival, Request};
use crate::child::role::{self, Inherited, Next};
use crate::child::{reply, title};
use crate::early;
use crate::protocol::control::ControlMessage;
use crate::protocol::notice::SpareNotice;
use crate::sys::eventfd::EventFd;
use crate::sys::poll::Interest;
use crate::sys::socket::Wait;
use crate::sys::threads::OneThread;
use crate::sys::{deliver, fork, poll, signal, socket};

/// What a spare inherits from its template.
pub(crate) struct SpareContext<'a> {
    pub(crate) control: OwnedFd,
    pub(crate) notifier: Notifier,
    /// The template's pid.
    pub(crate) template: u32,
    pub(crate) buffer: &'a mut [u8],
    pub(crate) inherited: Inherited<'a>,
}

/// Waits for a request, and takes on the role that it gives. Exits when the last
/// owner of the template is gone, or the template has too many spares.
pub(crate) fn wait_for_role(one_thread: OneThread, context: SpareContext<'_>) -> Next {
    let SpareContext {
        control,
        notifier,
        template,
        buffer,
        inherited,
    } = context;
    early::mark_forked();
    let Notifier { socket, wake } = &notifier;
    let own = [control.as_raw_fd(), socket.as_raw_fd(), wake.as_raw_fd()];
    let settled = role::isolate(one_thread, &role::keep_open(own, &inherited))
        .and_then(|()| fork::die_with_parent(template).map_err(Into::into));
    if settled.is_err() {
        fork::exit_now(1);
    }
    title::spare(one_thread);
    rehearsal::play(buffer, &inherited);
    loop {
        let arrival = Request::receive(
            control.as_fd(),
            Wait::Yes,
            buffer,
            inherited.limits,
            inherited.trust,
        );
        match arrival {
            // The socket does not block any more: somebody has changed its flags, which
            // all processes share that have it open.
            Arrival::Nothing => {
                let _ = poll::wait(control.as_fd(), Interest::Readable, None);
            }
            Arrival::Refused => buffer.fill(0),
            // The limit that it was forked under is the limit that it keeps: the next
            // spare may have a higher one.
            Arrival::NoRoom => fork::exit_now(1),
            Arrival::Closed | Arrival::Control(ControlMessage::ExitSpare, _) => fork::exit_now(0),
            Arrival::Control(ControlMessage::SetSpares(wanted), owner) => {
                let owner = owner.as_ref().map(AsFd::as_fd);
                let _ = notifier.send(SpareNotice::SetSpares(wanted), owner);
                notifier.wake.signal();
            }
            Arrival::Request(mut request) => {
                // Sent before anybody can learn of this process: a worker may run and
                // exit before the template reads the notice.
                let taken = SpareNotice::Taken {
                    pid: std::process::id(),
                    kill_on_drop: request.head.kill_on_drop,
                };
                let sent = notifier.send(taken, Some(request.status.as_fd()));
                drop((control, notifier.socket));
                reply::wake_later(notifier.wake);
                if sent.is_err() {
                    // The template is gone, and nobody would reap this process or
                    // report its exit.
                    fork::exit_now(1);
                }
                fork::outlive_parent();
                signal::discard_pending();
                if let Err(error) = mem::take(&mut request.surroundings).enter() {
                    return Next::Exit(reply::refuse(&request.socket, &error));
                }
                return role::take_on(one_thread, request, inherited);
            }
        }
    }
}

/// Number of pauses for which a notice waits until the kernel takes its descriptor.
/// Without it, the caller learns of the exit from the kernel.
const MAX_PAUSES: u32 = 100;

/// What a spare notifies its template by.
pub(crate) struct Notifier {
    /// The socket to the template.
    pub(crate) socket: OwnedFd,
    /// Wakes the template, which does not watch the other end of the socket.
    pub(crate) wake: EventFd,
}

impl Notifier {
    /// Sends a notice without waking the template. Wakes it, and waits, if it has to
    /// read earlier notices first.
    fn send(&self, notice: SpareNotice, fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let (socket, bytes) = (self.socket.as_fd(), notice.encode());
        if socket::send(socket, &bytes, fd.as_slice()).is_ok() {
            return Ok(());
        }
        self.wake.signal();
        deliver::send_with_or_without(socket, &bytes, fd, &mut { MAX_PAUSES })
    }
}
