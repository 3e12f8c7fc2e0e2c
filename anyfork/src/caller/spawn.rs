//! [`Spawn`]: the way of a request, from the first byte to `Ready`, as steps
//! that never wait. Blocking and async code differ only in how they wait
//! between two steps.
//!
//! The descriptors tell who died. End-of-file on the answer socket before an
//! answer means that the child is gone, or that none came to be. Role the status
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

use crate::caller::child::handle::ExitWatch;
use crate::caller::child::status::{Look, StatusPipe};
use crate::caller::spawn::send::{Descriptors, Request};
use crate::caller::spawn::template_lost::Child;
use crate::caller::templates;
use crate::caller::templates::handle::TemplateHandle;
use crate::caller::trace::Trace;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::body::Body;
use crate::protocol::request::{BodyAt, Head, Role, Surroundings};
#[cfg(feature = "tokio")]
use crate::sys::epoll::Epoll;
use crate::sys::poll::Interest;
use crate::sys::{fd, memfd, poll, socket};

/// A request under way.
pub(crate) struct Spawn {
    template: Arc<TemplateHandle>,
    /// What is being started, for messages.
    what: String,
    role: Role,
    /// A program's pid and pidfd, which come before it is executed.
    announced: Option<(u32, Vec<OwnedFd>)>,
    kill_on_drop: bool,
    /// The names of the init functions that the child runs.
    inits: String,
    /// When it has to be ready.
    deadline: Option<Instant>,
    trace: Trace,
    status: Option<StatusPipe>,
    /// Keeps a place in the descriptor table for a pidfd: if that which comes with
    /// the answer finds no room, another can be opened. Any descriptor would do;
    /// this one is at hand, and was sent already: the write end of the status pipe,
    /// by which the child is found if its template ends.
    place: Option<OwnedFd>,
    state: State,
    /// The answer was waited for once.
    has_waited: bool,
    /// The template has ended: since when that is known.
    lost_since: Option<Instant>,
    child: Child,
}

enum State {
    /// Queues on the answer socket the descriptors that do not fit into the
    /// request; then the request follows them.
    Queueing(Descriptors, Request),
    /// Waits for room on the control socket.
    Sending(Request, Descriptors),
    /// The queue is full until the child takes something from it.
    Following(Descriptors),
    /// Waits for the answer's first bytes.
    Answer,
    /// Waits for the rest of a failure.
    Failure {
        kind: u16,
        text: Vec<u8>,
        filled: usize,
    },
    /// The child is gone without an answer; waits for the record of its end.
    AwaitExit,
}

/// What is to be started.
pub(crate) struct SpawnSpec {
    pub(crate) role: Role,
    pub(crate) body: Body,
    /// What a template is to serve.
    pub(crate) control: Option<OwnedFd>,
    pub(crate) kill_on_drop: bool,
    /// What of the caller's standard streams and directory is sent.
    pub(crate) surroundings: Surroundings,
    /// The capabilities that a program can have at most, if somebody has looked.
    pub(crate) bounding_set: Option<u64>,
    pub(crate) deadline: Option<Instant>,
}

impl SpawnSpec {
    /// What is to be started, for messages.
    pub(crate) fn what(&self) -> String {
        match (self.role, &self.body.program) {
            (Role::Template, _) => "a template".to_owned(),
            (_, Some(program)) => program.path.display().to_string(),
            (_, None) => self.body.name.to_string(),
        }
    }
}

/// What a step came to.
pub(crate) enum Progress {
    /// Take the next one when the [`Spawn::source`] of this is ready.
    WaitFor(WaitFor),
    /// The process is about to do what it was made for.
    Ready(ExitWatch),
}

/// What a spawn waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitFor {
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

/// What [`WaitFor::Later`] means.
pub(crate) const MOMENT: Duration = Duration::from_millis(1);

