//! The loop of a template: takes requests, forks, and collects the children.
//!
//! Nothing a request brings stays here: its descriptors are closed after the
//! fork, its body is read by the child, but for a worker's name. What the
//! template keeps of a child is in `reap`, and of those that are many in `kept`.
//!
//! What code of the program's has opened here, before the template serves, its
//! children have, too, as the children of any process do: a preload's log file
//! stays a log file. What the program was started with is closed before, unless
//! `#[anyfork::early(keep_fds)]` asks for it: a template holds open what is
//! nobody's business here otherwise, such as the pipe of a `make` that waits.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use crate::args::Args;
use crate::child::fast_path::Plain;
use crate::child::fd_limit::Limits;
use crate::child::reply::{answer_failure, refuse, say_ready};
use crate::child::request::{Arrival, Request};
use crate::child::role::{self, Inherited, NewTemplate, Next};
use crate::child::run::PANICKED;
use crate::child::spare::{self, Channel, SpareContext};
use crate::child::title::Titles;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol;
use crate::protocol::control::{ControlMessage, SpareTarget};
use crate::protocol::notice::SpareNotice;
use crate::protocol::request::HEAD_LEN;
use crate::sys::epoll::Epoll;
use crate::sys::fork::Side;
use crate::sys::socket::Wait;
use crate::sys::{epoll, fd, fork, socket};
use crate::template::children::Children;
use crate::template::spares::Young;

/// The tokens of the template's own sockets; the children's are their pids.
const CONTROL: u64 = 0;
const NOTICES: u64 = u32::MAX as u64;

/// A template at work.
pub(crate) struct Template {
    /// `None` before it serves, and once the last owner is gone.
    control: Option<OwnedFd>,
    /// Whether requests are waited for here, and not only by the spares.
    listens: bool,
    events: Epoll,
    children: Children,
    warm: Warm,
    /// What was given to this process before it was forked from.
    args: Args,
    /// What the program's code has opened here, for all children to have.
    shared: Vec<RawFd>,
    buffer: Vec<u8>,
    limits: Limits,
    titles: Titles,
}

/// What there is for spares.
#[derive(Default)]
struct Warm {
    wanted: usize,
    /// When that was said.
    said: u64,
    /// So many are to be told to end, through this owner's end: held until there
    /// is room for it in the queue, which the spares make.
    surplus: Option<(usize, OwnedFd)>,
    /// What they and the template talk over, once there are any.
    channel: Option<Channel>,
    /// The last one could not be forked: not before something has happened.
    failed: bool,
    /// Those that were forked just now.
    young: Young,
}

impl Warm {
    /// How long the next spare is put off. The one that was just taken, and its
    /// caller, have use for the processors now; there is no hurry while there are
    /// others. More so if the last ones have died at their start.
    fn pause(&self, children: &Children) -> Duration {
        const PAUSE: Duration = Duration::from_micros(300);
        let pause = match 2 * children.idle() >= self.wanted {
            true => PAUSE,
            false => Duration::ZERO,
        };
        pause.max(self.young.delay(Instant::now()))
    }
}

