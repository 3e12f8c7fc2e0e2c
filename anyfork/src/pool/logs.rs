//! [`Logs`]: what workers of a pool print, by line, to the program's callbacks.
//! RUNS IN: caller
//!
//! Two threads a pool that asks for it: one reads pipes and never runs others' code, so that a
//! callback that hangs stops no worker; the other one tells the lines. The watcher does
//! neither, because deaths and deadlines wait for nobody. Whoever receives an answer notes how
//! much the pipes hold: so each line has its call, whenever it is read.

pub(crate) mod lines;
pub(crate) mod outputs;
pub(crate) mod printed;
pub(crate) mod queue;
pub(crate) mod source;

use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Instant;

use crate::caller::process::Process;
use crate::caller::spawn::wait_for::INTERVAL;
use crate::caller::stdio::Stdio;
use crate::error::{Error, Result};
use crate::pool::logs::outputs::Outputs;
use crate::pool::logs::printed::{Callbacks, Stream};
use crate::pool::logs::queue::{Next, Queue};
use crate::pool::logs::source::{Need, Source};
use crate::sys::eventfd::EventFd;
use crate::sys::fd;
use crate::sys::poll::{self, Interest};
use crate::sys::signal::BlockedSignals;

/// What reads the pipes of a pool's workers.
pub(crate) struct Logs {
    callbacks: Arc<Callbacks>,
    sources: Mutex<Vec<Arc<Source>>>,
    queue: Arc<Queue>,
    /// Wakes the watcher, which waits for the end.
    watcher: OnceLock<Arc<EventFd>>,
}

impl Logs {
    /// Starts the threads. `None`: nobody wants to know.
    pub(crate) fn start(callbacks: &Arc<Callbacks>) -> Result<Option<Arc<Logs>>> {
        if callbacks.stdout.is_none() && callbacks.stderr.is_none() {
            return Ok(None);
        }
        let failed = |error| Error::io("start a thread for what workers print", error);
        let logs = Arc::new(Logs {
            callbacks: Arc::clone(callbacks),
            sources: Mutex::default(),
            queue: Arc::new(Queue::new().map_err(failed)?),
            watcher: OnceLock::new(),
        });
        // A thread begins with the mask of the one that starts it.
        let blocked = BlockedSignals::all().map_err(failed)?;
        let run = |name: &str, run: fn(&Logs)| {
            let logs = Arc::clone(&logs);
            let thread = thread::Builder::new().name(name.to_owned());
            thread.spawn(move || run(&logs))
        };
        let started = run("anyfork-output", read).and_then(|_| run("anyfork-lines", tell));
        drop(blocked);
        if let Err(error) = started {
            logs.end();
            return Err(failed(error));
        }
        Ok(Some(logs))
    }

    /// What wakes the pool's watcher.
    pub(crate) fn set_watcher(&self, bell: Arc<EventFd>) {
        let _ = self.watcher.set(bell);
    }

    /// Gives a worker that is about to start its pipes.
    pub(crate) fn attach(&self, mut process: Process) -> Result<(Process, Outputs)> {
        let mut sources = Vec::new();
        for stream in [Stream::Out, Stream::Err] {
            if self.callbacks.of(stream).is_none() {
                continue;
            }
            let failed = |error| Error::io("make a pipe for what a worker prints", error);
            let (read, write) = fd::pipe().map_err(failed)?;
            fd::set_nonblocking(read.as_fd()).map_err(failed)?;
            process = match stream {
                Stream::Out => process.stdout(Stdio::from(write)),
                Stream::Err => process.stderr(Stdio::from(write)),
            };
            sources.push(Arc::new(Source::new(stream, read)));
        }
        self.sources().extend(sources.iter().cloned());
        Ok((process, Outputs::new(Arc::clone(&self.queue), sources)))
    }

    /// The pool has ended: the rest is told. `None`: that is over, or the callback does not
    /// return. Otherwise the time to look again at the latest.
    pub(crate) fn end(&self) -> Option<Instant> {
        self.queue.end()
    }

    fn sources(&self) -> MutexGuard<'_, Vec<Arc<Source>>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reader: what is in the pipes becomes lines.
fn read(logs: &Logs) {
    let queue = &logs.queue;
    loop {
        let next = queue.next();
        let (sources, until) = match next {
            Next::Read => (to_read(logs), None),
            Next::Wait(until) => (Vec::new(), until),
            Next::End => {
                let sources = std::mem::take(&mut *logs.sources());
                sources.iter().for_each(|it| it.finish(queue));
                return queue.set_read();
            }
        };
        let mut wanted = vec![(queue.bell().as_fd(), Interest::Readable)];
        wanted.extend(sources.iter().map(|it| (it.as_fd(), Interest::Readable)));
        let Ok(ready) = poll::wait_each(&wanted, until) else {
            // As without memory: the next look is worth a try.
            thread::sleep(INTERVAL);
            continue;
        };
        queue.bell().clear();
        for (source, _) in sources.iter().zip(&ready[1..]).filter(|it| *it.1) {
            source.read(queue);
        }
    }
}

/// The pipes that may be read. Those whose workers are gone are finished, and those at
/// their ends closed.
fn to_read(logs: &Logs) -> Vec<Arc<Source>> {
    let mut sources = logs.sources().clone();
    sources.retain(|source| match source.need() {
        Need::Nothing => false,
        Need::Reading => true,
        Need::Finishing => {
            source.finish(&logs.queue);
            true
        }
        Need::Closing => {
            logs.sources().retain(|it| !Arc::ptr_eq(it, source));
            false
        }
    });
    sources
}

/// The thread that runs the callbacks.
fn tell(logs: &Logs) {
    while let Some((stream, line)) = logs.queue.pop() {
        if let Some(callback) = logs.callbacks.of(stream) {
            // A panic there has been reported, and is nobody's here.
            let _ = catch_unwind(AssertUnwindSafe(|| callback(&line)));
        }
        logs.queue.told();
    }
    if let Some(watcher) = logs.watcher.get() {
        watcher.signal();
    }
}
