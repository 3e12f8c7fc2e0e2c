//! [`Flight`]: the way of a request, from the first octet to `Ready`, as steps
//! that never wait. Blocking and async code differ only in how they wait
//! between two steps.
//!
//! The descriptors tell who died. End-of-file on the answer socket before an
//! answer means that the child is gone, or that none came to be. Then the status
//! pipe has the record of the child's end, written by its template, or is at
//! its end too, and the template is gone. Where somebody else holds these open,
//! the pidfds tell: see `orphan`.

pub(crate) mod cancel;
pub(crate) mod reply;
pub(crate) mod send;
pub(crate) mod template_lost;

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::caller::child::handle::Running;
use crate::caller::child::status::{Look, StatusPipe};
use crate::caller::spawn::send::{Descriptors, Request};
use crate::caller::spawn::template_lost::Child;
use crate::caller::templates::handle::Origin;
use crate::caller::trace::Trace;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::body::Body;
use crate::protocol::request::{Head, Place, Then};
use crate::sys::poll::Interest;
use crate::sys::{fd, memfd, poll};

/// A request under way.
pub(crate) struct Flight {
    origin: Arc<Origin>,
    /// What is being started, for messages.
    what: String,
    then: Then,
    /// A program's pid and pidfd, which come before it is executed.
    announced: Option<(u32, Vec<OwnedFd>)>,
    kill_on_drop: bool,
    /// When it has to be ready.
    deadline: Option<Instant>,
    trace: Trace,
    status: Option<StatusPipe>,
    /// Keeps a place in the descriptor table for a pidfd: if that which comes with
    /// the answer finds no room, another can be opened. Any descriptor would do;
    /// this one is at hand, and was sent already: the write end of the status pipe,
    /// by which the child is found if its template ends.
    place: Option<OwnedFd>,
    stage: Stage,
    /// The answer was waited for once.
    has_waited: bool,
    /// The template has ended: since when that is known.
    orphaned: Option<Instant>,
    child: Child,
}

enum Stage {
    /// Queues on the answer socket the descriptors that do not fit into the
    /// request; then the request follows them.
    Queueing(Descriptors, Request),
    /// Waits for room on the control socket.
    Sending(Request, Descriptors),
    /// The queue is full until the child takes something from it.
    Following(Descriptors),
    /// Waits for the answer's first octets.
    Answer,
    /// Waits for the rest of a failure.
    Failure {
        kind: u16,
        text: Vec<u8>,
        filled: usize,
    },
    /// The child is gone without an answer; waits for the record of its end.
    Autopsy,
}

/// What is to be started.
pub(crate) struct Order {
    pub(crate) then: Then,
    pub(crate) body: Body,
    /// What a template is to serve.
    pub(crate) control: Option<OwnedFd>,
    pub(crate) kill_on_drop: bool,
    pub(crate) deadline: Option<Instant>,
}

impl Order {
    /// What is to be started, for messages.
    pub(crate) fn what(&self) -> String {
        match (self.then, &self.body.program) {
            (Then::Template, _) => "a template".to_owned(),
            (_, Some(program)) => program.path.display().to_string(),
            (_, None) => self.body.name.clone(),
        }
    }
}

/// What a step came to.
pub(crate) enum Step {
    /// Take the next one when the [`Flight::source`] of this is ready.
    Wait(Wait),
    /// The process is about to do what it was made for.
    Ready(Running),
}

/// What a flight waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Room on the template's control socket.
    Control,
    /// The answer socket.
    Answer(Interest),
    /// The end of the answer socket, or of the child: a program is executed.
    Executed,
    /// The status pipe.
    Status,
    /// A moment: nothing tells when the descriptors that this user has under way
    /// are fewer again (`ETOOMANYREFS`, unix(7)).
    Later,
}

/// What [`Wait::Later`] means.
pub(crate) const MOMENT: Duration = Duration::from_millis(1);

impl Flight {
    /// Makes the descriptors and the message, and sends it if there is room.
    /// Gives the caller's end of the answer socket, too.
    pub(crate) fn start(
        origin: &Arc<Origin>,
        order: Order,
        trace: Trace,
    ) -> Result<(UnixStream, Flight)> {
        if origin.ended_as_known().is_some() {
            return Err(origin.why_gone());
        }
        let what = order.what();
        let Order {
            then,
            body,
            control,
            kill_on_drop,
            deadline,
        } = order;
        let failed = |step| {
            let message = format!("start `{what}`: {step}");
            move |error: io::Error| Error::io(message, error)
        };
        let (body, mut passed) = body.encode();
        let head = Head {
            kill_on_drop,
            ..Head::new(then, &body, passed.len())
        };

        let (mine, theirs) = fd::stream_pair().map_err(failed("socketpair"))?;
        let (status, reported) = fd::status_pipe().map_err(failed("pipe"))?;
        let mut fds = vec![theirs.into(), reported];
        fds.extend(control);
        if head.place == Place::InMemoryFile {
            fds.push(memfd::store(&body).map_err(failed("store the arguments"))?);
        }
        let mut following = passed.split_off(head.attached as usize);
        following.reverse();
        fds.extend(passed);

        let message = head.encode(&body);
        let mut flight = Flight {
            origin: Arc::clone(origin),
            what,
            then,
            announced: None,
            kill_on_drop,
            deadline,
            trace,
            status: Some(StatusPipe::new(status)),
            place: None,
            stage: Stage::Queueing(following, Request { message, fds }),
            has_waited: false,
            orphaned: None,
            child: Child::Unknown,
        };
        flight.send(mine.as_fd())?;
        Ok((mine, flight))
    }