impl Template {
    /// A template that is to serve `control` and gives its children `args` first.
    /// `own` are the other descriptors here that are the library's.
    pub(crate) fn new(
        control: BorrowedFd<'_>,
        args: Args,
        own: &[BorrowedFd<'_>],
    ) -> Result<Template> {
        let failed = |error| Error::io("start a template", error);
        // Without `/proc` nobody knows what the program's code has opened.
        let mut shared = fd::open_above_standard().unwrap_or_default();
        shared.retain(|fd| {
            let is_own = own.iter().any(|it| it.as_raw_fd() == *fd);
            !is_own && control.as_raw_fd() != *fd
        });
        let events = Epoll::new().map_err(failed)?;
        events.add(control, CONTROL).map_err(failed)?;
        // Spares wait in their receiving; the template never does.
        fd::set_blocking(control).map_err(failed)?;
        let limits = Limits::raise(control).map_err(failed)?;
        Ok(Template {
            control: None,
            listens: true,
            events,
            children: Children::new(),
            warm: Warm::default(),
            args,
            shared,
            buffer: vec![0; protocol::MAX_REQUEST + 1],
            limits,
            titles: Titles::now(),
        })
    }

    /// Begins with so many spares.
    pub(crate) fn keep_warm(mut self, count: usize) -> Template {
        self.warm.wanted = count;
        self
    }

    /// Serves until the last owner is gone and the last child is collected.
    pub(crate) fn serve(mut self, control: OwnedFd) -> ! {
        self.control = Some(control);
        let mut room = epoll::event_buffer::<64>();
        while self.control.is_some() || !self.children.is_empty() {
            // A spare is forked when there is nothing else to do.
            let limit = self.lacks_spares().then(|| self.warm.pause(&self.children));
            let Ok(ready) = self.events.wait(&mut room, limit) else {
                // Only a bug or exhausted kernel memory gets here.
                fork::exit_now(1)
            };
            let mut idle = true;
            // Who asks is waiting for the answer; who has ended can wait.
            let asked = ready.clone().filter(|token| *token == CONTROL);
            let others = ready.filter(|token| *token != CONTROL);
            for token in asked.chain(others) {
                idle = false;
                self.warm.failed = false;
                match token {
                    CONTROL => self.receive(),
                    NOTICES => self.read_notices(),
                    child => {
                        // It may have ended before its notice was read.
                        if self.children.is_idle(child) {
                            self.read_notices();
                        }
                        let was_idle = self.children.is_idle(child);
                        self.children.attend(child, &self.events, &self.limits);
                        if was_idle && !self.children.is_idle(child) {
                            self.warm.young.end(child, Instant::now());
                        }
                    }
                }
                self.end_surplus();
                self.children.lighten(&self.events, &self.limits);
                self.listen();
            }
            if idle && self.lacks_spares() {
                self.add_spare();
                self.listen();
            }
        }
        self.children.dismiss_keepers();
        fork::exit_now(0)
    }

    /// Takes one request, if there is one.
    fn receive(&mut self) {
        let Some(control) = &self.control else { return };
        let control = control.as_fd();
        let arrival = Request::receive(control, Wait::No, &mut self.buffer, &self.limits);
        let request = match arrival {
            // One for a spare, which are fewer already.
            Arrival::Nothing | Arrival::Control(ControlMessage::ExitSpare, _) => return,
            Arrival::Closed => return self.retire(),
            Arrival::Control(ControlMessage::SetSpares(wanted), owner) => {
                return self.set_spares(wanted, owner);
            }
            Arrival::Refused => return self.buffer.fill(0),
            Arrival::Request(request) => request,
        };
        let used = request.body.len() + HEAD_LEN;
        if self.limits.are_near(self.children.descriptors()) {
            answer_failure(&request.socket, &self.limits.full());
        } else {
            let inherited = Inherited {
                args: &mut self.args,
                shared: &self.shared,
                limits: &self.limits,
            };
            let plain = Plain::of(&request, &inherited, &self.titles);
            match fork::fork() {
                Ok(Side::Child) => match plain {
                    Some(plain) => plain.run(request),
                    None => follow(role::isolate_and_take_on(request, inherited)),
                },
                Ok(Side::Parent(pid)) => {
                    let kill_on_drop = request.head.kill_on_drop;
                    self.children
                        .add(pid, request.status, kill_on_drop, &self.events);
                }
                Err(error) => {
                    let what = "the template could not fork";
                    let error = Error::os(ErrorKind::ForkFailed, what, error);
                    answer_failure(&request.socket, &error);
                }
            }
        }
        // The next child's memory begins as a copy of this one.
        self.buffer[..used].fill(0);
    }

    /// The last owner is gone: no more requests. The spares see it, too.
    fn retire(&mut self) {
        if let Some(control) = self.control.take() {
            let _ = self.events.remove(&control);
        }
    }

    /// Whether another spare is to be forked, and can be.
    fn lacks_spares(&self) -> bool {
        self.control.is_some()
            && self.children.idle() < self.warm.wanted
            && !self.warm.failed
            && !self.limits.are_near(self.children.descriptors())
    }

    /// Forks a spare.
    fn add_spare(&mut self) {
        self.warm.failed = self.try_add_spare().is_err();
    }

    fn try_add_spare(&mut self) -> io::Result<()> {
        if self.warm.channel.is_none() {
            let channel = Channel::new()?;
            self.events.add(&channel.bell, NOTICES)?;
            self.warm.channel = Some(channel);
            self.limits.count(Channel::DESCRIPTORS);
        }
        let template = std::process::id();
        match fork::fork()? {
            Side::Parent(pid) => match self.children.add_spare(pid, &self.events) {
                true => {
                    self.warm.young.add(pid.into(), Instant::now());
                    Ok(())
                }
                false => Err(io::ErrorKind::OutOfMemory.into()),
            },
            Side::Child => {
                let control = self.control.take();
                let channel = self.warm.channel.take();
                let (Some(control), Some(channel)) = (control, channel) else {
                    fork::exit_now(1)
                };
                follow(spare::wait_for_role(SpareContext {
                    control,
                    channel,
                    template,
                    buffer: &mut self.buffer,
                    inherited: Inherited {
                        args: &mut self.args,
                        shared: &self.shared,
                        limits: &self.limits,
                    },
                }))
            }
        }
    }

    /// Reads what spares have to say.
    fn read_notices(&mut self) {
        if let Some(channel) = &self.warm.channel {
            // Before the reading: what comes after it rings again.
            channel.bell.clear();
        }
        while let Some(channel) = &self.warm.channel {
            let (mut bytes, mut fds) = ([0; SpareNotice::LEN], Vec::new());
            let Ok(received) = socket::receive(channel.reads.as_fd(), &mut bytes, &mut fds) else {
                return;
            };
            match (SpareNotice::parse(&bytes[..received.len]), fds.pop()) {
                (Some(SpareNotice::Taken { pid, kill_on_drop }), Some(status)) => {
                    self.warm.young.forget();
                    self.children.take(pid, status, kill_on_drop, &self.events);
                }
                // There was no room for its status pipe.
                (Some(SpareNotice::Taken { pid, .. }), None) => self.children.lose(pid),
                (Some(SpareNotice::SetSpares(wanted)), owner) => self.set_spares(wanted, owner),
                (None, _) => {}
            }
        }
    }

    /// From now on there are so many spares. Those that are too many are told to
    /// end, each by a message that one of them gets: so none can be on the way to
    /// a request that it has just taken.
    fn set_spares(&mut self, wanted: SpareTarget, owner: Option<OwnedFd>) {
        // What was said before may be heard later, from another spare.
        if wanted.at < self.warm.said {
            return;
        }
        self.warm.said = wanted.at;
        self.warm.young.forget();
        self.warm.wanted = wanted.count as usize;
        let surplus = self.children.idle().saturating_sub(self.warm.wanted);
        self.warm.surplus = owner.map(|owner| (surplus, owner));
        self.end_surplus();
    }

    /// Tells those to end for whom there is room in the queue now.
    fn end_surplus(&mut self) {
        while let Some((left, owner)) = &mut self.warm.surplus {
            if *left > 0 {
                match socket::send(owner.as_fd(), &ControlMessage::ExitSpare.encode(), &[]) {
                    Ok(_) => {
                        *left -= 1;
                        continue;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                    Err(_) => {}
                }
            }
            self.warm.surplus = None;
        }
    }

    /// Waits for requests here if there is no spare to do it; in any case for the
    /// owners' end.
    fn listen(&mut self) {
        let listens = self.children.idle() == 0;
        if let Some(control) = &self.control
            && listens != self.listens
            && self.events.modify(control, CONTROL, listens).is_ok()
        {
            self.listens = listens;
        }
    }
}

/// In a child: does what is left once it has taken on its role.
fn follow(next: Next) -> ! {
    match next {
        Next::Exit(code) => role::exit(code),
        Next::Serve(template) => {
            let _guard = ExitOnUnwind;
            serve_as(template)
        }
    }
}

/// Serves as the template that this process has become.
fn serve_as(new: NewTemplate) -> ! {
    let NewTemplate {
        control,
        reply,
        status,
        args,
        spares,
    } = new;
    let ours = [reply.as_fd(), status.as_fd()];
    match Template::new(control.as_fd(), args, &ours) {
        // Before the control socket closes: who finds it closed asks why.
        Err(error) => role::exit(refuse(&reply, &error)),
        Ok(template) => {
            // The owner may be gone already, having left requests behind: they are
            // served before the end.
            let _ = say_ready(&reply);
            template.keep_warm(spares).serve(control)
        }
    }
}

/// Exits when it is dropped by a panic: nothing may unwind from a child's loop into
/// its template's, whose memory the child has a copy of.
struct ExitOnUnwind;

impl Drop for ExitOnUnwind {
    fn drop(&mut self) {
        fork::exit_now(PANICKED)
    }
}
