//! The loop of a template: takes requests, forks, and collects the children.
//!
//! Nothing a request brings stays here: its descriptors are closed after the
//! fork, its body is read by the child. What the template keeps of a child is
//! in `reap`.
//!
//! What code of the program's has opened here, before the template serves, its
//! children have, too, as the children of any process do: a preload's log file
//! stays a log file. What the program was started with is closed before, unless
//! `#[anyfork::early(keep_fds)]` asks for it: a template holds open what is
//! nobody's business here otherwise, such as the pipe of a `make` that waits.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use super::child;
use super::reap::Children;
use crate::args::Args;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::request::{Head, Place, Then};
use crate::protocol::{self, answer};
use crate::sys::fork::{self, Side};
use crate::sys::{descriptor, message, poll};

/// The token of the control socket; the children's are above it.
const CONTROL: u64 = 0;

/// A template at work.
pub(super) struct Template {
    /// `None` before it serves, and once the last owner is gone.
    control: Option<OwnedFd>,
    events: poll::Set,
    children: Children,
    /// What was given to this process before it was forked from.
    args: Args,
    /// What the program's code has opened here, for all children to have.
    shared: Vec<RawFd>,
    buffer: Vec<u8>,
    limits: Limits,
}

/// A request as it has arrived. The child takes it apart.
pub(super) struct Request<'a> {
    pub(super) head: Head,
    /// The body, if it came with the message.
    pub(super) body: &'a [u8],
    pub(super) socket: UnixStream,
    pub(super) status: OwnedFd,
    pub(super) control: Option<OwnedFd>,
    pub(super) memory: Option<OwnedFd>,
    pub(super) attached: Vec<OwnedFd>,
}

/// What a child has from its template.
pub(super) struct Inherited<'a> {
    pub(super) args: Args,
    pub(super) shared: &'a [RawFd],
    pub(super) limits: &'a Limits,
}

impl Template {
    /// A template that is to serve `control` and gives its children `args` first.
    /// `own` are the other descriptors here that are the library's.
    pub(super) fn new(
        control: BorrowedFd<'_>,
        args: Args,
        own: &[BorrowedFd<'_>],
    ) -> Result<Template> {
        let failed = |error| Error::io("start a template", error);
        // Without `/proc` nobody knows what the program's code has opened.
        let mut shared = descriptor::open_above_standard().unwrap_or_default();
        shared.retain(|fd| {
            let is_own = own.iter().any(|it| it.as_raw_fd() == *fd);
            !is_own && control.as_raw_fd() != *fd
        });
        let events = poll::Set::new().map_err(failed)?;
        events.add(control, CONTROL).map_err(failed)?;
        let limits = Limits::raise(control).map_err(failed)?;
        Ok(Template {
            control: None,
            events,
            children: Children::new(CONTROL + 1),
            args,
            shared,
            buffer: vec![0; protocol::MAX_REQUEST + 1],
            limits,
        })
    }

    /// Serves until the last owner is gone and the last child is collected.
    pub(super) fn serve(mut self, control: OwnedFd) -> ! {
        self.control = Some(control);
        let mut room = poll::events::<64>();
        while self.control.is_some() || !self.children.is_empty() {
            let Ok(ready) = self.events.wait(&mut room) else {
                // Only a bug or exhausted kernel memory gets here.
                fork::leave(1)
            };
            for token in ready {
                match token {
                    CONTROL => self.receive(),
                    child => self.children.attend(child, &self.events),
                }
            }
        }
        fork::leave(0)
    }

    /// Takes one request, if there is one.
    fn receive(&mut self) {
        let Some(control) = &self.control else { return };
        let mut fds = Vec::new();
        let received = match message::receive(control.as_fd(), &mut self.buffer, &mut fds) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            // ECONNRESET: the owner went without having read all.
            Err(_) => return self.retire(),
        };
        if received.len == 0 && fds.is_empty() {
            return self.retire();
        }
        let message = match received.cut {
            true => &[],
            false => &self.buffer[..received.len],
        };
        let (head, body) = match Head::parse(message) {
            Ok(parsed) => parsed,
            Err(malformed) => return refuse_unparsed(fds, malformed.into()),
        };
        if fds.len() != head.carried() || received.descriptors_cut {
            return refuse_unparsed(fds, self.limits.full());
        }
        let mut fds = fds.into_iter();
        let mut next = || fds.next().expect("their number was checked");
        let request = Request {
            head,
            body,
            socket: next().into(),
            status: next(),
            control: (head.then == Then::Template).then(&mut next),
            memory: (head.place == Place::InMemoryFile).then(&mut next),
            attached: fds.collect(),
        };
        if self.limits.are_near(self.children.len()) {
            return answer_failure(&request.socket, &self.limits.full());
        }
        match fork::fork() {
            Ok(Side::Child) => {
                let inherited = Inherited {
                    args: std::mem::take(&mut self.args),
                    shared: &self.shared,
                    limits: &self.limits,
                };
                child::run(request, inherited)
            }
            Ok(Side::Parent(pid)) => {
                let kill_on_drop = request.head.kill_on_drop;
                self.children
                    .add(pid, request.status, kill_on_drop, &self.events);
            }
            Err(error) => {
                let error = Error::os(ErrorKind::ForkFailed, "the template could not fork", error);
                answer_failure(&request.socket, &error);
            }
        }
    }

