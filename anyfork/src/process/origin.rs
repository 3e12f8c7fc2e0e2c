//! [`Origin`]: a template, as its owners hold it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::launch::Flight;
use crate::args::Args;
use crate::early::EARLY;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::answer;
use crate::protocol::request::Then;
use crate::sys::{descriptor, message, poll};

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
}

impl Origin {
    fn new(control: OwnedFd, answer: OwnedFd, base: Option<Arc<Origin>>) -> Origin {
        Origin {
            control,
            answer: Mutex::new(Answer::Open(answer)),
            _base: base,
        }
    }

    /// Forks a further template off `base`, which gives `args` to its children.
    /// Does not wait for it: if it fails, its children's launches say why.
    pub(super) fn fork(base: &Arc<Origin>, args: Args) -> Result<Origin> {
        let failed = |error| Error::io("fork a template", error);
        let (control, served) = descriptor::message_pair().map_err(failed)?;
        let (mine, mut flight) = Flight::start(base, Then::Template, "", args, Some(served))?;
        while let Some(wait) = flight.send(mine.as_fd())? {
            let (fd, interest) = flight.source(wait, mine.as_fd());
            poll::wait(fd, interest, None).map_err(failed)?;
        }
        Ok(Origin::new(control, mine.into(), Some(Arc::clone(base))))
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
        let gone = "the template process has ended (was it killed?); make a new process";
        match &*self.answer() {
            Answer::Failed(error) => error.clone(),
            Answer::Open(_) | Answer::Ready { .. } => Error::new(ErrorKind::TemplateGone, gone),
        }
    }

    /// Why a request has been lost without an answer: with the template, or by
    /// a template in whose full descriptor table there was no room even for the
    /// socket to answer on.
    pub(super) fn why_lost(&self) -> Error {
        if self.is_gone() {
            return self.why_gone();
        }
        let error = io::Error::from_raw_os_error(libc::EMFILE);
        Error::io(
            "the template has no room for the descriptors of a request",
            error,
        )
    }

    fn is_gone(&self) -> bool {
        poll::is_hung_up(self.control())
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
        Ok(answer::Head::Failed { kind, rest }) => {
            let mut text = vec![0; rest];
            let read = message::receive(socket, &mut text, &mut fds).map_or(0, |got| got.len);
            answer::parse_failure(kind, &text[..read]).map_or_else(protocol, Answer::Failed)
        }
    })
}

/// The template that was forked before `main`, or why there is none.
pub(super) fn early() -> Result<Arc<Origin>> {
    static ORIGIN: OnceLock<Result<Arc<Origin>>> = OnceLock::new();
    let origin = ORIGIN.get_or_init(|| match EARLY.get() {
        None => Err(Error::new(ErrorKind::TemplateGone, NOT_REGISTERED)),
        Some(Err(error)) => Err(error.clone()),
        Some(Ok(early)) => {
            let failed = |error| Error::io("use the early template", error);
            let control = early.control.try_clone().map_err(failed)?;
            let answer = early.answer.try_clone().map_err(failed)?;
            Ok(Arc::new(Origin::new(control, answer.into(), None)))
        }
    });
    let origin = origin.clone()?;
    match origin.is_gone() {
        true => Err(origin.why_gone()),
        false => Ok(origin),
    }
}

const NOT_REGISTERED: &str = "no early template: \
     nothing in this program is annotated with `#[anyfork::early]`";
