//! [`Shared`]: a pool's workers and calls, under one lock.
//! RUNS IN: caller
//!
//! Whoever brings an event in carries out what the [`State`] answers: sends requests, starts
//! workers, and wakes the owners of calls that have ended. Nothing here waits.

use std::collections::HashMap;
use std::mem;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::caller::child::exit_watch::{ExitState, ExitWatch};
use crate::caller::process::Process;
use crate::caller::spawn::Spawn;
use crate::caller::spawn::{self, wait_for::WaitFor as SpawnWait};
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::pool::base::Base;
use crate::pool::connection::{Connection, Outcome, Progress, Request, WaitFor};
use crate::pool::ended;
use crate::pool::entered::EnteredPage;
use crate::pool::left::Left;
use crate::pool::state::State;
use crate::pool::state::event::{Action, Answer, BaseId, CallId, End, Event, Then, WorkerId};
use crate::protocol::call::{Payload, Terms};
use crate::sys::eventfd::EventFd;

/// What all handles, calls and the watcher of a pool share.
pub(crate) struct Shared {
    inner: Mutex<Inner>,
    /// Something that others wait for has changed: a worker, or the end of the pool.
    pub(crate) changed: Condvar,
    /// Wakes the watcher.
    pub(crate) bell: EventFd,
    pub(crate) options: Options,
}

/// What the state does not go by.
pub(crate) struct Options {
    pub(crate) timeout: Option<Duration>,
    pub(crate) queue_timeout: Option<Duration>,
    pub(crate) max_result: u64,
    pub(crate) keep_after_panic: bool,
    pub(crate) on_exit: Option<OnExit>,
}

pub(crate) type OnExit = Box<dyn Fn(&Left) + Send + Sync>;

/// The pool, behind the lock.
pub(crate) struct Inner {
    pub(crate) state: State,
    pub(crate) calls: HashMap<CallId, Entry>,
    pub(crate) workers: HashMap<WorkerId, Live>,
    pub(crate) bases: Vec<(BaseId, Base)>,
    pub(crate) renewed: Vec<(BaseId, Result<()>)>,
    next_call: u64,
    /// Number of the last request that was sent.
    sent: u64,
    /// The time that the watcher sleeps until, if it sleeps.
    pub(crate) armed: Option<Instant>,
    pub(crate) wakers: Vec<Waker>,
    left: Vec<Left>,
}

/// A call that has not been taken by its owner.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    request: Option<Request>,
    number: u64,
    pub(crate) sent: Option<Instant>,
    pub(crate) result: Option<Result<Payload>>,
    pub(crate) waiter: Waiter,
    /// Nobody will take it.
    pub(crate) detached: bool,
}

/// Who reads the answer, and is to be woken.
pub(crate) enum Waiter {
    /// Nobody yet.
    None,
    /// A thread that waits for the worker's socket itself.
    Reads,
    /// A thread that sleeps until it is woken.
    Thread(Thread),
    /// A task; the watcher reads for it.
    Task(Waker),
}

/// A worker's process.
pub(crate) enum Live {
    Starting {
        spawn: Box<Spawn<UnixStream>>,
        page: EnteredPage,
        wait: SpawnWait,
    },
    /// Not started, for this reason, which is told at once.
    Failed(Option<Error>),
    Up(Box<Up>),
}

/// A worker that is ready.
pub(crate) struct Up {
    pub(crate) connection: Option<Connection>,
    /// The same socket, for those who wait without the lock.
    pub(crate) socket: Arc<UnixStream>,
    pub(crate) wait: WaitFor,
    pub(crate) watch: ExitWatch,
    page: EnteredPage,
    call: Option<CallId>,
    /// Its exit, while its other end is told.
    exit: Option<Exit>,
    /// Its answers are read to the end.
    pub(crate) is_over: bool,
}

const READABLE: WaitFor = WaitFor {
    readable: true,
    writable: false,
    later: false,
};