impl Spawn {
    /// Makes the descriptors and the message, and sends it if there is room.
    /// Gives the caller's end of the answer socket, too.
    pub(crate) fn start(
        template: &Arc<TemplateHandle>,
        spec: SpawnSpec,
        trace: Trace,
    ) -> Result<(UnixStream, Spawn)> {
        let template = &templates::with_present_rights(template, spec.bounding_set)?;
        if template.ended_as_known().is_some() {
            return Err(template.why_gone());
        }
        let what = spec.what();
        let SpawnSpec {
            role,
            body,
            control,
            kill_on_drop,
            mut surroundings,
            bounding_set: _,
            deadline,
        } = spec;
        let failed = |step| {
            let message = format!("start `{what}`: {step}");
            move |error: io::Error| Error::io(message, error)
        };
        let inits = body.inits();
        let (body, mut passed) = body.encode();
        // A directory that may not be looked at is not sent.
        let directory = match surroundings.directory {
            true => fd::open_current_directory().ok(),
            false => None,
        };
        surroundings.directory = directory.is_some();
        let head = Head {
            kill_on_drop,
            surroundings,
            ..Head::new(role, &body, passed.len())
        };

        let (mine, theirs) = socket::stream_pair().map_err(failed("socketpair"))?;
        let (status, reported) = fd::nonblocking_pipe().map_err(failed("pipe"))?;
        let mut fds = vec![theirs.into(), reported];
        fds.extend(control);
        if head.body_at == BodyAt::Memfd {
            fds.push(memfd::store(&body).map_err(failed("store the arguments"))?);
        }
        let streams_at = fds.len();
        fds.extend(directory);
        let mut following = passed.split_off(head.inline_fds as usize);
        following.reverse();
        fds.extend(passed);

        let message = head.encode(&body);
        let mut spawn = Spawn {
            template: Arc::clone(template),
            what,
            role,
            announced: None,
            kill_on_drop,
            inits,
            deadline,
            trace,
            status: Some(StatusPipe::new(status)),
            place: None,
            state: State::Queueing(
                following,
                Request {
                    message,
                    fds,
                    surroundings,
                    streams_at,
                },
            ),
            has_waited: false,
            lost_since: None,
            child: Child::Unknown,
        };
        spawn.send(mine.as_fd())?;
        Ok((mine, spawn))
    }

    /// Goes on as far as possible.
    pub(crate) fn step(&mut self, socket: BorrowedFd<'_>) -> Result<Progress> {
        let has_waited = self.has_waited;
        match self.advance(socket)? {
            Progress::WaitFor(wait) if has_waited => self.check_template(wait, socket),
            step => Ok(step),
        }
    }

    /// Goes on as far as possible, whoever may have ended.
    fn advance(&mut self, socket: BorrowedFd<'_>) -> Result<Progress> {
        let has_waited = mem::replace(&mut self.has_waited, true);
        if let Some(wait) = self.send(socket)? {
            return Ok(Progress::WaitFor(wait));
        }
        // Right after the request there is no answer: not worth a look.
        match self.role {
            Role::Program if !has_waited || !self.is_over(socket)? => {
                Ok(Progress::WaitFor(WaitFor::Executed))
            }
            Role::Worker if !has_waited => {
                Ok(Progress::WaitFor(WaitFor::Answer(Interest::Readable)))
            }
            _ => self.receive(socket),
        }
    }

    /// The descriptor behind what the spawn waits for.
    pub(crate) fn source<'a>(
        &'a self,
        wait: WaitFor,
        socket: BorrowedFd<'a>,
    ) -> (BorrowedFd<'a>, Interest) {
        match (wait, &self.status) {
            (WaitFor::Control, _) => (self.template.control(), Interest::Writable),
            (WaitFor::Status, Some(status)) => (status.as_fd(), Interest::Readable),
            (WaitFor::Status, None) => (socket, Interest::Readable),
            (WaitFor::Answer(interest), _) => (socket, interest),
            (WaitFor::Executed, _) => (socket, Interest::HungUp),
            (WaitFor::Later, _) => (socket, Interest::Writable),
        }
    }

    /// Waits, in code that may block.
    pub(crate) fn wait_blocking(&self, wait: WaitFor, socket: BorrowedFd<'_>) -> Result<()> {
        let (fd, interest) = self.source(wait, socket);
        let came = if wait == WaitFor::Later {
            thread::sleep(MOMENT);
            Ok(self
                .deadline
                .is_none_or(|deadline| Instant::now() < deadline))
        } else {
            let end = self.end();
            let mut fds = vec![(fd, interest)];
            if let (WaitFor::Answer(Interest::Readable) | WaitFor::Executed, Some(status)) =
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
        let set = Epoll::new()?;
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
