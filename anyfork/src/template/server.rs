//! The event loop of a template: one request, one fork.
//! RUNS IN: template
//!
//! No request leaves anything in the template: its descriptors are closed after the
//! fork, and its body is the child's to read, but for the name of a worker. What the
//! template keeps of a child is in [`Children`].
//!
//! Descriptors that the program's code has opened in the template are inherited by all
//! children, as by any process's: a log file that a preload function opens stays open.
//! Descriptors that the program was started with are closed before, unless
//! `#[anyfork::early(keep_fds)]` asks for them: a template must not hold open what the
//! user does not know of, such as the pipe of a `make` that waits for its end.
//!
//! `boot` and [`follow`] make a [`Template`]; a child leaves the loop for good with
//! [`follow`], to which `child` returns what is left to do.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::process;
use std::time::{Duration, Instant};

use crate::args::Args;
use crate::child::fast_path::FastPath;
use crate::child::fd_limit::Limits;
use crate::child::own_limits;
use crate::child::privacy;
use crate::child::reply::{answer_failure, own_pidfd, refuse, send_ready};
use crate::child::request::{Arrival, Request};
use crate::child::role::{self, Inherited, NewTemplate, Next};
use crate::child::run::PANICKED;
use crate::child::spare::{self, SpareContext};
use crate::child::title::Titles;
use crate::child::trust::Trust;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol;
use crate::protocol::control::ControlMessage;
use crate::protocol::request::HEAD_LEN;
use crate::sys::epoll::Epoll;
use crate::sys::fork::Side;
use crate::sys::socket::Wait;
use crate::sys::threads::OneThread;
use crate::sys::{epoll, fd, fork, poll, threads, tools};
use crate::template::children::Children;
use crate::template::patience::Patience;
use crate::template::programs::Programs;
use crate::template::spares::SparePool;
use crate::template::token::Token;

/// A template that is ready to serve.
pub(crate) struct Template {
    /// `None` before the template serves, and once the last owner is gone.
    control: Option<OwnedFd>,
    /// Whether the template receives requests, and not only its spares.
    receives: bool,
    children: Children,
    /// The programs that still use its memory.
    programs: Programs,
    spares: SparePool,
    /// Whether the spares take the requests.
    patience: Patience,
    /// The arguments that every child gets first.
    args: Args,
    /// The descriptors that the program's code has opened, which every child inherits.
    shared: Vec<RawFd>,
    /// Zero but while a request is in it.
    buffer: Vec<u8>,
    titles: Titles,
    trust: Trust,
}