    /// Goes on as far as possible.
    pub(crate) fn step(&mut self, socket: BorrowedFd<'_>) -> Result<Step> {
        let has_waited = self.has_waited;
        match self.advance(socket)? {
            Step::Wait(wait) if has_waited => self.look_after(wait, socket),
            step => Ok(step),
        }
    }

    /// Goes on as far as possible, whoever may have ended.
    fn advance(&mut self, socket: BorrowedFd<'_>) -> Result<Step> {
        let has_waited = mem::replace(&mut self.has_waited, true);
        if let Some(wait) = self.send(socket)? {
            return Ok(Step::Wait(wait));
        }
        // Right after the request there is no answer: not worth a look.
        match self.then {
            Then::Program if !has_waited || !self.is_over(socket)? => {
                Ok(Step::Wait(Wait::Executed))
            }
            Then::Worker if !has_waited => Ok(Step::Wait(Wait::Answer(Interest::Readable))),
            _ => self.receive(socket),
        }
    }

    /// The descriptor behind what the flight waits for.
    pub(crate) fn source<'a>(
        &'a self,
        wait: Wait,
        socket: BorrowedFd<'a>,
    ) -> (BorrowedFd<'a>, Interest) {
        match (wait, &self.status) {
            (Wait::Control, _) => (self.origin.control(), Interest::Writable),
            (Wait::Status, Some(status)) => (status.as_fd(), Interest::Readable),
            (Wait::Status, None) => (socket, Interest::Readable),
            (Wait::Answer(interest), _) => (socket, interest),
            (Wait::Executed, _) => (socket, Interest::HungUp),
            (Wait::Later, _) => (socket, Interest::Writable),
        }
    }

    /// Waits, in code that may block.
    pub(crate) fn wait_blocking(&self, wait: Wait, socket: BorrowedFd<'_>) -> Result<()> {
        let (fd, interest) = self.source(wait, socket);
        let came = if wait == Wait::Later {
            thread::sleep(MOMENT);
            Ok(self
                .deadline
                .is_none_or(|deadline| Instant::now() < deadline))
        } else {
            let end = self.end();
            let mut fds = vec![(fd, interest)];
            if let (Wait::Answer(Interest::Readable) | Wait::Executed, Some(status)) =
                (wait, &self.status)
            {
                fds.push((status.as_fd(), Interest::Readable));
            }
            fds.extend(end.as_ref().map(|end| (end.as_fd(), Interest::Readable)));
            poll::wait_any(&fds, self.deadline)
        };
        match came {
            Ok(true) => Ok(()),
            Ok(false) => Err(too_late(self.what())),
            Err(error) => Err(Error::io(format!("wait for `{}`", self.what), error)),
        }
    }

    /// What is being started.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// When it has to be ready.
    #[cfg(feature = "tokio")]
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Where the record of the child's end will come.
    #[cfg(feature = "tokio")]
    pub(crate) fn status(&self) -> Option<BorrowedFd<'_>> {
        self.status.as_ref().map(AsFd::as_fd)
    }

    /// Whether there is nothing to come any more on the answer socket.
    fn is_over(&self, socket: BorrowedFd<'_>) -> Result<bool> {
        Ok(poll::is_hung_up(socket) || self.has_ended()?)
    }

    /// A descriptor that is readable when a program is executed, or `end` is.
    #[cfg(feature = "tokio")]
    pub(crate) fn executed(
        &self,
        socket: BorrowedFd<'_>,
        end: Option<BorrowedFd<'_>>,
    ) -> io::Result<OwnedFd> {
        let set = poll::Set::new()?;
        set.add_hung_up(socket, 0)?;
        if let Some(status) = &self.status {
            set.add(status, 0)?;
        }
        if let Some(end) = end {
            set.add(end, 0)?;
        }
        Ok(set.into())
    }

    fn has_ended(&self) -> Result<bool> {
        match &self.status {
            Some(status) => Ok(!matches!(status.look()?, Look::Nothing)),
            None => Ok(false),
        }
    }
}

/// The error for what was not ready at its deadline.
pub(crate) fn too_late(what: &str) -> Error {
    let message =
        format!("`{what}` was not ready in the time that `timeout` allows, and was killed");
    Error::new(ErrorKind::TimedOut, message)
}
