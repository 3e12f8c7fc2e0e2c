//! The thread that watches a pool: starts, exits, deadlines, and answers that nobody reads.
//! RUNS IN: caller
//!
//! It is on the way of a call only where nobody waits for the worker's socket: see
//! [`Waiter`](crate::pool::core::Waiter).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::caller::spawn::wait_for::{INTERVAL, WaitFor};
use crate::error::{Error, Result};
use crate::pool::core::{Inner, Live, Shared};
use crate::pool::state::event::{Event, WorkerId};
use crate::sys::poll::{self, Interest};
use crate::sys::signal::BlockedSignals;

/// Starts the watcher of a pool. It blocks all signals, and ends with the pool.
pub(crate) fn start(shared: Arc<Shared>) -> Result<()> {
    let failed = |error| Error::io("start the thread of a pool", error);
    // A thread begins with the mask of the one that starts it.
    let blocked = BlockedSignals::all().map_err(failed)?;
    let thread = thread::Builder::new().name("anyfork-pool".to_owned());
    let started = thread.spawn(move || watch(&shared));
    drop(blocked);
    started.map(drop).map_err(failed)
}

/// A descriptor to wait for, which stays open without the lock.
enum Source {
    Socket(Arc<UnixStream>, Interest),
    Owned(Arc<OwnedFd>, Interest),
}

impl Source {
    fn wanted(&self) -> (BorrowedFd<'_>, Interest) {
        match self {
            Source::Socket(fd, interest) => (fd.as_fd(), *interest),
            Source::Owned(fd, interest) => (fd.as_fd(), *interest),
        }
    }
}

fn watch(shared: &Shared) {
    loop {
        let (sources, until) = {
            let mut inner = shared.lock();
            shared.bell.clear();
            // Carried out, and looked at again: a step may lead to another start.
            shared.tell(&mut inner, Event::Tick);
            for worker in inner.workers.keys().copied().collect::<Vec<_>>() {
                shared.look(&mut inner, worker);
                read(shared, &mut inner, worker);
            }
            if inner.is_ended() {
                inner.wake_all();
                shared.changed.notify_all();
                drop(inner);
                shared.tell_left();
                return;
            }
            let (sources, is_later) = sources(&inner);
            let later = is_later.then(|| Instant::now() + INTERVAL);
            let until = [inner.state.next_time(), later].into_iter().flatten().min();
            inner.armed = until;
            (sources, until)
        };
        shared.tell_left();
        let mut wanted: Vec<_> = sources.iter().map(Source::wanted).collect();
        wanted.push((shared.bell.as_fd(), Interest::Readable));
        if poll::wait_any(&wanted, until).is_err() {
            thread::sleep(Duration::from_millis(10));
        }
        shared.lock().armed = None;
    }
}

/// Reads for calls whose owners do not.
fn read(shared: &Shared, inner: &mut Inner, worker: WorkerId) {
    if let Some(Live::Up(up)) = inner.workers.get(&worker)
        && inner.is_unread(up)
    {
        shared.step(inner, worker);
    }
}

/// What the watcher waits for, and whether it must look again soon.
fn sources(inner: &Inner) -> (Vec<Source>, bool) {
    let mut all = Vec::new();
    let mut is_later = false;
    let copy = |fd: BorrowedFd<'_>, interest, all: &mut Vec<Source>| match fd.try_clone_to_owned() {
        Ok(fd) => {
            all.push(Source::Owned(Arc::new(fd), interest));
            true
        }
        Err(_) => false,
    };
    for live in inner.workers.values() {
        match live {
            Live::Failed(_) => is_later = true,
            Live::Starting { spawn, wait, .. } => {
                is_later |= *wait == WaitFor::Later;
                let (fd, interest) = spawn.source(*wait);
                is_later |= !copy(fd, interest, &mut all);
                if let Some(status) = spawn.status() {
                    is_later |= !copy(status, Interest::Readable, &mut all);
                }
                let exit = spawn.exit_fd();
                all.extend(exit.map(|fd| Source::Owned(fd, Interest::Readable)));
            }
            Live::Up(up) => {
                if up.exit_is_known() {
                    continue;
                }
                all.push(Source::Owned(up.watch.shared_pidfd(), up.watch_for()));
                if up.awaits_record {
                    is_later = true;
                }
                if inner.is_unread(up) && !up.is_over {
                    all.push(Source::Socket(Arc::clone(&up.socket), Interest::Readable));
                    if up.wait.writable {
                        all.push(Source::Socket(Arc::clone(&up.socket), Interest::Writable));
                    }
                    is_later |= up.wait.later;
                }
            }
        }
    }
    (all, is_later)
}