impl Template {
    /// A template that will serve `control` and gives its children `args` first. `own`
    /// are the library's other descriptors, which no child inherits.
    pub(crate) fn new(
        one_thread: OneThread,
        control: BorrowedFd<'_>,
        args: Args,
        own: &[BorrowedFd<'_>],
    ) -> Result<Template> {
        let failed = |error| Error::io("start a template", error);
        // Without `/proc`, no child inherits what the program's code has opened.
        let mut shared = fd::open_above_standard().unwrap_or_default();
        shared.retain(|fd| {
            let is_own = own.iter().any(|it| it.as_raw_fd() == *fd);
            !is_own && control.as_raw_fd() != *fd
        });
        let events = Epoll::new().map_err(failed)?;
        events
            .add(control, Token::Control.encode())
            .map_err(failed)?;
        // For the spares, which wait in recvmsg. The template never waits there.
        fd::set_blocking(control).map_err(failed)?;
        let limits = Limits::raise(control).map_err(failed)?;
        threads::single_flag();
        privacy::close();
        Ok(Template {
            control: None,
            receives: true,
            children: Children::new(one_thread, events, limits),
            programs: Programs::default(),
            spares: SparePool::default(),
            patience: Patience::new(Instant::now()),
            args,
            shared,
            buffer: vec![0; protocol::MAX_REQUEST + 1],
            titles: Titles::now(),
            trust: Trust::now(),
        })
    }

    /// Keeps this number of spares from the start.
    pub(crate) fn with_spares(mut self, target: usize) -> Template {
        self.spares = SparePool::new(target);
        self
    }

    /// Serves until the last owner is gone, and the last child that somebody asks for is
    /// reaped.
    pub(crate) fn serve(mut self, control: OwnedFd) -> ! {
        self.control = Some(control);
        let mut buffer = epoll::event_buffer::<64>();
        while self.control.is_some() || !self.children.is_empty() {
            let timeout = self.timeout();
            self.programs.sweep();
            let Ok(ready) = self.children.events.wait(&mut buffer, timeout) else {
                // A bug, or the kernel has no memory.
                fork::exit_now(1)
            };
            let mut tokens = ready.filter_map(Token::decode).peekable();
            self.children.look_at_unwatched();
            let is_quiet = tokens.peek().is_none();
            if !is_quiet {
                self.spares.on_event(Instant::now());
            }
            if self.children.spares() > 0 {
                self.look_for_unread(is_quiet);
            }
            if is_quiet && self.next_spare().is_some_and(|delay| delay.is_zero()) {
                // Fork a spare only when there is nothing else to do.
                self.fork_spare();
                self.children.delegate_excess();
                self.update_receiving();
                continue;
            }
            // Serve requests before exits: a caller blocks on the former only.
            let requests = tokens.clone().filter(|token| *token == Token::Control);
            let others = tokens.filter(|token| *token != Token::Control);
            for token in requests.chain(others) {
                self.spares.allow_retry();
                self.on_event(token);
                self.spares.dismiss_surplus(&self.children);
                self.children.delegate_excess();
                self.update_receiving();
            }
        }
        self.children.kill_monitors();
        self.children.reap_let_go();
        tools::write_profile();
        fork::exit_now(0)
    }

    /// How long to wait for events: until the next spare is to be forked, or until the
    /// next look at the control socket.
    fn timeout(&self) -> Option<Duration> {
        let next_spare = self.next_spare();
        let has_spares = self.control.is_some() && self.children.spares() > 0;
        let next_look = has_spares.then(|| self.patience.remaining(Instant::now()));
        let next_reap = self.children.next_reap();
        next_spare
            .into_iter()
            .chain(next_look)
            .chain(next_reap)
            .min()
    }

    /// How long to wait for events before the next spare is forked, if one is lacking.
    fn next_spare(&self) -> Option<Duration> {
        let lacks = self.lacks_spares();
        lacks.then(|| self.spares.delay(self.children.spares(), Instant::now()))
    }

    /// Looks, when it is time, whether the spares leave something on the control socket.
    fn look_for_unread(&mut self, is_quiet: bool) {
        let Some(control) = &self.control else { return };
        let now = Instant::now();
        if self.patience.remaining(now).is_zero() {
            let is_unread = poll::is_readable(control.as_fd());
            if is_unread {
                // A spare that has taken a request may not have woken the template.
                self.spares.read_notices(&mut self.children);
                self.children.delegate_excess();
            }
            match self.spares.have_taken() {
                true => self.patience.on_taken(now),
                false => self.patience.on_look(is_unread, now),
            }
            if !self.patience.takes_over() {
                self.spares.dismiss_again();
                self.spares.dismiss_surplus(&self.children);
            }
            self.update_receiving();
        }
        if !is_quiet {
            self.patience.on_event(now);
        }
    }

    fn on_event(&mut self, token: Token) {
        match token {
            Token::Control => self.receive(),
            Token::Notices => self.spares.read_notices(&mut self.children),
            Token::Exited(pid) if self.children.is_spare(pid) => {
                self.spares.on_exited(pid, &mut self.children);
            }
            Token::Exited(pid) => self.children.on_exited(pid),
            Token::Abandoned(pid) => self.children.on_abandoned(pid),
            Token::Monitor(pid) => self.children.on_monitor(pid),
        }
    }

    /// Receives one message from the control socket, unless a spare was faster, and
    /// forks if it is a request.
    fn receive(&mut self) {
        let Some(control) = &self.control else { return };
        let limits = &self.children.limits;
        let arrival = Request::receive(
            control.as_fd(),
            Wait::No,
            &mut self.buffer,
            limits,
            self.trust,
        );
        self.patience.on_received();
        let request = match arrival {
            Arrival::Nothing => return,
            Arrival::Control(ControlMessage::ExitSpare, _) => return self.spares.on_undelivered(),
            Arrival::Closed => return self.retire(),
            Arrival::Control(ControlMessage::SetSpares(target), owner) => {
                return self.spares.set_target(target, owner, &self.children);
            }
            Arrival::Refused | Arrival::NoRoom => return self.buffer.fill(0),
            Arrival::Request(request) => request,
        };
        let used = request.body.len() + HEAD_LEN;
        if self.children.fds_are_scarce() {
            answer_failure(&request.socket, &self.children.limits.full());
        } else {
            let inherited = Inherited {
                args: &mut self.args,
                shared: &self.shared,
                limits: &self.children.limits,
                trust: self.trust,
            };
            let started = match self.programs.start(&request, &inherited) {
                Some(started) => started,
                None => {
                    let fast_path = FastPath::of(&request, &inherited, &self.titles);
                    match fork::fork(self.children.one_thread) {
                        Ok(Side::Parent(pid)) => Ok(pid),
                        Err(error) => Err(error),
                        Ok(Side::Child(one_thread)) => {
                            let _guard = ExitOnUnwind;
                            match fast_path {
                                Some(fast_path) => fast_path.run(one_thread, request),
                                None => follow(role::isolate_and_take_on(
                                    one_thread, request, inherited,
                                )),
                            }
                        }
                    }
                }
            };
            match started {
                Ok(pid) => {
                    let kill_on_drop = request.head.kill_on_drop;
                    request.surroundings.close();
                    self.children.add(pid, request.status, kill_on_drop);
                }
                Err(error) => {
                    let reason = own_limits::reason_of_refused_fork(&error);
                    let what = format!("the template could not fork{reason}");
                    let error = Error::os(ErrorKind::ForkFailed, what, error);
                    answer_failure(&request.socket, &error);
                }
            }
        }
        // The next child must not find this request in its copy of the memory.
        self.buffer[..used].fill(0);
    }

    /// The last owner is gone: no request can come any more. The spares notice it by
    /// themselves.
    fn retire(&mut self) {
        if let Some(control) = self.control.take() {
            let _ = self.children.events.remove(&control);
            self.children.on_owners_gone();
        }
    }

    /// Whether the template should fork another spare, and can.
    fn lacks_spares(&self) -> bool {
        self.control.is_some() && self.spares.lacks_spares(&self.children)
    }

    fn fork_spare(&mut self) {
        let template = process::id();
        let Some((one_thread, notifier)) = self.spares.fork_spare(&mut self.children) else {
            return;
        };
        let _guard = ExitOnUnwind;
        let Some(control) = self.control.take() else {
            fork::exit_now(1)
        };
        follow(spare::wait_for_role(
            one_thread,
            SpareContext {
                control,
                notifier,
                template,
                buffer: &mut self.buffer,
                inherited: Inherited {
                    args: &mut self.args,
                    shared: &self.shared,
                    limits: &self.children.limits,
                    trust: self.trust,
                },
            },
        ))
    }

    /// Leaves the requests to the spares while there are any that take them. The end of
    /// the last owner is reported in any case.
    fn update_receiving(&mut self) {
        let receives = self.children.spares() == 0 || self.patience.takes_over();
        let (events, token) = (&self.children.events, Token::Control.encode());
        if let Some(control) = &self.control
            && receives != self.receives
            && events.modify(control, token, receives).is_ok()
        {
            self.receives = receives;
        }
    }
}

/// Does, in a child, what is left to do once it has taken on its role. The caller holds
/// an [`ExitOnUnwind`].
fn follow(next: Next) -> ! {
    match next {
        Next::Exit(code) => role::exit(code),
        Next::Serve(template) => serve_as(template),
    }
}

/// Serves as the template that this process has become.
fn serve_as(new: NewTemplate) -> ! {
    let NewTemplate {
        one_thread,
        control,
        reply,
        status,
        args,
        spares,
    } = new;
    let ours = [reply.as_fd(), status.as_fd()];
    let template = Template::new(one_thread, control.as_fd(), args, &ours);
    match template.and_then(|template| Ok((template, own_pidfd()?))) {
        // Reply before the control socket closes: a caller that finds it closed looks
        // for the reason.
        Err(error) => role::exit(refuse(&reply, &error)),
        Ok((template, pidfd)) => {
            // A failure is no reason to exit: an owner that is gone may have left
            // requests behind, which are served first.
            let _ = send_ready(&reply, &pidfd);
            drop(pidfd);
            template.with_spares(spares).serve(control)
        }
    }
}

/// Exits when a panic drops it: no panic may unwind from a child, or from the loop that
/// it serves, into the loop of its template, of which the child has a copy.
struct ExitOnUnwind;

impl Drop for ExitOnUnwind {
    fn drop(&mut self) {
        fork::exit_now(PANICKED)
    }
}