    /// The last owner is gone: no more requests.
    fn retire(&mut self) {
        if let Some(control) = self.control.take() {
            let _ = self.events.remove(&control);
        }
    }
}

/// Answers a request that cannot be served, if its socket has arrived.
fn refuse_unparsed(fds: Vec<OwnedFd>, error: Error) {
    if let Some(socket) = fds.into_iter().next() {
        answer_failure(&socket.into(), &error);
    }
}

/// Says why not, to a caller that may be gone.
pub(super) fn answer_failure(socket: &UnixStream, error: &Error) {
    tell(socket, &answer::failed(error));
}

/// Answers a caller that may be gone.
pub(super) fn tell(socket: &UnixStream, octets: &[u8]) {
    let _ = message::send(socket.as_fd(), octets, &[]);
}

/// How many descriptors the template may have, and what its children get back.
pub(super) struct Limits {
    original: (u64, u64),
    raised: bool,
    /// Descriptors that are there without any child.
    own: u64,
}

impl Limits {
    /// Raises the template's own limit as far as it goes: it keeps two
    /// descriptors a child, and a request may bring 253.
    fn raise(control: BorrowedFd<'_>) -> io::Result<Limits> {
        let original = descriptor::descriptor_limit()?;
        let (_, hard) = original;
        // A kernel or sandbox that refuses leaves the limit as it was.
        let raised =
            original != (hard, hard) && descriptor::set_descriptor_limit((hard, hard)).is_ok();
        Ok(Limits {
            original,
            raised,
            own: descriptor::open_descriptors(control)?,
        })
    }

    /// Gives the child what the program had.
    pub(super) fn restore(&self) -> io::Result<()> {
        match self.raised {
            true => descriptor::set_descriptor_limit(self.original),
            false => Ok(()),
        }
    }

    /// Whether the next request could come without its socket, so that nobody
    /// could be told. Checked while there is still room to tell.
    fn are_near(&self, children: usize) -> bool {
        /// Two for the child at hand, two for the next request, one to spare.
        const RESERVE: u64 = 5;
        let limit = descriptor::descriptor_limit().map_or(u64::MAX, |(soft, _)| soft);
        self.own + 2 * children as u64 + RESERVE > limit
    }

    fn full(&self) -> Error {
        let error = io::Error::from_raw_os_error(libc::EMFILE);
        Error::io(
            "the template has no room for the descriptors of a request",
            error,
        )
    }
}
