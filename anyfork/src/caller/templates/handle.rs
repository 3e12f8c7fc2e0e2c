//! [`TemplateHandle`]: a template, as its owners hold it.
//!
//! How one comes to be: `default` (the early one, or one that is exec'ed and
//! kept), `exec`, or by a request to another, here.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::caller::launch::{Spawn, SpawnSpec, too_late};
use crate::caller::options::Options;
use crate::caller::spec::Setup;
use crate::caller::templates::adopted;
use crate::caller::trace::Trace;
use crate::early::TemplateSockets;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::control::{ControlMessage, SpareTarget};
use crate::protocol::reply;
use crate::protocol::request::Role;
use crate::spec::name::FunctionName;
use crate::sys::poll::Interest;
use crate::sys::rights::Rights;
use crate::sys::{pidfd, poll, socket, time, wait};

/// A template that other processes are forked from. Dropping the last owner
/// ends it once its children have ended.
///
/// That its control socket hangs up tells of its end, unless a process that its
/// preparation has left behind holds the other end open. The pidfd tells in any
/// case; it comes with the answer.
pub(crate) struct TemplateHandle {
    /// `None` only while the handle is dropped.
    control: Option<OwnedFd>,
    answer: Mutex<Startup>,
    /// Since when it is known that the template has ended.
    ended: OnceLock<Instant>,
    /// The rights of the program when this template of its own was made. `None`: nobody
    /// compares them.
    rights: Option<Rights>,
    /// The template that this one is forked from. Without an owner it might end
    /// before it has read our request.
    _base: Option<Arc<TemplateHandle>>,
}

/// What is known of the template's preparation.
enum Startup {
    /// Nothing yet: it will be said here.
    Open(Arc<OwnedFd>),
    Ready {
        pid: u32,
        /// `None` if there was no room for it.
        pidfd: Option<Arc<OwnedFd>>,
    },
    /// It has said why it serves nobody. The socket is readable from then on.
    Failed(Error, Arc<OwnedFd>),
    /// It has ended before it said anything, or could not say it.
    Silent(Error),
    /// It was given to another process.
    Elsewhere,
}

impl TemplateHandle {
    /// The owner's end of a template that was not asked for by a request.
    pub(crate) fn new(end: TemplateSockets) -> TemplateHandle {
        let answer = Startup::Open(Arc::new(end.reply.into()));
        TemplateHandle::with(end.control, answer, None)
    }

    /// A template that the program has without asking, and the rights that the program
    /// had then.
    pub(crate) fn of_program(sockets: TemplateSockets, rights: Option<Rights>) -> TemplateHandle {
        let mut handle = TemplateHandle::new(sockets);
        handle.rights = rights;
        handle
    }

    /// The rights that a program has to have for using this template.
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

    /// Reaps the template, which is gone, if this process has adopted it.
    pub(crate) fn reap_if_adopted(&self) {
        if let Startup::Ready {
            pidfd: Some(pidfd), ..
        } = &*self.answer()
        {
            let _ = wait::reap_adopted(pidfd.as_fd());
        }
    }

    /// Ends the template, whoever else holds the control socket.
    pub(crate) fn shut_down(&self) {
        let _ = socket::shut_down(self.control());
    }

    /// A template that another process has handed over. Its answer stayed there.
    pub(crate) fn handed_over(control: OwnedFd) -> TemplateHandle {
        TemplateHandle::with(control, Startup::Elsewhere, None)
    }

    fn with(
        control: OwnedFd,
        answer: Startup,
        base: Option<Arc<TemplateHandle>>,
    ) -> TemplateHandle {
        TemplateHandle {
            control: Some(control),
            answer: Mutex::new(answer),
            ended: OnceLock::new(),
            rights: None,
            _base: base,
        }
    }

    /// Forks a further template off `base`, which prepares itself by `setup`.
    /// Does not wait for it: if it fails, its children's launches say why.
    pub(crate) fn fork(
        base: &Arc<TemplateHandle>,
        mut setup: Setup,
        options: &Options,
    ) -> Result<TemplateHandle> {
        if base.ended().is_some() {
            return Err(base.why_gone());
        }
        let failed = |error| Error::io("fork a template", error);
        let (control, served) = socket::control_pair().map_err(failed)?;
        setup.close_pipes(options);
        let surroundings = setup.surroundings();
        let spec = SpawnSpec {
            role: Role::Template,
            body: setup.into_body(FunctionName::default(), options),
            control: Some(served),
            kill_on_drop: false,
            surroundings,
            bounding_set: None,
            deadline: options.deadline(),
        };
        let (mine, mut spawn) = Spawn::start(base, spec, Trace::none())?;
        spawn.send_blocking(mine.as_fd())?;
        let answer = Startup::Open(Arc::new(mine.into()));
        Ok(TemplateHandle::with(
            control,
            answer,
            Some(Arc::clone(base)),
        ))
    }

