//! The thread that watches all pools of a process: starts, exits, deadlines, unread answers.
//! RUNS IN: caller
//!
//! It blocks all signals, ends with the last pool, and is started again in a process that
//! the program has forked.

mod source;

use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::caller::child::exit_watch::ExitState;
use crate::caller::spawn::wait_for::{INTERVAL, WaitFor};
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::pool::core;
use crate::pool::core::Shared;
use crate::pool::inner::Reading;
use crate::pool::live::Live;
use crate::pool::state::event::{Event, WorkerId};
use crate::pool::watcher::source::{Fd, Source, What, sources};
use crate::sys::eventfd::EventFd;
use crate::sys::fork_mark::ForkMark;
use crate::sys::poll::{self, Interest};
use crate::sys::signal::BlockedSignals;

/// Timeout for the exit of a worker that has closed its socket.
const TIMEOUT_EXIT: Duration = Duration::from_secs(1);

/// The pools of this process, if there are any.
static WATCHER: Mutex<Option<Watcher>> = Mutex::new(None);

struct Watcher {
    /// The process that the thread is in.
    pid: u32,
    bell: Arc<EventFd>,
    mark: ForkMark,
    pools: Vec<Arc<Shared>>,
}

/// Makes a pool that is watched.
pub(crate) fn attach(make: impl FnOnce(Arc<EventFd>, ForkMark) -> Shared) -> Result<Arc<Shared>> {
    let mut watcher = WATCHER.lock().unwrap_or_else(PoisonError::into_inner);
    let pid = process::id();
    if watcher.as_ref().is_none_or(|it| it.pid != pid) {
        let started = start(pid)?;
        // Those of the process that this one was forked from are still its own.
        std::mem::forget(watcher.replace(started));
    }
    let watcher = watcher.as_mut().expect("made above");
    let shared = Arc::new(make(Arc::clone(&watcher.bell), watcher.mark));
    watcher.pools.push(Arc::clone(&shared));
    watcher.bell.signal();
    Ok(shared)
}

fn start(pid: u32) -> Result<Watcher> {
    let failed = |error| Error::io("start the thread that watches pools", error);
    let bell = Arc::new(EventFd::new().map_err(failed)?);
    let mark = ForkMark::new().map_err(failed)?;
    let of_thread = Arc::clone(&bell);
    // A thread begins with the mask of the one that starts it.
    let blocked = BlockedSignals::all().map_err(failed)?;
    let thread = thread::Builder::new().name(core::WATCHER.to_owned());
    let started = thread.spawn(move || watch(&of_thread));
    drop(blocked);
    started.map_err(failed)?;
    Ok(Watcher {
        pid,
        bell,
        mark,
        pools: Vec::new(),
    })
}

/// The pools, without those that have ended. `None`: there are none, and the thread ends.
fn pools() -> Option<Vec<Arc<Shared>>> {
    let mut watcher = WATCHER.lock().unwrap_or_else(PoisonError::into_inner);
    let pools = &mut watcher.as_mut()?.pools;
    let ended: Vec<_> = pools.extract_if(.., |it| has_ended(it)).collect();
    let left = pools.clone();
    if left.is_empty() {
        *watcher = None;
    }
    drop(watcher);
    drop(ended);
    (!left.is_empty()).then_some(left)
}

/// Whether nothing is left of a pool, and whoever waits for that is told.
fn has_ended(shared: &Shared) -> bool {
    let mut inner = shared.lock();
    let is_over = inner.state.is_ending() && inner.state.is_over() && inner.left.is_empty();
    let has_ended = is_over && shared.end_logs().is_none();
    if has_ended {
        inner.has_ended = true;
        inner.watcher.is_awake = true;
        inner.changed();
    }
    shared.finish(inner);
    has_ended
}

fn watch(bell: &EventFd) {
    while let Some(pools) = pools() {
        // Wakers, observers and closures are others' code: a panic there has been reported,
        // and the other pools go on.
        let looked = catch_unwind(AssertUnwindSafe(|| look_once(bell, &pools)));
        if looked.is_err() {
            thread::sleep(INTERVAL);
        }
    }
}

