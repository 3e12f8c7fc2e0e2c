//! [`TemplateHandle`]: a template, as its owners hold it.
//! RUNS IN: caller
//!
//! It knows how a template is asked, how far its preparation is and whether it has
//! exited. It knows nothing of the processes that are started from it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::caller::templates::adopted;
use crate::caller::templates::startup::{Startup, open, read_startup};
use crate::caller::templates::usage_timeout::UsageTimeout;
use crate::early::TemplateSockets;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::control::{ControlMessage, SpareTarget};
use crate::sys::poll::Interest;
use crate::sys::rights::Rights;
use crate::sys::{deliver, pidfd, poll, socket, time, wait};

/// Timeout for a template's report to come, once one of its descriptors has closed.
const TIMEOUT_FOLLOW: Duration = Duration::from_millis(100);

/// A template that other processes are forked from. When the last owner is dropped, the
/// template exits once its children have.
///
/// The hang-up of its control socket reports its exit, unless a process that its
/// preparation has left behind holds the other end open. The pidfd reports it in any
/// case; it comes with the reply.
pub(crate) struct TemplateHandle {
    /// `None` only while the handle is dropped.
    control: Option<OwnedFd>,
    startup: Mutex<Startup>,
    /// The template's pidfd, if it has come before the reply.
    claimant: OnceLock<Arc<OwnedFd>>,
    /// The time since which the template's exit is known.
    lost_since: OnceLock<Instant>,
    /// The program's rights when this template was made for it. `None`: they are not
    /// compared.
    rights: Option<Rights>,
    /// Whether the program has ended this template because it has other rights now.
    replaced: AtomicBool,
    /// The template that this one is forked from. Without an owner it might exit
    /// before it has read the request.
    base: Option<Arc<TemplateHandle>>,
    /// The names of the init functions that prepare it.
    inits: String,
    pub(crate) usage_timeout: Arc<UsageTimeout>,
}

impl TemplateHandle {
    /// A template whose reply is still to come.
    pub(crate) fn new(sockets: TemplateSockets) -> TemplateHandle {
        TemplateHandle::with(sockets.control, open(sockets.reply), None)
    }

    /// A template that is forked off `base`, and whose reply is still to come. `inits`
    /// are the names of its init functions, for messages.
    pub(crate) fn forked(
        control: OwnedFd,
        reply: UnixStream,
        base: Arc<TemplateHandle>,
        inits: String,
    ) -> TemplateHandle {
        let mut handle = TemplateHandle::with(control, open(reply), Some(base));
        handle.inits = inits;
        handle
    }

    /// A default or early template, and the rights that the program had when it was
    /// made.
    pub(crate) fn of_program(sockets: TemplateSockets, rights: Option<Rights>) -> TemplateHandle {
        let mut handle = TemplateHandle::new(sockets);
        handle.rights = rights;
        handle
    }

    /// A template that another process has handed over.
    pub(crate) fn handed_over(control: OwnedFd) -> TemplateHandle {
        TemplateHandle::with(control, Startup::Elsewhere, None)
    }

    fn with(
        control: OwnedFd,
        startup: Startup,
        base: Option<Arc<TemplateHandle>>,
    ) -> TemplateHandle {
        TemplateHandle {
            control: Some(control),
            startup: Mutex::new(startup),
            claimant: OnceLock::new(),
            lost_since: OnceLock::new(),
            rights: None,
            replaced: AtomicBool::new(false),
            base,
            inits: String::new(),
            usage_timeout: Arc::default(),
        }
    }

    /// The rights that a program must have for using this template.
    pub(crate) fn rights(&self) -> Option<&Rights> {
        self.rights.as_ref()
    }

    /// Whether a caller with these rights may use it.
    pub(crate) fn fits(&self, rights: Option<&Rights>) -> bool {
        match (rights, &self.rights) {
            (Some(now), Some(then)) => now.are_those_of(then),
            _ => true,
        }
    }

    /// Notes that the program's requests go to another template, because the program has
    /// other rights than this one.
    pub(crate) fn note_replaced(&self) {
        self.replaced.store(true, Ordering::Relaxed);
    }

