//! [`Spawn`]: one request, from its first byte to `Ready`, as steps that never block.
//! RUNS IN: caller
//!
//! Blocking and async code differ only in how they wait between two steps: see
//! [`wait`](crate::caller::wait).
//!
//! The end of the reply socket before a reply means that the child has exited, or that
//! there never was one. Then the status pipe has the record of the child's exit, which
//! its template wrote, or is at its end, too, and the template has exited. Where another
//! process holds these open, the pidfds report the exits: see
//! [`template_lost`].

pub(crate) mod cancel;
pub(crate) mod descriptors;
mod early_exit;
pub(crate) mod job;
pub(crate) mod reply;
pub(crate) mod send;
pub(crate) mod spec;
pub(crate) mod start;
pub(crate) mod template_lost;
pub(crate) mod wait_for;

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use crate::caller::child::exit_watch::ExitWatch;
use crate::caller::child::status::{self, Record, StatusPipe};
use crate::caller::spawn::cancel::CancelGuard;
use crate::caller::spawn::job::Job;
use crate::caller::spawn::reply::{ReadyChild, Reply};
use crate::caller::spawn::send::RequestSender;
use crate::caller::spawn::template_lost::{TemplateLoss, Verdict};
use crate::caller::spawn::wait_for::WaitFor;
use crate::caller::wait::shortage::Patience;
use crate::error::{Error, Result};
use crate::protocol::request::Role;
use crate::sys::poll::Interest;
use crate::sys::{poll, socket};

/// A request under way, with the caller's end of its reply socket. Dropped, it kills the
/// child.
///
/// The fields are dropped in this order, and the socket must be the last: its guard
/// receives the pidfd by which it kills the child, and if the descriptor table is full,
/// those that the other fields own make room for that.
pub(crate) struct Spawn<S: AsFd> {
    job: Job,
    /// `None` once the child is ready, and the pipe is its [`ExitWatch`]'s.
    status: Option<StatusPipe>,
    sender: RequestSender,
    /// A program that was ready and is executed now: it may still fail.
    executing: Option<ReadyChild>,
    /// No reply will come: the record of the child's exit will.
    awaits_exit: bool,
    /// The spawn has been waited for.
    has_waited: bool,
    patience: Patience,
    loss: TemplateLoss,
    socket: CancelGuard<S>,
}

/// The result of a step.
pub(crate) enum Progress {
    /// The next step is worth it after this event, or an exit that
    /// [`exit_fd`](Spawn::exit_fd) reports.
    WaitFor(WaitFor),
    /// The child is about to do what it was made for.
    Ready(ExitWatch),
}

impl<S: AsFd> Spawn<S> {
    pub(crate) fn new(job: Job, status: StatusPipe, sender: RequestSender, socket: S) -> Spawn<S> {
        Spawn {
            job,
            status: Some(status),
            sender,
            executing: None,
            awaits_exit: false,
            has_waited: false,
            patience: Patience::default(),
            loss: TemplateLoss::new(),
            socket: CancelGuard::new(socket),
        }
    }

    /// Goes on as far as possible.
    pub(crate) fn step(&mut self) -> Result<Progress> {
        let has_waited = mem::replace(&mut self.has_waited, true);
        match self.advance(has_waited)? {
            Progress::WaitFor(wait) if has_waited => self.check_template(wait),
            progress => Ok(progress),
        }
    }

    /// Sends as much as there is room for, and reads no reply. `None`: everything is
    /// sent.
    pub(crate) fn send_step(&mut self) -> Result<Option<WaitFor>> {
        let has_waited = mem::replace(&mut self.has_waited, true);
        let wait = self.send()?;
        if wait.is_none() || !has_waited || !self.is_template_lost()? {
            return Ok(wait);
        }
        match self.verdict() {
            Verdict::Wait => Ok(wait),
            Verdict::Later => Ok(Some(WaitFor::Later)),
            Verdict::LastReply => {
                self.sender.give_up();
                Ok(None)
            }
            Verdict::Nothing => Err(self.job.template.why_gone()),
        }
    }

    /// The same spawn with a duplicate of its socket. If that cannot be made, the child
    /// is killed.
    #[cfg(feature = "tokio")]
    pub(crate) fn try_with_duplicate<T: AsFd>(
        self,
        duplicate: impl FnOnce(&S) -> Result<T>,
    ) -> Result<Spawn<T>> {
        let duplicate = duplicate(self.socket.socket())?;
        let Spawn {
            job,
            status,
            sender,
            executing,
            awaits_exit,
            has_waited,
            patience,
            loss,
            socket,
        } = self;
        Ok(Spawn {
            job,
            status,
            sender,
            executing,
            awaits_exit,
            has_waited,
            patience,
            loss,
            socket: socket.with_duplicate(duplicate),
        })
    }

