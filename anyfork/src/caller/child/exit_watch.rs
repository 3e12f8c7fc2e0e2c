//! [`ExitWatch`]: the exit of a child that was ready once, shared by all its handles.
//! RUNS IN: caller
//!
//! A child that exits by itself writes its exit code into the status pipe; the template
//! writes a record of every exit there, with the usage, and then reaps the child. Either
//! counts only once the process has exited, which its pidfd reports. Others may write
//! there, too: a kernel that keeps the status of a reaped process has the last word. So the exit of a
//! child that wrote its own needs no template, and waits only a moment for the usage. A
//! child that was reaped without a record, or whose
//! pipe is at its end, has lost its template: then the kernel is asked.
//!
//! It never waits: see [`wait`](crate::caller::wait).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::caller::child::kill;
use crate::caller::child::status;
use crate::caller::child::status::{Record, StatusPipe};
use crate::caller::templates::adopted;
use crate::caller::templates::handle::TemplateHandle;
use crate::caller::templates::usage_timeout::UsageTimeout;
use crate::caller::trace::Trace;
#[cfg(feature = "tokio")]
use crate::caller::wait::registration::{Registered, Registry};
use crate::error::{Error, Result};
use crate::exit::{Exit, Usage};
use crate::sys::pidfd::ProcessState;
use crate::sys::poll::Interest;
use crate::sys::{pidfd, poll, wait};

/// Interval between two looks at a child that has exited and is not reported, and timeout
/// for the reap of one that seems to be.
const INTERVAL: Duration = Duration::from_secs(1);

/// A child, before and after its exit. A clone watches the same child.
#[derive(Clone, Debug)]
pub(crate) struct ExitWatch(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pid: u32,
    pidfd: Arc<OwnedFd>,
    #[cfg(feature = "tokio")]
    pidfd_registry: Registry,
    status: StatusPipe,
    kill_on_drop: bool,
    trace: Trace,
    /// The time until which the template may report what the child has used.
    usage_deadline: OnceLock<Instant>,
    /// The time until which the template may reap it.
    reap_deadline: OnceLock<Instant>,
    /// When to look again, after a look that has found an exit and no status.
    next_look: Mutex<Option<Instant>>,
    usage_timeout: Arc<UsageTimeout>,
    /// The pidfd of its template, until the child has exited.
    template: Mutex<Option<Arc<OwnedFd>>>,
    /// Locked while one handle looks: a child is reaped only once.
    exit: Mutex<Option<Exit>>,
}

/// How far a child is.
#[derive(Debug)]
pub(crate) enum ExitState {
    Exited(Exit),
    /// The pidfd is readable when the child has exited.
    Running,
    /// The child has exited, and its template has not reported it yet. The status pipe
    /// is readable when it has, and the pidfd is hung up when the child is reaped.
    AwaitsRecord,
    /// The child has exited, and its template has reported it and is about to reap it. The
    /// pidfd is hung up then.
    AwaitsReap,
}

impl ExitWatch {
    pub(crate) fn new(
        pid: u32,
        pidfd: OwnedFd,
        status: StatusPipe,
        kill_on_drop: bool,
        trace: Trace,
        template: &TemplateHandle,
    ) -> ExitWatch {
        let pidfd = Arc::new(pidfd);
        ExitWatch(Arc::new(Shared {
            pid,
            #[cfg(feature = "tokio")]
            pidfd_registry: Registry::new(&pidfd),
            pidfd,
            status,
            kill_on_drop,
            trace,
            usage_deadline: OnceLock::new(),
            reap_deadline: OnceLock::new(),
            next_look: Mutex::new(None),
            usage_timeout: Arc::clone(&template.usage_timeout),
            template: Mutex::new(template.pidfd()),
            exit: Mutex::new(None),
        }))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.pid
    }