impl Shared {
    pub(crate) fn new(state: State, base: Base, options: Options) -> Result<Shared> {
        let bell = EventFd::new().map_err(|error| Error::io("make a pool", error))?;
        Ok(Shared {
            inner: Mutex::new(Inner {
                state,
                calls: HashMap::new(),
                workers: HashMap::new(),
                bases: vec![(BaseId(0), base)],
                renewed: Vec::new(),
                next_call: 1,
                sent: 0,
                armed: None,
                wakers: Vec::new(),
                left: Vec::new(),
            }),
            changed: Condvar::new(),
            bell,
            options,
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings an event in, and carries out what follows.
    pub(crate) fn tell(&self, inner: &mut Inner, event: Event) {
        let mut events = vec![event];
        let mut actions = Vec::new();
        while let Some(event) = events.pop() {
            inner.state.handle(Instant::now(), event, &mut actions);
            for action in mem::take(&mut actions) {
                self.carry_out(inner, action, &mut events);
            }
        }
        let next = inner.state.next_time();
        if next.is_some_and(|next| inner.armed.is_none_or(|armed| next < armed)) {
            self.bell.signal();
        }
    }

    /// Tells those who asked about workers that have left. Without the lock: it is their code.
    pub(crate) fn tell_left(&self) {
        if let Some(on_exit) = &self.options.on_exit {
            let left = mem::take(&mut self.lock().left);
            left.iter().for_each(on_exit);
        }
    }

    /// Makes a call.
    pub(crate) fn call(&self, name: &'static str, fingerprint: u64, arguments: Payload) -> CallId {
        let mut inner = self.lock();
        let id = CallId(inner.next_call);
        inner.next_call += 1;
        let terms = Terms {
            fingerprint,
            max_result: self.options.max_result,
            keep_after_panic: self.options.keep_after_panic,
            is_last: false,
        };
        let request = Request {
            number: 0,
            name,
            terms,
            arguments,
        };
        inner.calls.insert(
            id,
            Entry {
                name,
                request: Some(request),
                number: 0,
                sent: None,
                result: None,
                waiter: Waiter::None,
                detached: false,
            },
        );
        let event = Event::Call {
            id,
            queue_timeout: self.options.queue_timeout,
            timeout: self.options.timeout,
        };
        self.tell(&mut inner, event);
        id
    }

    fn carry_out(&self, inner: &mut Inner, action: Action, events: &mut Vec<Event>) {
        match action {
            Action::Start { worker, base } => {
                let live = match inner.start(base) {
                    Ok((spawn, page)) => Live::Starting {
                        spawn: Box::new(spawn),
                        page,
                        wait: SpawnWait::Reply(crate::sys::poll::Interest::Readable),
                    },
                    Err(error) => Live::Failed(Some(error)),
                };
                inner.workers.insert(worker, live);
                self.bell.signal();
            }
            Action::Send { worker, call } => self.send(inner, worker, call),
            Action::Close { worker } => {
                if let Some(Live::Up(up)) = inner.workers.get_mut(&worker) {
                    // The worker sees the end of the socket, and exits.
                    up.connection = None;
                    let _ = up.socket.shutdown(std::net::Shutdown::Both);
                }
            }
            Action::Terminate { worker } => {
                if let Some(Live::Up(up)) = inner.workers.get(&worker) {
                    let _ = up.watch.signal(libc::SIGTERM);
                }
            }
            Action::Kill { worker } => match inner.workers.get_mut(&worker) {
                Some(Live::Up(up)) => {
                    let _ = up.watch.kill();
                }
                Some(live) => {
                    *live = Live::Failed(Some(ended::closed()));
                    self.bell.signal();
                }
                None => {}
            },
            Action::End { call, end } => self.end(inner, call, end),
            Action::Left {
                worker,
                reason,
                calls,
            } => {
                if let Some(Live::Up(up)) = inner.workers.remove(&worker)
                    && let Some(exit) = up.exit
                {
                    let pid = up.watch.pid();
                    inner.left.push(Left::new(pid, exit, reason, calls));
                }
                inner.wake_all();
                self.changed.notify_all();
            }
            Action::Renewed(base, result) => {
                let before = inner.bases.len();
                match &result {
                    Ok(()) => inner.bases.retain(|(id, _)| id.0 >= base.0),
                    Err(_) => inner.bases.retain(|(id, _)| *id != base),
                }
                debug_assert!(before > 0);
                let result = result.map_err(|error| error.unwrap_or_else(ended::closed));
                inner.renewed.push((base, result));
                inner.wake_all();
                self.changed.notify_all();
            }
        }
        let _ = events;
    }

    fn send(&self, inner: &mut Inner, worker: WorkerId, call: CallId) {
        let (Some(Live::Up(up)), Some(entry)) =
            (inner.workers.get_mut(&worker), inner.calls.get_mut(&call))
        else {
            return;
        };
        let (Some(connection), Some(mut request)) = (&mut up.connection, entry.request.take())
        else {
            return;
        };
        inner.sent += 1;
        request.number = inner.sent;
        entry.number = inner.sent;
        entry.sent = Some(Instant::now());
        up.call = Some(call);
        connection.start(request);
        // A failure shows again, when the answer is read.
        let wait = connection.send_step().ok().flatten();
        up.wait = wait.unwrap_or(READABLE);
        match mem::replace(&mut entry.waiter, Waiter::None) {
            Waiter::Thread(thread) => {
                entry.waiter = Waiter::Reads;
                thread.unpark();
            }
            Waiter::Task(waker) => {
                entry.waiter = Waiter::Task(waker);
                self.bell.signal();
            }
            other => entry.waiter = other,
        }
        let is_unread = wait.is_some() && !matches!(entry.waiter, Waiter::Reads);
        if is_unread || entry.detached || !inner.state_is_calm() {
            self.bell.signal();
        }
    }

    fn end(&self, inner: &mut Inner, call: CallId, end: End) {
        let Some(entry) = inner.calls.get_mut(&call) else {
            return;
        };
        let exit_of = |worker| match inner.workers.get(&worker) {
            Some(Live::Up(up)) => up.exit.clone().map(|exit| (up.watch.pid(), exit)),
            _ => None,
        };
        if let Some(error) = ended::error(end, entry.name, entry.sent, exit_of) {
            entry.result = Some(Err(error));
        }
        match mem::replace(&mut entry.waiter, Waiter::None) {
            Waiter::Thread(thread) => thread.unpark(),
            Waiter::Task(waker) => waker.wake(),
            Waiter::None | Waiter::Reads => {}
        }
        if entry.detached {
            inner.calls.remove(&call);
        }
        inner.wake_all();
        self.changed.notify_all();
    }

    /// Reads what a worker has sent, and sends what is left.
    pub(crate) fn step(&self, inner: &mut Inner, worker: WorkerId) {
        let Some(Live::Up(up)) = inner.workers.get_mut(&worker) else {
            return;
        };
        let (Some(connection), false) = (&mut up.connection, up.is_over) else {
            return;
        };
        let reply = match connection.step() {
            Ok(Progress::WaitFor(wait)) => {
                up.wait = wait;
                return;
            }
            Ok(Progress::Ended) => {
                up.is_over = true;
                return;
            }
            Ok(Progress::Reply(reply)) => Ok(reply),
            Err(error) => Err(error),
        };
        let is_usable = connection.is_usable();
        up.wait = READABLE;
        let Some(call) = up.call.take() else {
            let _ = up.watch.kill();
            return;
        };
        let name = inner.calls.get(&call).map_or("", |it| it.name);
        let (result, answer, then) = match reply {
            Err(error) => (
                Err(error.during(format_args!("call `{name}`"))),
                Answer::Other,
                Then::Kill,
            ),
            Ok(reply) => {
                let then = match reply.retires || !is_usable {
                    true => Then::Retire,
                    false => Then::Stay,
                };
                let answer = match &reply.outcome {
                    Outcome::Returned(_) => Answer::Returned,
                    Outcome::Panicked(_) => Answer::Panicked,
                    _ => Answer::Other,
                };
                (ended::answered(name, reply.outcome), answer, then)
            }
        };
        if let Some(entry) = inner.calls.get_mut(&call) {
            entry.result = Some(result);
        }
        self.tell(
            inner,
            Event::Answer {
                worker,
                call,
                answer,
                then,
            },
        );
    }

    /// Looks whether a worker has exited, and what it has sent before.
    pub(crate) fn look(&self, inner: &mut Inner, worker: WorkerId) {
        match inner.workers.get_mut(&worker) {
            Some(Live::Up(up)) => {
                let exit = match up.watch.try_wait() {
                    Ok(ExitState::Exited(exit)) => exit,
                    Ok(_) => return,
                    Err(error) => error.exit().cloned().unwrap_or(Exit::unknown(None)),
                };
                self.step(inner, worker);
                let Some(Live::Up(up)) = inner.workers.get_mut(&worker) else {
                    return;
                };
                up.exit = Some(exit);
                // Others may hold its end: whoever waits for the socket is woken so.
                let _ = up.socket.shutdown(std::net::Shutdown::Both);
                let mut entered = false;
                if let Some(call) = up.call.take()
                    && let Some(entry) = inner.calls.get_mut(&call)
                {
                    entered = up.page.has_entered(entry.number);
                    let back = up.connection.as_mut().and_then(Connection::take_back);
                    entered |= back.is_none();
                    entry.request = back;
                    entry.sent = entry.sent.filter(|_| entered);
                }
                self.tell(inner, Event::Died { worker, entered });
            }
            Some(Live::Starting { spawn, wait, .. }) => match spawn.step() {
                Ok(spawn::Progress::WaitFor(next)) => *wait = next,
                Ok(spawn::Progress::Ready(watch)) => {
                    let Some(Live::Starting { spawn, page, .. }) = inner.workers.remove(&worker)
                    else {
                        return;
                    };
                    self.ready(inner, worker, spawn.into_socket(), watch, page);
                }
                Err(error) => self.start_failed(inner, worker, error),
            },
            Some(Live::Failed(error)) => {
                let error = error.take().unwrap_or_else(ended::closed);
                self.start_failed(inner, worker, error);
            }
            None => {}
        }
    }

    fn ready(
        &self,
        inner: &mut Inner,
        worker: WorkerId,
        socket: UnixStream,
        watch: ExitWatch,
        page: EnteredPage,
    ) {
        let copy = match socket.try_clone() {
            Ok(copy) => Arc::new(copy),
            Err(error) => {
                let error = Error::io("keep a worker's socket", error);
                return self.start_failed(inner, worker, error);
            }
        };
        let up = Up {
            connection: Some(Connection::new(socket)),
            socket: copy,
            wait: READABLE,
            watch,
            page,
            call: None,
            exit: None,
            is_over: false,
        };
        inner.workers.insert(worker, Live::Up(Box::new(up)));
        self.tell(inner, Event::Ready(worker));
        inner.wake_all();
        self.changed.notify_all();
    }

    fn start_failed(&self, inner: &mut Inner, worker: WorkerId, error: Error) {
        inner.workers.remove(&worker);
        self.tell(inner, Event::StartFailed(worker, error));
        inner.wake_all();
        self.changed.notify_all();
    }
}

impl Inner {
    fn start(&mut self, base: BaseId) -> Result<(Spawn<UnixStream>, EnteredPage)> {
        let found = self.bases.iter_mut().find(|(id, _)| *id == base);
        let (_, base) = found.ok_or_else(ended::closed)?;
        base.start()
    }

    /// Whether nobody waits behind a worker whose owner does not read.
    fn state_is_calm(&self) -> bool {
        self.state.stats().queued == 0
    }

    pub(crate) fn wake_all(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }

    /// Whether the watcher reads the worker's socket.
    pub(crate) fn is_unread(&self, up: &Up) -> bool {
        let Some(call) = up.call else {
            return false;
        };
        let entry = self.calls.get(&call);
        !entry.is_some_and(|it| matches!(it.waiter, Waiter::Reads))
    }

    pub(crate) fn add_base(&mut self, id: BaseId, process: Process, like: BaseId) {
        let Some((_, base)) = self.bases.iter().find(|(it, _)| *it == like) else {
            return;
        };
        let base = base.with(process);
        self.bases.push((id, base));
    }
}