    /// Kills the child. Returns whether it surely was not ready: `Ready` takes the pipe.
    #[cfg(feature = "pool")]
    pub(crate) fn give_up(self) -> bool {
        self.status.is_some() && self.socket.give_up()
    }

    /// The child's pid, if it is known before the child is ready: from when its init functions
    /// run on.
    #[cfg(feature = "pool")]
    pub(crate) fn claimed_pid(&self) -> Option<u32> {
        self.socket.claimed_pid()
    }

    /// The socket, of a child that is ready or that somebody else will wait for.
    pub(crate) fn into_socket(self) -> S {
        self.socket.disarm()
    }

    /// The reply socket.
    pub(crate) fn socket(&self) -> &S {
        self.socket.socket()
    }

    /// What is started, for messages.
    pub(crate) fn what(&self) -> &str {
        &self.job.what
    }

    /// The time at which it must be ready.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.job.deadline
    }

    /// The status pipe, until the child is ready.
    pub(crate) fn status(&self) -> Option<BorrowedFd<'_>> {
        self.status.as_ref().map(AsFd::as_fd)
    }

    /// The descriptor that reports the event. For [`WaitFor::Later`], none does.
    pub(crate) fn source(&self, wait: WaitFor) -> (BorrowedFd<'_>, Interest) {
        let socket = self.socket().as_fd();
        match wait {
            WaitFor::Control => (self.job.template.control(), Interest::Writable),
            WaitFor::Status => (self.status().unwrap_or(socket), Interest::Readable),
            WaitFor::Reply(interest) => (socket, interest),
            WaitFor::Executed => (socket, Interest::HungUp),
            WaitFor::Later => (socket, Interest::Writable),
        }
    }

    /// Poll this too: readable when the template has exited; once that is known, when
    /// the child has.
    pub(crate) fn exit_fd(&self) -> Option<Arc<OwnedFd>> {
        self.loss.exit_fd(&self.job.template)
    }

    fn send(&mut self) -> Result<Option<WaitFor>> {
        let Job { template, what, .. } = &self.job;
        let socket = self.socket.socket().as_fd();
        self.sender.send(template, socket, what)
    }

    /// Goes on as far as possible, whatever has become of the template.
    fn advance(&mut self, has_waited: bool) -> Result<Progress> {
        if let Some(wait) = self.send()? {
            return Ok(Progress::WaitFor(wait));
        }
        let is_lost = self.job.template.known_lost_since().is_some();
        // Right after the request there is no reply: a look would cost a system call.
        match self.job.role {
            // A lost template's program is known by its claim, which is read before.
            Role::Program if !has_waited || !(is_lost || self.is_over()?) => {
                Ok(Progress::WaitFor(WaitFor::Executed))
            }
            Role::Worker if !has_waited => {
                Ok(Progress::WaitFor(WaitFor::Reply(Interest::Readable)))
            }
            _ => self.receive(),
        }
    }

    /// Whether no more replies can come.
    fn is_over(&self) -> Result<bool> {
        Ok(poll::is_hung_up(self.socket().as_fd()) || self.has_exited()?)
    }

    /// Whether the status pipe has the record of the child's exit, or is at its end.
    fn has_exited(&self) -> Result<bool> {
        match &self.status {
            Some(status) => match status.try_read()? {
                Record::Spoiled => Err(status::spoiled()),
                record => Ok(!matches!(record, Record::Pending)),
            },
            None => Ok(false),
        }
    }

    /// Reads the replies that have come. After the record of the child's exit none can:
    /// a process that the child has forked may hold the socket open.
    fn receive(&mut self) -> Result<Progress> {
        if let Some(progress) = self.read_replies()? {
            return Ok(progress);
        }
        if !self.has_exited()? {
            return Ok(Progress::WaitFor(WaitFor::Reply(Interest::Readable)));
        }
        // It may have sent one before its exit.
        match self.read_replies()? {
            Some(progress) => Ok(progress),
            None => self.on_end(),
        }
    }

    /// Reads until `Ready`, or the end. `None`: more is to come.
    fn read_replies(&mut self) -> Result<Option<Progress>> {
        while !self.awaits_exit {
            match self.socket.read_reply()? {
                None => return Ok(None),
                Some(Reply::Hello) => return Ok(None),
                Some(Reply::Claim) => {}
                // The status pipe's write end has reserved an entry of the table, unless
                // another thread takes it.
                Some(Reply::NoRoom) if self.sender.has_status_writer() => {
                    self.sender.close_status_writer();
                }
                Some(Reply::NoRoom) if self.patience.is_left() => {
                    return Ok(Some(Progress::WaitFor(WaitFor::Later)));
                }
                Some(Reply::NoRoom) => return Err(self.no_room()),
                Some(Reply::Ready(child)) if self.job.role == Role::Program => {
                    self.executing = Some(child);
                }
                Some(Reply::Ready(child)) => return self.ready(child).map(Some),
                Some(Reply::Failed(error)) => return Err(error),
                Some(Reply::End) => return self.on_end().map(Some),
            }
        }
        self.examine().map(Some)
    }

    /// No more replies come.
    fn on_end(&mut self) -> Result<Progress> {
        match self.executing.take() {
            // It may have been executed: its exit tells.
            Some(child) => self.ready(child),
            None => {
                self.awaits_exit = true;
                self.examine()
            }
        }
    }

    fn ready(&mut self, child: ReadyChild) -> Result<Progress> {
        let ReadyChild { pid, pidfd } = child;
        let Some(pidfd) = pidfd else {
            return Err(self.no_room());
        };
        let status = self.status.take().expect("there until here");
        if self.job.role == Role::Worker {
            socket::forget_senders(self.socket().as_fd())
                .map_err(|error| Error::io("make a worker's socket ready for use", error))?;
        }
        // The template has replied before its child did.
        self.job.template.poll_startup();
        let Job {
            template,
            kill_on_drop,
            trace,
            ..
        } = &self.job;
        trace.ready(pid);
        let watch = ExitWatch::new(pid, pidfd, status, *kill_on_drop, trace.clone(), template);
        Ok(Progress::Ready(watch))
    }

    /// The error for a pidfd for which this process has no room.
    fn no_room(&self) -> Error {
        let error = io::Error::from_raw_os_error(libc::EMFILE);
        Error::io(format!("receive the pidfd of `{}`", self.job.what), error)
    }

    /// Why a child that has exited, or never was, sent no reply.
    fn examine(&mut self) -> Result<Progress> {
        self.loss.look_at_child(self.socket.claimant());
        self.sender.close_status_writer();
        let Job {
            template,
            what,
            inits,
            ..
        } = &self.job;
        let Some(status) = &self.status else {
            return Err(template.why_gone());
        };
        let exit = match status.try_read()? {
            Record::Pending => return Ok(Progress::WaitFor(WaitFor::Status)),
            Record::Lost => {
                let why = self.loss.why_lost(template);
                return why.map_or(Ok(Progress::WaitFor(WaitFor::Later)), Err);
            }
            Record::Spoiled => return Err(status::spoiled()),
            Record::Exit(exit) | Record::OwnExit { exit, .. } => exit,
        };
        Err(early_exit::error(exit, what, inits))
    }

    /// A step came to nothing, although an event was reported: checks whether anybody can
    /// still bring the spawn on.
    fn check_template(&mut self, wait: WaitFor) -> Result<Progress> {
        if !self.is_template_lost()? {
            return Ok(Progress::WaitFor(wait));
        }
        // After the look for the child, which may have replied before its exit.
        let wait = match self.advance(true)? {
            Progress::WaitFor(wait) => wait,
            ready => return Ok(ready),
        };
        match self.verdict() {
            Verdict::Wait => Ok(Progress::WaitFor(wait)),
            Verdict::Later => Ok(Progress::WaitFor(WaitFor::Later)),
            Verdict::LastReply => match (self.receive()?, self.executing.take()) {
                (Progress::WaitFor(_), Some(child)) => self.ready(child),
                (Progress::WaitFor(_), None) => Err(self.job.template.why_gone()),
                (ready, _) => Ok(ready),
            },
            Verdict::Nothing => Err(self.job.template.why_gone()),
        }
    }

    /// Whether the template has exited; then looks for its child. A request that no
    /// child can have is an error.
    fn is_template_lost(&mut self) -> Result<bool> {
        let template = &self.job.template;
        if !self.loss.is_known(template) {
            return Ok(false);
        }
        if self.sender.has_request() || template.has_failed() {
            return Err(template.why_gone());
        }
        self.loss.look_at_child(self.socket.claimant());
        Ok(true)
    }

    fn verdict(&self) -> Verdict {
        self.loss.verdict(self.awaits_exit, &self.job.template)
    }
}