    pub(crate) fn pidfd(&self) -> BorrowedFd<'_> {
        self.0.pidfd.as_fd()
    }

    /// The status pipe.
    pub(crate) fn status(&self) -> BorrowedFd<'_> {
        self.0.status.as_fd()
    }

    /// Looks how far the child is.
    pub(crate) fn try_wait(&self) -> Result<ExitState> {
        let shared = &*self.0;
        let mut exit = shared.exit.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(exit) = &*exit {
            return Ok(ExitState::Exited(exit.clone()));
        }
        let state = shared.look();
        let state = state.inspect_err(|error| shared.trace.failed(error))?;
        if let ExitState::Exited(found) = &state {
            shared.trace.exited(found);
            *exit = Some(found.clone());
            adopted::reap_child(&shared.pidfd, shared.take_template());
        }
        Ok(state)
    }

    /// When to look again even if no event comes, for a child that
    /// [awaits](ExitState::AwaitsRecord) something.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        *self
            .0
            .next_look
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The descriptors that report that there is more to learn of a child in this state.
    pub(crate) fn sources(&self, state: &ExitState) -> Vec<(BorrowedFd<'_>, Interest)> {
        let reaped = (self.pidfd(), Interest::HungUp);
        match state {
            ExitState::Exited(_) => Vec::new(),
            ExitState::Running => vec![(self.pidfd(), Interest::Readable)],
            ExitState::AwaitsReap => vec![reaped],
            // The template reaps the child right after its record, which counts for nothing
            // before: of the pipe only the end is of interest, where the template is gone.
            ExitState::AwaitsRecord if pidfd::keeps_exit_status() => {
                vec![reaped, (self.status(), Interest::HungUp)]
            }
            ExitState::AwaitsRecord => vec![reaped, (self.status(), Interest::Readable)],
        }
    }

    /// The exit, if the child has exited and it is known.
    pub(crate) fn try_exit(&self) -> Result<Option<Exit>> {
        match self.try_wait()? {
            ExitState::Exited(exit) => Ok(Some(exit)),
            ExitState::Running | ExitState::AwaitsRecord | ExitState::AwaitsReap => Ok(None),
        }
    }

    /// The pidfd, registered with the runtime of this task.
    #[cfg(feature = "tokio")]
    pub(crate) fn registered_pidfd(&self) -> Result<Arc<Registered>> {
        self.0.pidfd_registry.register()
    }

    /// The status pipe, registered with the runtime of this task.
    #[cfg(feature = "tokio")]
    pub(crate) fn registered_status(&self) -> Result<Arc<Registered>> {
        self.0.status.register()
    }

    /// Sends a signal. A child that has exited is no error.
    pub(crate) fn signal(&self, signal: i32) -> Result<()> {
        kill::signal(self.pidfd(), signal)
    }

    /// Sends a signal to the process group that the child leads.
    pub(crate) fn signal_group(&self, signal: i32) -> Result<()> {
        kill::signal_group(self.pidfd(), self.pid(), signal)
    }

    /// Sends SIGKILL to the child, and to the process group that it leads.
    pub(crate) fn kill(&self) -> Result<()> {
        kill::kill(self.pidfd(), self.pid())
    }
}

impl Shared {
    fn take_template(&self) -> Option<Arc<OwnedFd>> {
        let mut template = self.template.lock().unwrap_or_else(PoisonError::into_inner);
        template.take()
    }

    fn look(&self) -> Result<ExitState> {
        // Before the pipe: a record that is not there after the child was reaped never
        // will be.
        let state = self.state()?;
        if state == ProcessState::Running {
            return Ok(ExitState::Running);
        }
        let record = self.status.try_read()?;
        if let Some(exit) = self.kept_exit(state, &record)? {
            return Ok(ExitState::Exited(exit));
        }
        Ok(match record {
            Record::Exit(exit) if state == ProcessState::Exited => {
                match wait::reap_adopted(self.pidfd.as_fd()) {
                    Some(reaped) => ExitState::Exited(self.reaped(&reaped)),
                    None if pidfd::keeps_exit_status() && self.expects_reap() => {
                        ExitState::AwaitsReap
                    }
                    None => ExitState::Exited(self.with_kernels_status(exit)),
                }
            }
            Record::Exit(exit) => ExitState::Exited(exit),
            Record::OwnExit { exit, at_end } => {
                let has_parent = state == ProcessState::Exited;
                match has_parent
                    .then(|| wait::reap_adopted(self.pidfd.as_fd()))
                    .flatten()
                {
                    Some(reaped) => ExitState::Exited(self.reaped(&reaped)),
                    None if has_parent && !at_end && self.expects_usage() => {
                        ExitState::AwaitsRecord
                    }
                    None => ExitState::Exited(self.with_kernels_status(exit)),
                }
            }
            Record::Pending if state == ProcessState::Exited => {
                // A child that is traced is reaped when its tracer lets it go, and a
                // template may be stopped.
                let status = match self.expects_usage() {
                    true => None,
                    false => wait::zombie_status(self.pid, self.pidfd.as_fd()),
                };
                match status {
                    Some(status) => ExitState::Exited(self.without_usage(status)),
                    None => ExitState::AwaitsRecord,
                }
            }
            Record::Pending | Record::Lost | Record::Spoiled => {
                ExitState::Exited(self.ask_kernel()?)
            }
        })
    }

