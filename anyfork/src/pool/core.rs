//! [`Shared`]: what all handles, calls and the watcher of a pool share.
//! RUNS IN: caller
//!
//! Whoever brings an event in carries out what the [`State`] answers. Under the lock only
//! tables change; requests are sent, processes started, sleepers woken and values dropped
//! after it is released: see [`Shared::finish`].

use std::collections::VecDeque;
use std::mem;
use std::net::Shutdown;
use std::panic::RefUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::pool::base::{Base, Newest};
use crate::pool::ended;
use crate::pool::ended::Gone;
use crate::pool::entry::{Entry, Owner, Wake};
use crate::pool::inner::{Inner, Sending, Sleep, Todo, Trash};
use crate::pool::lease::entry::LeaseAt;
use crate::pool::left::Left;
use crate::pool::live::{Live, Starting, Up};
use crate::pool::logs::Logs;
use crate::pool::logs::printed::Callbacks;
use crate::pool::state::State;
use crate::pool::state::event::{Action, BaseId, CallId, End, Event, WorkerId};
use crate::pool::table::Table;
use crate::sys::eventfd::EventFd;
use crate::sys::fork_mark::ForkMark;
use crate::sys::rights::Rights;

/// The name of the thread that watches pools.
pub(crate) const WATCHER: &str = "anyfork-pool";

/// What all handles, calls and the watcher of a pool share.
pub(crate) struct Shared {
    inner: Mutex<Inner>,
    /// Wakes the watcher.
    pub(crate) bell: Arc<EventFd>,
    /// Tells the process that made the pool from one that it has forked.
    mark: ForkMark,
    pub(crate) options: Arc<Options>,
    /// `None`: nobody wants to know what workers print.
    pub(crate) logs: Option<Arc<Logs>>,
    newest: Arc<Newest>,
}

/// The settings that the state does not go by.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) timeout: Option<Duration>,
    pub(crate) queue_timeout: Option<Duration>,
    pub(crate) max_result: u64,
    pub(crate) keep_after_panic: bool,
    pub(crate) retire_growth: Option<u64>,
    /// A worker may have several calls.
    pub(crate) gives_several: bool,
    /// Calls of `async fn`s that run at once in a worker. 0: one.
    pub(crate) at_once: u16,
    pub(crate) on_exit: Option<OnExit>,
    /// Who is told what workers print.
    pub(crate) printed: Arc<Callbacks>,
}

pub(crate) type OnExit = Box<dyn Fn(&Left) + Send + Sync>;

/// A panic of a callback is caught, and leaves nothing half done here.
impl RefUnwindSafe for Options {}

/// The tables are changed in one go, and a panic of others' code happens without the lock.
impl RefUnwindSafe for Shared {}

impl Shared {
    pub(crate) fn new(
        state: State,
        newest: Arc<Newest>,
        options: Arc<Options>,
        logs: Option<Arc<Logs>>,
        bell: Arc<EventFd>,
        mark: ForkMark,
    ) -> Shared {
        Shared {
            inner: Mutex::new(Inner {
                state,
                calls: Table::default(),
                workers: Table::default(),
                leases: Table::default(),
                bases: vec![(BaseId(0), newest.get())],
                renewals: Vec::new(),
                rights: Rights::now().ok(),
                sent: 0,
                events: VecDeque::new(),
                actions: Vec::new(),
                todo: Todo::default(),
                waits: Vec::new(),
                left: Vec::new(),
                watcher: Sleep::default(),
                has_ended: false,
            }),
            bell,
            mark,
            options,
            logs,
            newest,
        }
    }

    /// Whether this process is a copy of the pool's, forked by the program: then the workers
    /// are not its own, and their sockets not to be touched.
    pub(crate) fn is_copy(&self) -> bool {
        self.mark.is_copy()
    }

    /// Whether workers' spans and events come home.
    pub(crate) fn has_home(&self) -> bool {
        self.logs.as_ref().is_some_and(|it| it.has_home())
    }

    /// The pool has ended: what its workers have printed is told. `None`: nothing is left.
    /// Otherwise the time to look again at the latest.
    pub(crate) fn end_logs(&self) -> Option<Instant> {
        self.logs.as_ref()?.end()
    }

    /// To be released by [`finish`](Shared::finish), after any change.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings an event in from outside.
    pub(crate) fn tell_alone(&self, event: Event) {
        let mut inner = self.lock();
        self.tell(&mut inner, event);
        self.finish(inner);
    }

