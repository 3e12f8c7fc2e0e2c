//! [`TemplateLoss`]: what a spawn can still expect once its template has exited.
//! RUNS IN: caller
//!
//! Most often the sockets hang up with the template, and this is not needed. But user's
//! code that prepares a template or a child may leave a process behind, which has every
//! descriptor that its parent had. Then only the template's pidfd reports its exit. The
//! question is whether a child has taken the request; such a child may take any time:
//!
//! | who has sent a claim | the control socket | conclusion |
//! |---|---|---|
//! | a living process | | that is the child: the spawn waits for its exit, too |
//! | a process that has exited | | that was the child, and no reply can come |
//! | nobody | everything is read | a child has the request, and runs no user's code yet: its descriptors are closed with it |
//! | nobody | something is unread | the request, or others behind it: given up after [`TIMEOUT`] |
//!
//! A child sends its claim, with its pidfd, before it runs code that may take long, or
//! leave processes behind.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::caller::templates::handle::TemplateHandle;
use crate::caller::templates::room::Question;
use crate::error::Error;
use crate::sys::pidfd;

/// Timeout, from the template's exit on, for a child to send its claim, if
/// requests are unread. A child that was forked last does a few system calls until
/// then.
const TIMEOUT: Duration = Duration::from_secs(1);

/// What is known of a template that has exited, and of the child that it may have left.
pub(crate) struct TemplateLoss {
    /// The time since which the template's exit is known. `None`: it serves.
    since: Option<Instant>,
    child: Child,
    /// Asked when a request is lost although the template seems to serve.
    question: Option<Question>,
}

/// A child that has not replied.
enum Child {
    /// There may be none.
    Unknown,
    /// It ran at the last look.
    Running(Arc<OwnedFd>),
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
            question: None,
        }
    }

    /// Why the request was lost, without a reply or a record. `None`: ask again later.
    pub(crate) fn why_lost(&mut self, template: &TemplateHandle) -> Option<Error> {
        self.question
            .get_or_insert_with(Question::new)
            .ask(template)
    }

    /// Whether the template has exited.
    pub(crate) fn is_known(&mut self, template: &TemplateHandle) -> bool {
        self.since = self.since.or_else(|| template.lost_since());
        self.since.is_some()
    }

    /// Looks at the child, which is the claimant.
    pub(crate) fn look_at_child(&mut self, claimant: Option<&Arc<OwnedFd>>) {
        self.child = match claimant {
            None => Child::Unknown,
            Some(pidfd) if pidfd::has_exited(pidfd.as_fd()) => Child::Exited,
            Some(pidfd) => Child::Running(Arc::clone(pidfd)),
        };
    }

    /// What is to be expected, by the last look at the child. `at_end`: the reply socket
    /// is at its end.
    pub(crate) fn verdict(&self, at_end: bool, template: &TemplateHandle) -> Verdict {
        let is_over = || self.since.is_some_and(|since| since.elapsed() > TIMEOUT);
        match &self.child {
            Child::Running(_) => Verdict::Wait,
            Child::Exited => Verdict::LastReply,
            // The child has run no user's code: the status pipe hangs up with it.
            Child::Unknown if at_end => Verdict::Wait,
            Child::Unknown if is_over() && template.has_unread() => Verdict::Nothing,
            Child::Unknown => Verdict::Later,
        }
    }

    /// A descriptor that is readable when the template has exited; once that is known,
    /// when the child has. `None` if nothing reports it.
    pub(crate) fn exit_fd(&self, template: &TemplateHandle) -> Option<Arc<OwnedFd>> {
        match (&self.child, self.since) {
            (_, None) => template.exit_fd(),
            (Child::Running(pidfd), _) => Some(Arc::clone(pidfd)),
            (Child::Unknown | Child::Exited, _) => None,
        }
    }
}