    /// Has the template keep so many spares. Waits for room, as a request does.
    pub(crate) fn keep_warm(&self, count: u32, deadline: Option<Instant>) -> Result<()> {
        let failed = |error| Error::io("keep a template's children warm", error);
        let at = time::monotonic_nanos().map_err(failed)?;
        let bytes = ControlMessage::SetSpares(SpareTarget { count, at }).encode();
        let control = self.control();
        loop {
            let error = match socket::send(control, &bytes, &[control]) {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            match error.kind() {
                io::ErrorKind::WouldBlock if self.ended().is_some() => return Err(self.why_gone()),
                io::ErrorKind::WouldBlock => {
                    let exit_fd = self.exit_fd();
                    let exit_fd = exit_fd.as_ref().map(|it| (it.as_fd(), Interest::Readable));
                    let mut fds = vec![(control, Interest::Writable)];
                    fds.extend(exit_fd);
                    let room = poll::wait_any(&fds, deadline);
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
    pub(crate) fn control(&self) -> BorrowedFd<'_> {
        self.control.as_ref().expect("there until the drop").as_fd()
    }

    /// Takes the template's answer, if it has come, and with it what tells of the
    /// template's end.
    pub(crate) fn poll_startup(&self) {
        drop(self.answer());
    }

    /// The template's pid, if it has answered.
    pub(crate) fn pid(&self) -> Option<u32> {
        match &*self.answer() {
            Startup::Ready { pid, .. } => Some(*pid),
            _ => None,
        }
    }

    /// Why there is no template any more, for a launch that found out.
    pub(crate) fn why_gone(&self) -> Error {
        let failure = self.failure();
        failure.unwrap_or_else(|| Error::new(ErrorKind::TemplateGone, GONE))
    }

    /// Why this template never served, if it did not: what it has said, or what one that
    /// it was to be forked from has said.
    fn failure(&self) -> Option<Error> {
        let silence = match &*self.answer() {
            Startup::Failed(error, _) => return Some(error.clone()),
            Startup::Ready { .. } => return None,
            Startup::Silent(error) => Some(error.clone()),
            Startup::Open(_) | Startup::Elsewhere => None,
        };
        let base = self._base.as_ref().and_then(|base| base.failure());
        base.or(silence)
    }

    /// Why a request has been lost without an answer: with the template, or by
    /// a template in whose full descriptor table there was no room even for the
    /// socket to answer on.
    ///
    /// A process that is killed closes its descriptors one after the other, so
    /// its control socket is given a moment to follow the request's.
    pub(crate) fn why_lost(&self) -> Error {
        if self.is_gone_within(Duration::from_millis(100)) {
            return self.why_gone();
        }
        let error = io::Error::from_raw_os_error(libc::EMFILE);
        let message = "the template has no room for the descriptors of a request, \
                       or the spare that took it was killed";
        Error::io(message, error)
    }

    /// Whether it serves no more.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone_within(Duration::ZERO)
    }

    fn is_gone_within(&self, patience: Duration) -> bool {
        let pidfd = match &*self.answer() {
            Startup::Failed(..) => return true,
            Startup::Ready { pidfd, .. } => pidfd.clone(),
            _ => None,
        };
        let mut ends = vec![(self.control(), Interest::HungUp)];
        ends.extend(pidfd.as_ref().map(|it| (it.as_fd(), Interest::Readable)));
        poll::is_any_ready(&ends, patience)
    }

    /// Since when it is known, not only by its control socket, that the template
    /// has ended. What is not known yet may be when [`exit_fd`](TemplateHandle::exit_fd) come.
    pub(crate) fn ended(&self) -> Option<Instant> {
        let known = self.ended_as_known();
        if known.is_some() {
            return known;
        }
        let has_ended = match &*self.answer() {
            Startup::Failed(..) => true,
            Startup::Ready { pidfd, .. } => pidfd
                .as_ref()
                .is_some_and(|it| pidfd::has_exited(it.as_fd())),
            _ => false,
        };
        has_ended.then(|| *self.ended.get_or_init(Instant::now))
    }

    /// The same without a look.
    pub(crate) fn ended_as_known(&self) -> Option<Instant> {
        self.ended.get().copied()
    }

    /// Whether it has ended without having served anybody.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(&*self.answer(), Startup::Failed(..))
    }

    /// What is readable when the template has ended, or when that can be told by
    /// something else from then on; `None` if nothing tells.
    pub(crate) fn exit_fd(&self) -> Option<Arc<OwnedFd>> {
        match &*self.answer() {
            Startup::Open(socket) | Startup::Failed(_, socket) => Some(Arc::clone(socket)),
            Startup::Ready { pidfd, .. } => pidfd.clone(),
            _ => None,
        }
    }

    /// Whether requests lie unread on the control socket.
    pub(crate) fn has_unread(&self) -> bool {
        socket::has_unread(self.control()).unwrap_or(false)
    }

    /// Whether the preparation has succeeded, and the template is there yet; else
    /// what tells more when it is readable.
    pub(crate) fn prepared(&self) -> Result<Option<OwnedFd>> {
        if self.ended().is_some() {
            return Err(self.why_gone());
        }
        let socket = match &*self.answer() {
            Startup::Ready { .. } | Startup::Elsewhere => return Ok(None),
            Startup::Open(socket) => socket.try_clone(),
            Startup::Failed(..) | Startup::Silent(_) => Err(io::ErrorKind::NotConnected.into()),
        };
        match socket {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Err(self.why_gone()),
            socket => socket
                .map(Some)
                .map_err(|error| Error::io("wait for a template", error)),
        }
    }

    /// Waits until the preparation has succeeded or failed.
    pub(crate) fn wait_prepared(&self, deadline: Option<Instant>) -> Result<()> {
        while let Some(socket) = self.prepared()? {
            let there = poll::wait(socket.as_fd(), Interest::Readable, deadline);
            if !there.map_err(|error| Error::io("wait for a template", error))? {
                return Err(too_late("the preparation of a template"));
            }
        }
        Ok(())
    }

    /// The control socket, for another process to use.
    pub(crate) fn share(&self) -> Result<OwnedFd> {
        let shared = self.control().try_clone_to_owned();
        shared.map_err(|error| Error::io("hand a process over", error))
    }

    /// The answer, read if it has come.
    fn answer(&self) -> std::sync::MutexGuard<'_, Startup> {
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Startup::Open(socket) = &*answer
            && let Some(read) = read_answer(socket)
        {
            // Others may wait for it, and would miss what was read here.
            let _ = socket::shut_down_receiving(socket.as_fd());
            *answer = read;
        }
        answer
    }
}

impl Drop for TemplateHandle {
    fn drop(&mut self) {
        if !wait::adopts_orphans() {
            return;
        }
        let pidfd = match &*self.answer() {
            Startup::Ready { pidfd, .. } => pidfd.clone(),
            _ => None,
        };
        // So that the template exits, if this was its last owner.
        drop(self.control.take());
        match pidfd {
            Some(pidfd) => adopted::reap(pidfd),
            None => adopted::reap_left(),
        }
    }
}

/// Reads a template's answer; `None` while there is none. A template writes it
/// at once, so what follows the head is there with it.
fn read_answer(socket: &Arc<OwnedFd>) -> Option<Startup> {
    let protocol = |error| Startup::Silent(Error::from(error));
    let mut head = [0; reply::HEAD_LEN];
    let mut fds = Vec::new();
    match socket::receive(socket.as_fd(), &mut head, &mut fds) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
        Ok(received) if received.len == reply::HEAD_LEN => {}
        _ => {
            let message = "the template process has ended before it was ready";
            return Some(Startup::Silent(Error::new(
                ErrorKind::TemplateGone,
                message,
            )));
        }
    }
    Some(match reply::parse_head(&head) {
        Err(malformed) => protocol(malformed),
        Ok(reply::Head::Ready { pid }) => {
            let pidfd = fds.pop().map(Arc::new);
            Startup::Ready { pid, pidfd }
        }
        Ok(reply::Head::Hello) => return read_answer(socket),
        Ok(reply::Head::Failed { kind, rest }) => {
            let mut text = vec![0; rest];
            let read =
                socket::receive(socket.as_fd(), &mut text, &mut fds).map_or(0, |got| got.len);
            reply::parse_failure(kind, &text[..read])
                .map_or_else(protocol, |error| Startup::Failed(error, Arc::clone(socket)))
        }
    })
}

const GONE: &str = "the template process has ended (was it killed?); make a new process";
