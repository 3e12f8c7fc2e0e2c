//! A plain request: a worker and its arguments, and nothing else.
//!
//! Most requests are. The template takes such a one apart itself, where all that
//! this touches is in memory and in its page tables already, looks the worker up,
//! and begins the call; it forks at the last moment, when the worker is about to
//! be entered, or code of the user's would run. So a child begins its life right
//! before the worker, and a mistake in a request costs no fork.

use std::mem;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;

use super::child::{self, end_with};
use super::enter::{self, conclude, enter, say_ready};
use super::limits::Limits;
use super::lookup::own_worker;
use super::prepare;
use super::report::Beginning;
use super::request::Request;
use super::serve::{Template, answer_failure, fork_for_request};
use crate::args::Args;
use crate::call::{Call, Host};
use crate::early;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::body::Body;
use crate::protocol::request::{Place, Then};
use crate::registry::Function;
use crate::sys::descriptor::Kept;
use crate::sys::fork::Side;
use crate::sys::signal;
use crate::sys::title::Title;

/// A larger body is the child's business: a template does not grow by it.
const LARGEST: usize = 2048;

/// A plain request.
pub(super) struct Plain {
    worker: &'static Function,
    args: Args,
    socket: UnixStream,
    status: OwnedFd,
    kill_on_drop: bool,
    /// The numbers of its descriptors.
    received: Vec<RawFd>,
}

impl Plain {
    /// Takes a request apart, if it is a plain one; `None` if it was answered.
    pub(super) fn take<'a>(
        request: Request<'a>,
        inherited: &Args,
    ) -> Result<Option<Plain>, Request<'a>> {
        let head = &request.head;
        let is_plain = head.then == Then::Worker
            && head.place == Place::Here
            && head.following == 0
            && request.body.len() <= LARGEST
            && Body::is_plain(request.body)
            && inherited.len() == 0
            && !prepare::has_hooks();
        if !is_plain {
            return Err(request);
        }
        let own = [request.socket.as_raw_fd(), request.status.as_raw_fd()];
        let attached = request.attached.iter().map(AsRawFd::as_raw_fd);
        let received = own.into_iter().chain(attached).collect();
        let found = Body::parse_plain(request.body, request.attached)
            .map_err(Error::from)
            .and_then(|(name, args)| Ok((own_worker(name)?, args)));
        let (worker, args) = match found {
            Ok(found) => found,
            Err(error) => {
                answer_failure(&request.socket, &error);
                return Ok(None);
            }
        };
        Ok(Some(Plain {
            worker,
            args,
            socket: request.socket,
            status: request.status,
            kill_on_drop: request.head.kill_on_drop,
            received,
        }))
    }

    /// Starts the worker. In the child, this does not return.
    pub(super) fn start(self, template: &mut Template) {
        let worker = self.worker;
        let mut host = Forking {
            template,
            worker,
            status: Some(self.status),
            kill_on_drop: self.kill_on_drop,
            received: self.received,
            stage: Stage::Template,
        };
        let mut call = Call::worker(worker.name, self.args, self.socket, &mut host);
        let returned = enter(worker, &mut call);
        let socket = call.into_socket();
        match host.stage {
            Stage::Child => end_with(|| conclude(returned, socket.as_ref())),
            Stage::Forked => {}
            Stage::Template => {
                let error = match returned {
                    Ok(Err(error)) => error,
                    // Neither can be: what the attributes make asks the host
                    // before it enters, and what runs until then does not panic.
                    Ok(Ok(_)) | Err(_) => Error::new(ErrorKind::Protocol, "a call was lost"),
                };
                if let Some(socket) = socket {
                    answer_failure(&socket, &error);
                }
            }
        }
    }
}

/// Where a call is.
#[derive(Clone, Copy)]
enum Stage {
    /// In the template.
    Template,
    /// In the template, which has forked: the child goes on with it.
    Forked,
    /// In the worker's own process.
    Child,
}

/// A template that forks in the middle of a call.
struct Forking<'a> {
    template: &'a mut Template,
    worker: &'static Function,
    /// `None` in the template once it has forked.
    status: Option<OwnedFd>,
    kill_on_drop: bool,
    received: Vec<RawFd>,
    stage: Stage,
}

impl Host for Forking<'_> {
    fn settle(&mut self, _: &UnixStream) -> Result<()> {
        match self.stage {
            Stage::Child => Ok(()),
            Stage::Template | Stage::Forked => self.fork(),
        }
    }

    fn guard(&mut self, socket: &UnixStream) -> Result<()> {
        self.settle(socket)?;
        enter::guard(socket)
    }

    fn ready(&mut self, socket: &UnixStream) -> Result<()> {
        self.settle(socket)?;
        say_ready(socket)
    }
}

impl Forking<'_> {
    /// Forks. Only the child goes on: in the template, the call ends with an error
    /// that nobody is told.
    fn fork(&mut self) -> Result<()> {
        static LEFT: OnceLock<Error> = OnceLock::new();
        let left = || {
            let error = || Error::new(ErrorKind::Protocol, "the child goes on");
            Err(LEFT.get_or_init(error).clone())
        };
        if let Stage::Forked = self.stage {
            return left();
        }
        let departure = self.depart();
        match fork_for_request()? {
            Side::Child => {
                self.stage = Stage::Child;
                departure.arrive()
            }
            Side::Parent(pid) => {
                self.stage = Stage::Forked;
                if let Some(status) = self.status.take() {
                    self.template.take_in(pid, status, self.kill_on_drop);
                }
                left()
            }
        }
    }

    /// Makes ready what the child will need.
    fn depart(&self) -> Departure {
        let inherited = self.template.inherited();
        let name = self.worker.name;
        let status = self.status.as_ref().map(AsFd::as_fd);
        Departure {
            beginning: status.map(|status| Beginning::of_worker(name, status)),
            kept: child::kept(self.received.iter().copied(), &inherited),
            title: self.template.titles().worker(name),
            limits: inherited.limits.clone(),
        }
    }
}

/// The first steps of a child, thought through in the template: what is left of
/// them touches as little memory and code as can be, each page of which costs a
/// new process about a microsecond.
struct Departure {
    beginning: Option<Beginning>,
    kept: Kept,
    title: Title,
    limits: Limits,
}

impl Departure {
    /// In the child.
    #[inline]
    fn arrive(self) -> Result<()> {
        early::be_a_child();
        if let Some(beginning) = self.beginning {
            beginning.begin();
        }
        child::isolate(&self.kept)?;
        // Its memory is the template's, too: nothing is given back here.
        mem::forget(self.kept);
        child::restore_limits(&self.limits)?;
        self.title.set();
        signal::unblock_all().map_err(|error| Error::io("unblock signals", error))
    }
}