/// Does what is due, waits once, and deals with what has happened.
fn look_once(bell: &EventFd, pools: &[Arc<Shared>]) {
    let mut watch = Watch::default();
    for (pool, shared) in pools.iter().enumerate() {
        watch.gather(pool, shared);
    }
    let mut wanted = vec![(bell.as_fd(), Interest::Readable)];
    wanted.extend(watch.sources.iter().map(Source::wanted));
    // Where nothing can be waited for, all is looked at after a while: without memory, and
    // under a limit of descriptors that was lowered below their number (EINVAL, poll(2)).
    let ready = poll::wait_each(&wanted, watch.until).unwrap_or_else(|_| {
        thread::sleep(INTERVAL);
        vec![true; wanted.len()]
    });
    for shared in pools {
        shared.lock().watcher.is_awake = true;
    }
    bell.clear();
    let ready = watch.sources.iter().zip(&ready[1..]).filter(|it| *it.1);
    for (source, _) in ready {
        serve(&pools[source.pool], source);
    }
    pools.iter().for_each(|it| tell_left(it));
}

/// Deals with what has happened.
fn serve(shared: &Shared, source: &Source) {
    match source.what {
        What::Start => shared.step_start(source.worker),
        What::Exit => look(shared, source.worker),
        What::Answer => shared.read_for_owner(source.worker),
        What::Send => shared.send_rest(source.worker),
        What::Unread => {
            if let Some(up) = shared.lock().up(source.worker) {
                up.unread_since.get_or_insert_with(Instant::now);
            }
        }
    }
}

/// Looks whether a worker has exited.
fn look(shared: &Shared, worker: WorkerId) {
    let Some(watch) = shared.lock().up(worker).map(|up| up.watch.clone()) else {
        return;
    };
    let exit = match watch.try_wait() {
        Ok(ExitState::Exited(exit)) => exit,
        Ok(ExitState::Running) => return,
        Ok(state @ (ExitState::AwaitsRecord | ExitState::AwaitsReap)) => {
            if let Some(up) = shared.lock().up(worker) {
                up.awaits_record = true;
                up.is_reported = matches!(state, ExitState::AwaitsReap);
            }
            return;
        }
        Err(error) => error.exit().cloned().unwrap_or(Exit::unknown(None)),
    };
    let mut inner = shared.lock();
    shared.on_exit(&mut inner, worker, exit);
    shared.finish(inner);
}

/// What the thread waits for.
#[derive(Default)]
struct Watch {
    sources: Vec<Source>,
    until: Option<Instant>,
}

