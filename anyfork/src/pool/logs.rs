//! [`Logs`]: what workers of a pool print, by line, to the program's callbacks.
//! RUNS IN: caller
//!
//! Two threads a pool that asks for it: one reads pipes and never runs others' code, so that a
//! callback that hangs stops no worker; the other one tells the lines. The watcher does
//! neither, because deaths and deadlines wait for nobody. What a pipe has when an answer
//! comes is read by whoever has received the answer: so each line has its call.

pub(crate) mod lines;
pub(crate) mod outputs;
pub(crate) mod printed;
pub(crate) mod queue;
pub(crate) mod source;

use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Instant;

use crate::caller::process::Process;
use crate::caller::spawn::wait_for::INTERVAL;
use crate::caller::stdio::Stdio;
use crate::error::{Error, Result};
use crate::pool::core::Options;
use crate::pool::logs::outputs::Outputs;
use crate::pool::logs::printed::Printed;
use crate::pool::logs::queue::{Next, Queue};
use crate::pool::logs::source::{Need, Source, Stream};
use crate::sys::eventfd::EventFd;
use crate::sys::fd;
use crate::sys::poll::{self, Interest};
use crate::sys::signal::BlockedSignals;

/// A callback for lines.
pub(crate) type OnLine = Box<dyn Fn(&Printed) + Send + Sync>;

/// The pipes of a pool's workers, and the lines that were read from them.
pub(crate) struct Logs {
    options: Arc<Options>,
    queue: Mutex<Queue>,
    /// There is a line, or will be none.
    changed: Condvar,
    /// Wakes the reader.
    bell: EventFd,
    /// Wakes the watcher, which waits for the end.
    watcher: OnceLock<Arc<EventFd>>,
}

impl Logs {
    /// Starts the threads. `None`: nobody wants to know.
    pub(crate) fn start(options: &Arc<Options>) -> Result<Option<Arc<Logs>>> {
        if options.stdout.is_none() && options.stderr.is_none() {
            return Ok(None);
        }
        let failed = |error| Error::io("start a thread for what workers print", error);
        let logs = Arc::new(Logs {
            options: Arc::clone(options),
            queue: Mutex::default(),
            changed: Condvar::new(),
            bell: EventFd::new().map_err(failed)?,
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
    pub(crate) fn attach(self: &Arc<Logs>, mut process: Process) -> Result<(Process, Outputs)> {
        let mut sources = Vec::new();
        let options = &self.options;
        for (stream, callback) in [
            (Stream::Out, &options.stdout),
            (Stream::Err, &options.stderr),
        ] {
            if callback.is_none() {
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
        self.queue().sources.extend(sources.iter().cloned());
        Ok((process, Outputs::new(Arc::clone(self), sources)))
    }

    /// The pool has ended: the rest is told. `None`: that is over, or the callback does not
    /// return. Otherwise the time to look again at the latest.
    pub(crate) fn end(&self) -> Option<Instant> {
        let until = self.queue().end();
        self.wake();
        self.changed.notify_all();
        until
    }

    /// Whether there is room for what may be read now.
    pub(crate) fn has_room(&self) -> bool {
        self.queue().has_room()
    }

    pub(crate) fn push(&self, stream: Stream, line: Printed) {
        self.queue().push(stream, line);
        self.changed.notify_all();
    }

    /// Has the reader look again.
    pub(crate) fn wake(&self) {
        self.bell.signal();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reader: what is in the pipes becomes lines.
fn read(logs: &Logs) {
    loop {
        let next = logs.queue().next();
        let (mut sources, until) = match next {
            Next::Read(sources) => (sources, None),
            Next::Wait(until) => (Vec::new(), until),
            Next::End(sources) => {
                sources.iter().for_each(|it| it.finish(logs));
                drop(sources);
                logs.queue().set_read();
                return logs.changed.notify_all();
            }
        };
        sources.retain(|source| match source.need() {
            Need::Nothing => false,
            Need::Reading => true,
            Need::Finishing => {
                source.finish(logs);
                true
            }
            Need::Closing => {
                logs.queue().sources.retain(|it| !Arc::ptr_eq(it, source));
                false
            }
        });
        let mut wanted = vec![(logs.bell.as_fd(), Interest::Readable)];
        wanted.extend(sources.iter().map(|it| (it.as_fd(), Interest::Readable)));
        let Ok(ready) = poll::wait_each(&wanted, until) else {
            // As without memory: the next look is worth a try.
            thread::sleep(INTERVAL);
            continue;
        };
        logs.bell.clear();
        for (source, _) in sources.iter().zip(&ready[1..]).filter(|it| *it.1) {
            source.read(logs);
        }
    }
}

/// The thread that runs the callbacks.
fn tell(logs: &Logs) {
    let mut queue = logs.queue();
    while !queue.is_empty_for_good() {
        let Some((stream, line)) = queue.pop() else {
            let woken = logs.changed.wait(queue);
            queue = woken.unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        drop(queue);
        let callback = match stream {
            Stream::Out => &logs.options.stdout,
            Stream::Err => &logs.options.stderr,
        };
        if let Some(callback) = callback {
            // A panic there has been reported, and is nobody's here.
            let _ = catch_unwind(AssertUnwindSafe(|| callback(&line)));
        }
        queue = logs.queue();
        if queue.told() {
            logs.wake();
        }
    }
    queue.set_over();
    drop(queue);
    if let Some(watcher) = logs.watcher.get() {
        watcher.signal();
    }
}