    /// Whether that was noted.
    pub(crate) fn is_replaced(&self) -> bool {
        self.replaced.load(Ordering::Relaxed)
    }

    /// Reaps the template, which has exited, if this process has adopted it.
    pub(crate) fn reap_if_adopted(&self) {
        if let Some(process) = self.process() {
            let _ = wait::reap_adopted(process.as_fd());
        }
    }

    /// Makes the template exit, also if others hold the control socket.
    pub(crate) fn shut_down(&self) {
        let _ = socket::shut_down(self.control());
    }

    /// Has the template keep so many spares: `false` if there is no room for the message.
    pub(crate) fn try_keep_warm(&self, count: u32) -> Result<bool> {
        let failed = |error| Error::io("set the number of a template's spares", error);
        let at = time::monotonic_nanos().map_err(failed)?;
        let bytes = ControlMessage::SetSpares(SpareTarget { count, at }).encode();
        let control = self.control();
        match deliver::send_if_room(control, &bytes, &[control], &mut { deliver::MAX_PAUSES }) {
            Ok(_) => Ok(true),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock if self.lost_since().is_none() => Ok(false),
                io::ErrorKind::WouldBlock
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::ConnectionReset => Err(self.why_gone()),
                _ => Err(failed(error)),
            },
        }
    }

    /// The socket that takes requests.
    pub(crate) fn control(&self) -> BorrowedFd<'_> {
        self.control.as_ref().expect("there until the drop").as_fd()
    }

    /// Reads the template's reply, if it has come. The pidfd that reports its exit comes
    /// with it.
    pub(crate) fn poll_startup(&self) {
        drop(self.startup());
    }

    /// The template's pid, if it has replied.
    pub(crate) fn pid(&self) -> Option<u32> {
        match &*self.startup() {
            Startup::Ready { pid, .. } => Some(*pid),
            _ => None,
        }
    }

    /// The pidfd of the template's process, also of one that never served.
    fn process(&self) -> Option<Arc<OwnedFd>> {
        self.pidfd().or_else(|| self.claimant.get().cloned())
    }

    /// The template's pidfd, if it has replied.
    pub(crate) fn pidfd(&self) -> Option<Arc<OwnedFd>> {
        match &*self.startup() {
            Startup::Ready { pidfd, .. } => pidfd.clone(),
            _ => None,
        }
    }

    /// Waits for the template's reply, but not long.
    fn await_startup(&self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        loop {
            let socket = match &*self.startup() {
                Startup::Open { socket, .. } => Arc::clone(socket),
                _ => return,
            };
            let waited = poll::wait(socket.as_fd(), Interest::Readable, Some(deadline));
            if !matches!(waited, Ok(true)) {
                return;
            }
        }
    }

    /// Why the template serves no more, for a launch that found out.
    pub(crate) fn why_gone(&self) -> Error {
        let failure = self.failure();
        failure.unwrap_or_else(|| Error::new(ErrorKind::TemplateGone, GONE))
    }

    /// Why this template never served, if it did not: its own report, or that of the
    /// template from which it was to be forked. A process that ends closes its descriptors
    /// one after the other, so the report is given a moment to come.
    fn failure(&self) -> Option<Error> {
        self.await_startup(TIMEOUT_FOLLOW);
        let silence = match &*self.startup() {
            Startup::Failed(error, _) => return Some(error.clone()),
            Startup::Ready { .. } => return None,
            Startup::Silent(error) => Some(error.clone()),
            Startup::Open { .. } | Startup::Elsewhere => None,
        };
        let base = self.base.as_ref().and_then(|base| base.failure());
        base.or(silence)
    }

    /// Whether it serves no more.
    pub(crate) fn is_gone(&self) -> bool {
        if self.has_failed() {
            return true;
        }
        let pidfd = self.pidfd();
        let mut fds = vec![(self.control(), Interest::HungUp)];
        fds.extend(pidfd.as_ref().map(|it| (it.as_fd(), Interest::Readable)));
        poll::is_any_ready(&fds, Duration::ZERO)
    }

    /// The time since which the template's exit is known from more than its control
    /// socket. `None`: look again when [`exit_fd`](TemplateHandle::exit_fd) is readable.
    pub(crate) fn lost_since(&self) -> Option<Instant> {
        let known = self.known_lost_since();
        if known.is_some() {
            return known;
        }
        let has_exited = match &*self.startup() {
            Startup::Failed(..) => true,
            Startup::Ready { pidfd, .. } => pidfd
                .as_ref()
                .is_some_and(|it| pidfd::has_exited(it.as_fd())),
            _ => false,
        };
        has_exited.then(|| *self.lost_since.get_or_init(Instant::now))
    }

    /// [`lost_since`](TemplateHandle::lost_since) without a look.
    pub(crate) fn known_lost_since(&self) -> Option<Instant> {
        self.lost_since.get().copied()
    }

    /// Whether its preparation has failed, and it never served.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(&*self.startup(), Startup::Failed(..))
    }

    /// A descriptor that is readable when the template has exited, or when another one
    /// reports that from then on. `None`: nothing reports it.
    pub(crate) fn exit_fd(&self) -> Option<Arc<OwnedFd>> {
        match &*self.startup() {
            Startup::Open { socket, .. } | Startup::Failed(_, socket) => Some(Arc::clone(socket)),
            Startup::Ready { pidfd, .. } => pidfd.clone(),
            Startup::Silent(_) | Startup::Elsewhere => None,
        }
    }

    /// Whether requests lie unread on the control socket.
    pub(crate) fn has_unread(&self) -> bool {
        socket::has_unread(self.control()).unwrap_or(false)
    }

    /// Checks that the preparation has succeeded and the template runs. While it is being
    /// prepared, returns a descriptor that is readable when there is more to know.
    pub(crate) fn try_prepared(&self) -> Result<Option<OwnedFd>> {
        if self.lost_since().is_some() {
            return Err(self.why_gone());
        }
        let socket = match &*self.startup() {
            Startup::Ready { .. } | Startup::Elsewhere => return Ok(None),
            Startup::Open { socket, .. } => Some(socket.try_clone()),
            Startup::Failed(..) | Startup::Silent(_) => None,
        };
        match socket {
            None => Err(self.why_gone()),
            Some(Ok(socket)) => Ok(Some(socket)),
            Some(Err(error)) => Err(Error::io("wait for a template", error)),
        }
    }

    /// A duplicate of the control socket, for another process.
    pub(crate) fn share(&self) -> Result<OwnedFd> {
        let shared = self.control().try_clone_to_owned();
        shared.map_err(|error| Error::io("hand a process over", error))
    }

    /// How far the preparation is, after reading the reply if it has come.
    fn startup(&self) -> MutexGuard<'_, Startup> {
        let mut startup = self.startup.lock().unwrap_or_else(PoisonError::into_inner);
        if let Startup::Open { socket, reader } = &mut *startup {
            let replied = read_startup(socket, reader);
            if let Some(claimant) = reader.claimant() {
                self.claimant.get_or_init(|| Arc::clone(claimant));
            }
            let Some(replied) = replied else {
                return startup;
            };
            // Others may wait for the reply, and would miss what was read here.
            let _ = socket::shut_down_receiving(socket.as_fd());
            *startup = match replied {
                Startup::Silent(error) if !self.inits.is_empty() => {
                    Startup::Silent(error.during(format_args!(
                        "prepare a template by the init function `{}`, which may have ended the \
                         process, closed descriptors of anyfork's, or forbidden system calls that \
                         a template needs (for a pool, a sandbox belongs in `Builder::init`)",
                        self.inits
                    )))
                }
                replied => replied,
            };
        }
        startup
    }
}

impl Drop for TemplateHandle {
    fn drop(&mut self) {
        if !wait::adopts_orphans() {
            return;
        }
        self.await_startup(adopted::TIMEOUT);
        let process = self.process();
        // So that the template exits, if this was its last owner.
        drop(self.control.take());
        match process {
            Some(process) => adopted::reap(process),
            None => adopted::reap_left(),
        }
    }
}

const GONE: &str = "the template process has ended (was it killed?); make a new process";
