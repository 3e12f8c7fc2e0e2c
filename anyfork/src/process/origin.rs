//! [`Origin`]: a template, as its owners hold it.
//!
//! How one comes to be: `default` (the early one, or one that is exec'ed and
//! kept), `exec`, or by a request to another, here.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::launch::{Flight, Order, too_late};
use super::options::Options;
use super::setup::Setup;
use super::trace::Trace;
use crate::early::TemplateEnd;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::answer;
use crate::protocol::keep::{self, Keep, Wanted};
use crate::protocol::request::Then;
use crate::sys::poll::{self, Interest};
use crate::sys::{descriptor, message};

/// A template that other processes are forked from. Dropping the last owner
/// ends it once its children have ended.
pub(super) struct Origin {
    control: OwnedFd,
    answer: Mutex<Answer>,
    /// The template that this one is forked from. Without an owner it might end
    /// before it has read our request.
    _base: Option<Arc<Origin>>,
}

/// What is known of the template's preparation.
enum Answer {
    /// Nothing yet: it will be said here.
    Open(OwnedFd),
    Ready {
        pid: u32,
    },
    Failed(Error),
    /// It was given to another process.
    Elsewhere,
}

impl Origin {
    /// The owner's end of a template that was not asked for by a request.
    pub(super) fn new(end: TemplateEnd) -> Origin {
        Origin {
            control: end.control,
            answer: Mutex::new(Answer::Open(end.answer.into())),
            _base: None,
        }
    }

    /// A template that another process has handed over. Its answer stayed there.
    pub(super) fn handed_over(control: OwnedFd) -> Origin {
        Origin {
            control,
            answer: Mutex::new(Answer::Elsewhere),
            _base: None,
        }
    }

    /// Forks a further template off `base`, which prepares itself by `setup`.
    /// Does not wait for it: if it fails, its children's launches say why.
    pub(super) fn fork(base: &Arc<Origin>, mut setup: Setup, options: &Options) -> Result<Origin> {
        let failed = |error| Error::io("fork a template", error);
        let (control, served) = descriptor::message_pair().map_err(failed)?;
        setup.close_pipes(options);
        let order = Order {
            then: Then::Template,
            body: setup.into_body("", options),
            control: Some(served),
            kill_on_drop: false,
            deadline: options.deadline(),
        };
        let (mine, mut flight) = Flight::start(base, order, Trace::none())?;
        while let Some(wait) = flight.send(mine.as_fd())? {
            flight.wait_blocking(wait, mine.as_fd())?;
        }
        Ok(Origin {
            control,
            answer: Mutex::new(Answer::Open(mine.into())),
            _base: Some(Arc::clone(base)),
        })
    }

    /// Has the template keep so many spares. Waits for room, as a request does.
    pub(super) fn keep_warm(&self, count: u32, deadline: Option<Instant>) -> Result<()> {
        let failed = |error| Error::io("keep a template's children warm", error);
        let at = poll::now().map_err(failed)?;
        let octets = keep::encode(Keep::Spares(Wanted { count, at }));
        let control = self.control();
        loop {
            let error = match message::send(control, &octets, &[control]) {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            match error.kind() {
                io::ErrorKind::WouldBlock => {
                    let room = poll::wait(control, Interest::Writable, deadline);
                    if !room.map_err(|error| Error::io("wait for a template", error))? {
                        return Err(too_late("a template"));
                    }
                }
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                    return Err(self.why_gone());
                }
                _ => return Err(failed(error)),
            }
        }
    }

    /// Where requests go.
    pub(super) fn control(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    /// The template's pid, if it has answered.
    pub(super) fn pid(&self) -> Option<u32> {
        match &*self.answer() {
            Answer::Ready { pid } => Some(*pid),
            _ => None,
        }
    }

    /// Why there is no template any more, for a launch that found out.
    pub(super) fn why_gone(&self) -> Error {
        match &*self.answer() {
            Answer::Failed(error) => error.clone(),
            _ => Error::new(ErrorKind::TemplateGone, GONE),
        }
    }

    /// Why a request has been lost without an answer: with the template, or by
    /// a template in whose full descriptor table there was no room even for the
    /// socket to answer on.
    ///
    /// A process that is killed closes its descriptors one after the other, so
    /// its control socket is given a moment to follow the request's.
    pub(super) fn why_lost(&self) -> Error {
        if poll::is_hanging_up(self.control()) {
            return self.why_gone();
        }
        let error = io::Error::from_raw_os_error(libc::EMFILE);
        let message = "the template has no room for the descriptors of a request, \
                       or the spare that took it was killed";
        Error::io(message, error)
    }

    pub(super) fn is_gone(&self) -> bool {
        poll::is_hung_up(self.control())
    }

    /// Whether the preparation has succeeded; else what tells more when it is
    /// readable.
    pub(super) fn prepared(&self) -> Result<Option<OwnedFd>> {
        match &*self.answer() {
            Answer::Failed(error) => Err(error.clone()),
            Answer::Ready { .. } | Answer::Elsewhere => Ok(None),
            Answer::Open(socket) => {
                let socket = socket.try_clone();
                socket
                    .map(Some)
                    .map_err(|error| Error::io("wait for a template", error))
            }
        }
    }

    /// Waits until the preparation has succeeded or failed.
    pub(super) fn wait_prepared(&self, deadline: Option<Instant>) -> Result<()> {
        while let Some(socket) = self.prepared()? {
            let there = poll::wait(socket.as_fd(), Interest::Readable, deadline);
            if !there.map_err(|error| Error::io("wait for a template", error))? {
                return Err(too_late("the preparation of a template"));
            }
        }
        Ok(())
    }

    /// The control socket, for another process to use.
    pub(super) fn share(&self) -> Result<OwnedFd> {
        let shared = self.control.try_clone();
        shared.map_err(|error| Error::io("hand a process over", error))
    }

    /// The answer, read if it has come.
    fn answer(&self) -> std::sync::MutexGuard<'_, Answer> {
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Answer::Open(socket) = &*answer
            && let Some(read) = read_answer(socket.as_fd())
        {
            *answer = read;
        }
        answer
    }
}

/// Reads a template's answer; `None` while there is none. A template writes it
/// at once, so what follows the head is there with it.
fn read_answer(socket: BorrowedFd<'_>) -> Option<Answer> {
    let protocol = |error| Answer::Failed(Error::from(error));
    let mut head = [0; answer::HEAD];
    let mut fds = Vec::new();
    match message::receive(socket, &mut head, &mut fds) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
        Ok(received) if received.len == answer::HEAD => {}
        _ => {
            let message = "the template process has ended before it was ready";
            return Some(Answer::Failed(Error::new(ErrorKind::TemplateGone, message)));
        }
    }
    Some(match answer::parse_head(&head) {
        Err(malformed) => protocol(malformed),
        Ok(answer::Head::Ready { pid }) => Answer::Ready { pid },
        Ok(answer::Head::Born) => return read_answer(socket),
        Ok(answer::Head::Failed { kind, rest }) => {
            let mut text = vec![0; rest];
            let read = message::receive(socket, &mut text, &mut fds).map_or(0, |got| got.len);
            answer::parse_failure(kind, &text[..read]).map_or_else(protocol, Answer::Failed)
        }
    })
}

const GONE: &str = "the template process has ended (was it killed?); make a new process";
