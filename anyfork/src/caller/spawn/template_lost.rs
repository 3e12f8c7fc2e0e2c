//! A spawn whose template has ended while somebody holds the sockets open.
//!
//! Most often the sockets hang up with the template, and this is not needed. But
//! code of the program's that prepares a template or a child may leave a process
//! behind, which has all that its parent had. Role the template's pidfd tells of
//! its end, and what remains to be known is whether a child has taken the
//! request, which is to have all the time that it needs:
//!
//! | the status pipe | the control socket | |
//! |---|---|---|
//! | a living process's | | that is the child: its end is waited for, too |
//! | a process's that is gone | | the child has ended, and no answer can come |
//! | nobody's | all is read | a child has it, and runs no code of the program's yet: what it has hangs up with it |
//! | nobody's | something is unread | the request, or others behind it: given up after a while |
//!
//! The pipe becomes a child's before it runs code that may take long, or leave
//! processes behind.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use crate::caller::spawn::{Progress, Spawn, State, WaitFor};
use crate::error::Result;
use crate::sys::peer::Owner;
use crate::sys::{peer, pidfd};

/// So long a child that was forked at its template's very end may take to come to
/// code of the program's, or to its answer, if there are unread requests. It does
/// a few system calls until then.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is known of a child that has not answered.
pub(crate) enum Child {
    /// There may be none.
    Unknown,
    /// It was there at the last look. `None`: there was no room for its pidfd.
    Runs(Option<Arc<OwnedFd>>),
    Ended,
}

impl Spawn {
    /// A step came to nothing, though something has come: looks whether there is
    /// anybody yet who could bring the spawn on.
    pub(crate) fn check_template(
        &mut self,
        wait: WaitFor,
        socket: BorrowedFd<'_>,
    ) -> Result<Progress> {
        self.lost_since = self.lost_since.or_else(|| self.template.ended());
        let Some(since) = self.lost_since else {
            return Ok(Progress::WaitFor(wait));
        };
        let is_unsent = matches!(self.state, State::Queueing(..) | State::Sending(..));
        if is_unsent || self.template.has_failed() {
            return Err(self.template.why_gone());
        }
        self.find_child();
        // After that: it may have answered before its end, or the template's.
        let wait = match self.advance(socket)? {
            Progress::WaitFor(wait) => wait,
            ready => return Ok(ready),
        };
        match &self.child {
            Child::Runs(Some(_)) => Ok(Progress::WaitFor(wait)),
            Child::Runs(None) => Ok(Progress::WaitFor(WaitFor::Later)),
            Child::Ended => match self.receive(socket)? {
                Progress::WaitFor(_) => match self.announced.take() {
                    // It may have been executed: its end tells.
                    Some((pid, fds)) => self.ready(pid, fds),
                    None => Err(self.template.why_gone()),
                },
                ready => Ok(ready),
            },
            // It has closed its socket, and has run no code of the program's: the
            // pipe hangs up with it.
            Child::Unknown if self.place.is_none() => Ok(Progress::WaitFor(wait)),
            Child::Unknown if since.elapsed() > PATIENCE && self.template.has_unread() => {
                Err(self.template.why_gone())
            }
            Child::Unknown => Ok(Progress::WaitFor(WaitFor::Later)),
        }
    }

    /// What is readable when it is worth it to look after the spawn, beside what
    /// it waits for.
    pub(crate) fn end(&self) -> Option<Arc<OwnedFd>> {
        match (&self.child, self.lost_since) {
            (_, None) => self.template.exit_fd(),
            (Child::Runs(pidfd), _) => pidfd.clone(),
            (Child::Unknown | Child::Ended, _) => None,
        }
    }

    /// Finds out what is to be known of the child.
    pub(crate) fn find_child(&mut self) {
        self.child = match &self.child {
            Child::Runs(Some(pidfd)) if pidfd::has_exited(pidfd.as_fd()) => Child::Ended,
            Child::Unknown | Child::Runs(None) => match &self.place {
                Some(pipe) => child_by(pipe.as_fd()),
                None => return,
            },
            Child::Runs(Some(_)) | Child::Ended => return,
        };
    }
}

/// The child whose status pipe this is.
fn child_by(pipe: BorrowedFd<'_>) -> Child {
    let owner = || peer::owner(pipe).unwrap_or(Owner::Nobody);
    match owner() {
        Owner::Nobody => Child::Unknown,
        Owner::Gone => Child::Ended,
        Owner::Process(pid) => {
            let pidfd = pidfd::open(pid);
            match (owner(), pidfd) {
                // It was collected between the two, and the pid may be another's.
                (Owner::Gone, _) => Child::Ended,
                (_, Ok(pidfd)) if pidfd::has_exited(pidfd.as_fd()) => Child::Ended,
                (_, Ok(pidfd)) => Child::Runs(Some(Arc::new(pidfd))),
                (_, Err(_)) => Child::Runs(None),
            }
        }
    }
}