    /// The exit of a zombie, whose record may be anybody's, with the status that the kernel
    /// tells, if it does.
    fn with_kernels_status(&self, exit: Exit) -> Exit {
        match wait::zombie_status(self.pid, self.pidfd.as_fd()) {
            Some(status) => Exit { status, ..exit },
            None => exit,
        }
    }

    /// The exit of a child that was reaped, if the kernel keeps the status: the record may be
    /// anybody's. Usage and failure are the record's.
    fn kept_exit(&self, state: ProcessState, record: &Record) -> Result<Option<Exit>> {
        let is_reaped = match (state, record) {
            (ProcessState::Reaped, _) => true,
            // It may have been, since.
            (_, Record::Exit(_)) => self.state()? == ProcessState::Reaped,
            _ => false,
        };
        if !is_reaped {
            return Ok(None);
        }
        let exit = |status| match record {
            Record::Exit(exit) => Exit {
                status,
                ..exit.clone()
            },
            _ => self.without_usage(status),
        };
        Ok(pidfd::exit_status(self.pidfd.as_fd()).map(exit))
    }

    fn state(&self) -> Result<ProcessState> {
        pidfd::state(self.pidfd.as_fd())
            .map_err(|error| Error::io("look whether a worker has exited", error))
    }

    /// The exit of a child whose usage nobody has reported.
    fn without_usage(&self, status: i32) -> Exit {
        Exit {
            status,
            usage: Usage::default(),
            failure: self.status.failure(),
        }
    }

    /// The exit of a child that this process has adopted and reaped.
    fn reaped(&self, reaped: &wait::ExitRecord) -> Exit {
        let (user, system) = (reaped.user_micros, reaped.system_micros);
        Exit {
            status: reaped.status,
            usage: Usage::new(user, system, reaped.peak_memory),
            failure: self.status.failure(),
        }
    }

    /// Whether the template may still report what the child has used.
    fn expects_usage(&self) -> bool {
        let now = Instant::now();
        let deadline = self
            .usage_deadline
            .get_or_init(|| self.usage_timeout.deadline(now));
        let expects = self.is_before(*deadline, now);
        if !expects {
            self.usage_timeout.note_missed(now);
        }
        expects
    }

    /// Whether the template may be about to reap a child that it seems to have reported.
    fn expects_reap(&self) -> bool {
        let now = Instant::now();
        let deadline = self.reap_deadline.get_or_init(|| now + INTERVAL);
        self.is_before(*deadline, now)
    }

    /// Whether the deadline is to come. Sets the next look.
    fn is_before(&self, deadline: Instant, now: Instant) -> bool {
        let is_before = now < deadline;
        let next = if is_before { deadline } else { now + INTERVAL };
        *self
            .next_look
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(next);
        is_before
    }

    /// The exit of a child whose template did not live to report it, or of one that has
    /// written something else into its status pipe.
    fn ask_kernel(&self) -> Result<Exit> {
        let pidfd = self.pidfd.as_fd();
        if let Some(reaped) = wait::reap_adopted(pidfd) {
            return Ok(self.reaped(&reaped));
        }
        let status = pidfd::exit_status(pidfd)
            .or_else(|| wait::zombie_status(self.pid, pidfd))
            // There is no `/proc`, or the process is another user's. If its parent reaps
            // it, then about now, after which the kernel may tell.
            .or_else(|| poll::hangs_up_soon(pidfd).then(|| pidfd::exit_status(pidfd))?);
        match status {
            None => Err(status::lost(self.status.failure())),
            Some(status) => Ok(self.without_usage(status)),
        }
    }
}

/// The last handle is gone. The template kills the child too, when it sees the status
/// pipe closed; this is sooner, and needs no template.
impl Drop for Shared {
    fn drop(&mut self) {
        let exit = self.exit.get_mut().unwrap_or_else(PoisonError::into_inner);
        if exit.is_some() {
            return;
        }
        if self.kill_on_drop {
            let _ = kill::kill(self.pidfd.as_fd(), self.pid);
        }
        adopted::reap_child(&self.pidfd, None);
    }
}
