//! [`TemplateLoss`]: what a spawn can still expect once its template has exited.
//! RUNS IN: caller
//!
//! Most often the sockets hang up with the template, and this is not needed. But user's
//! code that prepares a template or a child may leave a process behind, which has every
//! descriptor that its parent had. Then only the template's pidfd reports its exit. The
//! question is whether a child has taken the request; such a child may take any time:
//!
//! | who has claimed the status pipe | the control socket | conclusion |
//! |---|---|---|
//! | a living process | | that is the child: the spawn waits for its exit, too |
//! | a process that is reaped | | the child has exited, and no reply can come |
//! | nobody | everything is read | a child has the request, and runs no user's code yet: its descriptors are closed with it |
//! | nobody | something is unread | the request, or others behind it: given up after [`TIMEOUT`] |
//!
//! A child claims the pipe before it runs code that may take long, or leave processes
//! behind.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::caller::templates::handle::TemplateHandle;
use crate::sys::peer::Owner;
use crate::sys::{peer, pidfd};

/// Timeout, from the template's exit on, for a child to claim its status pipe, if
/// requests are unread. A child that was forked last does a few system calls until
/// then.
const TIMEOUT: Duration = Duration::from_secs(1);

/// What is known of a template that has exited, and of the child that it may have left.
pub(crate) struct TemplateLoss {
    /// The time since which the template's exit is known. `None`: it serves.
    since: Option<Instant>,
    child: Child,
}

/// A child that has not replied.
enum Child {
    /// There may be none.
    Unknown,
    /// It ran when it was looked for. `None`: the descriptor table has no room for its
    /// pidfd.
    Running(Option<Arc<OwnedFd>>),
    Exited,
}

/// What a spawn with a lost template can still expect.
pub(crate) enum Verdict {
    /// The events that it waits for, or the exit of the child.
    Wait,
    /// Nothing reports the next event.
    Later,
    /// A last reply, if the child sent one before its exit.
    LastReply,
    /// Nothing: no child has the request.
    Nothing,
}

impl TemplateLoss {
    pub(crate) fn new() -> TemplateLoss {
        TemplateLoss {
            since: None,
            child: Child::Unknown,
        }
    }

    /// Whether the template has exited.
    pub(crate) fn is_known(&mut self, template: &TemplateHandle) -> bool {
        self.since = self.since.or_else(|| template.lost_since());
        self.since.is_some()
    }

    /// Looks for the child by the write end of its status pipe.
    pub(crate) fn find_child(&mut self, status_writer: Option<BorrowedFd<'_>>) {
        self.child = match &self.child {
            Child::Running(Some(pidfd)) if pidfd::has_exited(pidfd.as_fd()) => Child::Exited,
            Child::Unknown | Child::Running(None) => match status_writer {
                Some(pipe) => claimant(pipe),
                None => return,
            },
            Child::Running(Some(_)) | Child::Exited => return,
        };
    }

    /// What is to be expected, by the last look for the child.
    pub(crate) fn verdict(
        &self,
        status_writer: Option<BorrowedFd<'_>>,
        template: &TemplateHandle,
    ) -> Verdict {
        let is_over = || self.since.is_some_and(|since| since.elapsed() > TIMEOUT);
        match &self.child {
            Child::Running(Some(_)) => Verdict::Wait,
            Child::Running(None) => Verdict::Later,
            Child::Exited => Verdict::LastReply,
            // The reply socket is at its end, and the child has run no user's code: the
            // status pipe hangs up with the child.
            Child::Unknown if status_writer.is_none() => Verdict::Wait,
            Child::Unknown if is_over() && template.has_unread() => Verdict::Nothing,
            Child::Unknown => Verdict::Later,
        }
    }

    /// A descriptor that is readable when the template has exited; once that is known,
    /// when the child has. `None` if nothing reports it.
    pub(crate) fn exit_fd(&self, template: &TemplateHandle) -> Option<Arc<OwnedFd>> {
        match (&self.child, self.since) {
            (_, None) => template.exit_fd(),
            (Child::Running(pidfd), _) => pidfd.clone(),
            (Child::Unknown | Child::Exited, _) => None,
        }
    }
}

/// The child that has claimed the status pipe.
fn claimant(pipe: BorrowedFd<'_>) -> Child {
    let owner = || peer::owner(pipe).unwrap_or(Owner::Nobody);
    match owner() {
        Owner::Nobody => Child::Unknown,
        Owner::Gone => Child::Exited,
        Owner::Process(pid) => {
            let pidfd = pidfd::open(pid);
            match (owner(), pidfd) {
                // It was reaped between the two calls, and the pid may be another's.
                (Owner::Gone, _) => Child::Exited,
                (_, Ok(pidfd)) if pidfd::has_exited(pidfd.as_fd()) => Child::Exited,
                (_, Ok(pidfd)) => Child::Running(Some(Arc::new(pidfd))),
                (_, Err(_)) => Child::Running(None),
            }
        }
    }
}