    /// Brings an event in.
    pub(crate) fn tell(&self, inner: &mut Inner, event: Event) {
        let mut actions = mem::take(&mut inner.actions);
        let now = Instant::now();
        let mut next = Some(event);
        while let Some(event) = next {
            inner.state.handle(now, event, &mut actions);
            for action in actions.drain(..) {
                self.carry_out(inner, action);
            }
            next = inner.events.pop_front();
        }
        inner.actions = actions;
        inner.watcher.has_news = true;
        inner.changed();
    }

    /// Releases the lock and does what is to be done after that.
    pub(crate) fn finish(&self, mut inner: MutexGuard<'_, Inner>) {
        let wakes_watcher = inner.wakes_watcher();
        let todo = match inner.todo.is_empty() {
            true => None,
            false => Some(mem::take(&mut inner.todo)),
        };
        drop(inner);
        if wakes_watcher {
            self.bell.signal();
        }
        let Some(todo) = todo else {
            return;
        };
        // Those who wait for a worker are served before those who have their result.
        for sending in todo.sends {
            self.send(sending);
        }
        for (worker, outbox) in todo.flushes {
            self.flush(worker, &outbox);
        }
        todo.wakes.into_iter().for_each(Wake::wake);
        drop(todo.trash);
        for (worker, base) in todo.starts {
            self.start(worker, &base);
        }
    }

    fn carry_out(&self, inner: &mut Inner, action: Action) {
        match action {
            Action::Start { worker, base } => self.on_start(inner, worker, base),
            Action::Send {
                worker,
                call,
                is_ahead,
            } => match self.options.gives_several {
                false => self.on_send(inner, worker, call),
                true => self.on_give(inner, worker, call, is_ahead),
            },
            Action::Run { call } => {
                inner.run(call);
            }
            Action::Cancel { worker, call } => inner.cancel(worker, call),
            Action::Close { worker } => {
                if let Some(up) = inner.up(worker) {
                    // The worker sees the end of the socket, and exits.
                    let _ = up.socket.shutdown(Shutdown::Both);
                }
            }
            Action::Terminate { worker } => {
                if let Some(up) = inner.up(worker) {
                    let _ = up.watch.signal(libc::SIGTERM);
                }
            }
            Action::Kill { worker } => self.on_kill(inner, worker),
            Action::End { call, end } => match inner.leases.get_mut(&call) {
                Some(lease) => {
                    lease.at = LeaseAt::Failed(ended::of_lease(end));
                    inner.todo.wakes.extend(lease.wake.take());
                }
                None => self.on_end(inner, call, end),
            },
            Action::Lend { worker, lease } => {
                if let Some(lease) = inner.leases.get_mut(&lease) {
                    lease.at = LeaseAt::Has(worker);
                    inner.todo.wakes.extend(lease.wake.take());
                }
            }
            Action::LeaseLost { lease, reason } => inner.lose_lease(lease, reason),
            Action::Left {
                worker,
                reason,
                calls,
            } => {
                let Some(live) = inner.workers.remove(&worker) else {
                    return;
                };
                if let Live::Up(up) = &live {
                    inner
                        .leases
                        .values_mut()
                        .for_each(|it| it.note_exit(worker, up.exit.as_ref()));
                }
                if let (Live::Up(up), Some(_)) = (&live, &self.options.on_exit)
                    && let Some(exit) = up.exit.clone()
                {
                    let left = Left::new(up.watch.pid(), exit, reason, calls);
                    inner.left.push(left);
                }
                inner.todo.trash.push(Trash::Live(live));
                inner.watcher.is_wanted |= !inner.left.is_empty() || inner.state.is_ending();
            }
            Action::Renewed(base, result) => {
                let result = result.map_err(|error| error.during("renew a pool's base"));
                self.on_renewed(inner, base, result);
            }
        }
    }

    fn on_start(&self, inner: &mut Inner, worker: WorkerId, id: BaseId) {
        let found = inner.bases.iter().find(|(it, _)| *it == id);
        let Some(base) = found.map(|(_, base)| Arc::clone(base)) else {
            let failed = Event::StartFailed(worker, ended::closed());
            return inner.events.push_back(failed);
        };
        let starting = Starting {
            launch: None,
            base: Arc::clone(&base),
            is_killed: false,
            is_retried: false,
        };
        inner.workers.insert(worker, Live::Starting(starting));
        inner.todo.starts.push((worker, base));
    }