impl Watch {
    /// Does what is due in a pool, and notes what is to be waited for.
    fn gather(&mut self, pool: usize, shared: &Shared) {
        self.do_what_is_due(shared);
        let mut inner = shared.lock();
        let now = Instant::now();
        // So that a call on the way to an idle worker changes nothing here.
        let times = [inner.state.next_time(), inner.state.horizon()];
        let mut until = times.into_iter().flatten().min();
        let mut by = |at: Instant| until = Some(until.map_or(at, |until| until.min(at)));
        let readings: Vec<_> = inner
            .workers
            .iter()
            .map(|(id, live)| match live {
                Live::Up(up) => (*id, inner.reading(up, now)),
                Live::Starting(_) => (*id, Reading::Never),
            })
            .collect();
        for (worker, reading) in readings {
            let mut add = |fd, interest, what| {
                self.sources.push(Source {
                    pool,
                    worker,
                    fd,
                    interest,
                    what,
                });
            };
            match inner.workers.get_mut(&worker) {
                Some(Live::Starting(starting)) => {
                    let Some(launch) = &starting.launch else {
                        continue;
                    };
                    if launch.wait == WaitFor::Later {
                        by(now + INTERVAL);
                    }
                    launch.spawn.deadline().into_iter().for_each(&mut by);
                    for (fd, interest) in sources(launch) {
                        match fd {
                            Some(fd) => add(Fd::Owned(fd), interest, What::Start),
                            None => by(now + INTERVAL),
                        }
                    }
                }
                Some(Live::Up(up)) => {
                    up.is_watched = false;
                    if up.exit.is_some() {
                        continue;
                    }
                    if let Some(ended) = up.ended {
                        by(ended + TIMEOUT_EXIT);
                    }
                    let watch = up.watch.clone();
                    if up.awaits_record {
                        watch.next_look().into_iter().for_each(&mut by);
                        if !up.is_reported {
                            add(Fd::Status(watch.clone()), Interest::Readable, What::Exit);
                        }
                        add(Fd::Exit(watch), Interest::HungUp, What::Exit);
                    } else {
                        add(Fd::Exit(watch), Interest::Readable, What::Exit);
                    }
                    let socket = || Fd::Socket(Arc::clone(&up.socket));
                    if let Some(unsent) = up.unsent_several() {
                        match unsent.later {
                            true => by(now + INTERVAL),
                            false => add(socket(), Interest::Writable, What::Send),
                        }
                    }
                    let what = match reading {
                        Reading::Never => continue,
                        Reading::From(at) => {
                            by(at);
                            continue;
                        }
                        Reading::Now => What::Answer,
                        Reading::IfUnread => What::Unread,
                    };
                    up.is_watched = true;
                    if up.wait.later {
                        by(now + INTERVAL);
                    }
                    add(socket(), Interest::Readable, what);
                    if up.wait.writable {
                        add(socket(), Interest::Writable, what);
                    }
                }
                None => {}
            }
        }
        if !inner.left.is_empty() || (inner.state.is_ending() && inner.state.is_over()) {
            // It has ended just now.
            by(shared
                .end_logs()
                .filter(|_| inner.left.is_empty())
                .unwrap_or(now));
        }
        inner.watcher.until = until;
        inner.watcher.is_wanted = false;
        inner.watcher.is_awake = false;
        drop(inner);
        self.until = self.until.into_iter().chain(until).min();
    }

    fn do_what_is_due(&mut self, shared: &Shared) {
        let inner = shared.lock();
        let now = Instant::now();
        // An answer that has arrived wins over its deadline.
        let late: Vec<_> = inner.state.late(now).collect();
        let late: Vec<_> = late
            .into_iter()
            .filter_map(|call| inner.readable_for(call))
            .collect();
        let mut dead = Vec::new();
        let mut starts = Vec::new();
        let mut more = Vec::new();
        let mut unsent = Vec::new();
        for (id, live) in &inner.workers {
            match live {
                Live::Starting(starting) => {
                    let is_due = starting.launch.as_ref().is_some_and(|launch| {
                        let deadline = launch.spawn.deadline();
                        launch.wait == WaitFor::Later || deadline.is_some_and(|it| it <= now)
                    });
                    starts.extend(is_due.then_some(*id));
                }
                Live::Up(up) if up.exit.is_none() => {
                    let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
                    if up.awaits_record && is_due(up.watch.next_look()) {
                        dead.push(*id);
                    }
                    if is_due(up.ended.map(|ended| ended + TIMEOUT_EXIT)) {
                        // It has no use any more: its end has been seen.
                        let _ = up.watch.kill();
                    }
                    if up.unsent_several().is_some_and(|it| it.later) {
                        unsent.push(*id);
                    }
                    if up.wait.later && inner.reading(up, now) == Reading::Now {
                        more.push(*id);
                    }
                }
                Live::Up(_) => {}
            }
        }
        drop(inner);
        for worker in late.into_iter().chain(more) {
            shared.read_for_owner(worker);
        }
        unsent.into_iter().for_each(|it| shared.send_rest(it));
        starts.into_iter().for_each(|it| shared.step_start(it));
        dead.into_iter().for_each(|it| look(shared, it));
        shared.tell_alone(Event::Tick);
    }
}

/// Tells the program which workers have left.
fn tell_left(shared: &Shared) {
    let left = std::mem::take(&mut shared.lock().left);
    if let Some(on_exit) = &shared.options.on_exit {
        for left in &left {
            // A panic there has been reported, and is nobody's here.
            let _ = catch_unwind(AssertUnwindSafe(|| on_exit(left)));
        }
    }
}