    fn on_send(&self, inner: &mut Inner, worker: WorkerId, call: CallId) {
        let first = inner.sent + 1;
        let (Some(Live::Up(up)), Some(entry)) =
            (inner.workers.get_mut(&worker), inner.calls.get_mut(&call))
        else {
            return;
        };
        up.call = Some(call);
        up.unread_since = None;
        up.is_watched = false;
        if let Some(outputs) = &up.outputs {
            outputs.begin_call(call.0, &entry.home);
        }
        entry.worker = Some(worker);
        entry.number = first;
        entry.sent = Some(inner.state.now());
        let (Some(line), Some(mut request)) = (up.line.take(), entry.request.take()) else {
            debug_assert!(
                false,
                "an idle worker's connection is here, as a waiting request"
            );
            let _ = up.watch.kill();
            return;
        };
        request.number = first;
        inner.sent += u64::from(request.items.unwrap_or(1));
        inner.todo.sends.push(Sending {
            worker,
            line,
            request,
        });
    }

    fn on_kill(&self, inner: &mut Inner, worker: WorkerId) {
        let starting = match inner.workers.get_mut(&worker) {
            Some(Live::Starting(starting)) => starting,
            Some(Live::Up(up)) => {
                let _ = up.watch.kill();
                return;
            }
            None => return,
        };
        starting.is_killed = true;
        if starting.launch.is_some()
            && let Some(live) = inner.workers.remove(&worker)
        {
            inner.todo.trash.push(Trash::Live(live));
            let failed = Event::StartFailed(worker, ended::closed());
            inner.events.push_back(failed);
        }
    }

    fn on_end(&self, inner: &mut Inner, call: CallId, end: End) {
        let Some(entry) = inner.calls.get_mut(&call) else {
            return;
        };
        let gone = |worker: WorkerId| match inner.workers.get(&worker) {
            Some(Live::Up(up)) => Gone::of(up),
            _ => None,
        };
        let is_dropped = matches!(end, End::Cancelled);
        let lost = entry.aim.lease().and_then(|it| inner.leases.get(&it));
        if let Some(error) = ended::error(end, entry, gone, lost) {
            entry.result = Some(Err(error));
        }
        let is_unwanted = is_dropped || matches!(entry.owner, Owner::Gone);
        if let Some(wake) = entry.owner.wake() {
            inner.todo.wakes.push(wake);
        }
        if is_unwanted {
            inner.forget(call);
        }
    }

    fn on_renewed(&self, inner: &mut Inner, base: BaseId, result: Result<()>) {
        let is_current = result.is_ok();
        let old = |it: &BaseId| match is_current {
            true => it.0 < base.0,
            false => *it == base,
        };
        let (dropped, kept) = mem::take(&mut inner.bases)
            .into_iter()
            .partition(|(id, _)| old(id));
        inner.bases = kept;
        if is_current && let Some((_, current)) = inner.bases.first() {
            let before = self.newest.replace(Arc::clone(current));
            inner.todo.trash.push(Trash::Base(before));
        }
        let dropped: Vec<(BaseId, Arc<Base>)> = dropped;
        for (_, base) in dropped {
            inner.todo.trash.push(Trash::Base(base));
        }
        let mut waiting = mem::take(&mut inner.renewals);
        for (_, renewal) in waiting.extract_if(.., |(id, _)| *id == base) {
            let _ = renewal.set(result.clone());
        }
        inner.renewals = waiting;
    }

    /// Makes a call.
    pub(crate) fn call(&self, id: CallId, entry: Entry) {
        let event = Event::Call {
            id,
            to: entry.aim.to,
            is_async: entry
                .request
                .as_ref()
                .is_some_and(|it| it.terms.at_once > 0),
            queue_timeout: self.options.queue_timeout,
            timeout: self.options.timeout,
        };
        let mut inner = self.lock();
        inner.calls.insert(id, entry);
        self.tell(&mut inner, event);
        self.finish(inner);
    }
}

impl Gone {
    fn of(up: &Up) -> Option<Gone> {
        Some(Gone {
            pid: up.watch.pid(),
            exit: up.exit.clone()?,
        })
    }
}
