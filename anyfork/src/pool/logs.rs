//! [`Logs`]: what workers of a pool print, by line, to the program's callbacks.
//! RUNS IN: caller
//!
//! Two threads a pool that asks for it: one reads pipes and never runs others' code, so that a
//! callback that hangs stops no worker; the other one tells the lines. The watcher does
//! neither, because deaths and deadlines wait for nobody. Whoever receives an answer notes how
//! much the pipes hold: so each line has its call, whenever it is read.

#[cfg(feature = "tracing")]
pub(crate) mod frames;
pub(crate) mod lines;
pub(crate) mod outputs;
pub(crate) mod printed;
pub(crate) mod queue;
#[cfg(feature = "tracing")]
pub(crate) mod retold;
#[cfg(feature = "tracing")]
pub(crate) mod sites;
pub(crate) mod source;
pub(crate) mod told;

use std::os::fd::AsFd;
#[cfg(feature = "tracing")]
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
#[cfg(feature = "tracing")]
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Instant;

#[cfg(feature = "tracing")]
use tracing::Level;
#[cfg(feature = "tracing")]
use tracing::level_filters::LevelFilter;

#[cfg(feature = "tracing")]
use crate::args::Args;
#[cfg(feature = "tracing")]
use crate::args::value::Arg;
use crate::caller::process::Process;
use crate::caller::spawn::wait_for::INTERVAL;
use crate::caller::stdio::Stdio;
use crate::error::{Error, Result};
#[cfg(feature = "tracing")]
use crate::pool::logs::frames::Frames;
use crate::pool::logs::lines::Lines;
use crate::pool::logs::outputs::Outputs;
use crate::pool::logs::printed::{Callbacks, Stream};
use crate::pool::logs::queue::{Next, Queue};
#[cfg(feature = "tracing")]
use crate::pool::logs::retold::Retold;
use crate::pool::logs::source::{Content, Need, Source};
use crate::pool::logs::told::Told;
#[cfg(feature = "tracing")]
use crate::spec::name::{CallLoop, FunctionName, TRACE_INIT};
use crate::sys::eventfd::EventFd;
use crate::sys::fd;
use crate::sys::poll::{self, Interest};
use crate::sys::signal::BlockedSignals;
#[cfg(feature = "tracing")]
use crate::sys::socket;

/// What reads the pipes of a pool's workers.
pub(crate) struct Logs {
    callbacks: Arc<Callbacks>,
    sources: Mutex<Vec<Arc<Source>>>,
    queue: Arc<Queue>,
    /// Wakes the watcher, which waits for the end.
    watcher: OnceLock<Arc<EventFd>>,
    /// The number of the latest worker whose events come home.
    #[cfg(feature = "tracing")]
    latest: AtomicU64,
}

impl Logs {
    /// Starts the threads. `None`: nobody wants to know.
    pub(crate) fn start(callbacks: &Arc<Callbacks>) -> Result<Option<Arc<Logs>>> {
        if callbacks.is_empty() {
            return Ok(None);
        }
        let failed = |error| Error::io("start a thread for what workers print", error);
        let logs = Arc::new(Logs {
            callbacks: Arc::clone(callbacks),
            sources: Mutex::default(),
            queue: Arc::new(Queue::new().map_err(failed)?),
            watcher: OnceLock::new(),
            #[cfg(feature = "tracing")]
            latest: AtomicU64::new(0),
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
            let content = Content::Lines {
                stream,
                lines: Lines::default(),
                latest: None,
            };
            sources.push(Arc::new(Source::new(content, read)));
        }
        #[cfg(feature = "tracing")]
        if self.callbacks.has_home() {
            let (source, sent) = self.traces()?;
            sources.push(Arc::new(source));
            process = traced(process, sent);
        }
        self.sources().extend(sources.iter().cloned());
        Ok((process, Outputs::new(Arc::clone(&self.queue), sources)))
    }

    /// The socket of a worker's spans and events, and what is sent to the worker.
    #[cfg(feature = "tracing")]
    fn traces(&self) -> Result<(Source, OwnedFd)> {
        let failed = |error| Error::io("make a socket for a worker's events", error);
        let (read, sent) = socket::stream_pair().map_err(failed)?;
        fd::set_nonblocking(read.as_fd()).map_err(failed)?;
        let content = Content::Frames {
            frames: Frames::default(),
            worker: self.latest.fetch_add(1, Ordering::Relaxed) + 1,
        };
        Ok((Source::new(content, read.into()), sent.into()))
    }

    /// Whether workers' spans and events come home.
    pub(crate) fn has_home(&self) -> bool {
        self.callbacks.has_home()
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
            Next::Wait(until) => (Vec::new(), Some(until)),
            Next::End => {
                let sources = std::mem::take(&mut *logs.sources());
                sources.iter().for_each(|it| it.finish(queue));
                return queue.set_read();
            }
        };
        let mut wanted = vec![(queue.bell().as_fd(), Interest::Readable)];
        wanted.extend(sources.iter().map(|it| (it.as_fd(), Interest::Readable)));
        // Where nothing can be waited for, all is read after a while: as the watcher does.
        let ready = poll::wait_each(&wanted, until).unwrap_or_else(|_| {
            thread::sleep(INTERVAL);
            vec![true; wanted.len()]
        });
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
    #[cfg(feature = "tracing")]
    let mut retold = Retold::new(logs.callbacks.home.clone().unwrap_or_default());
    while let Some(told) = logs.queue.pop() {
        // A panic of others' code has been reported, and is nobody's here.
        let _ = catch_unwind(AssertUnwindSafe(|| match told {
            Told::Line(stream, line) => {
                if let Some(callback) = logs.callbacks.of(stream) {
                    callback(&line);
                }
            }
            #[cfg(feature = "tracing")]
            Told::Frame(frame) => retold.tell(frame),
            #[cfg(feature = "tracing")]
            Told::Gone(worker) => retold.forget(worker),
        }));
        logs.queue.told();
    }
    #[cfg(feature = "tracing")]
    let _ = catch_unwind(AssertUnwindSafe(|| drop(retold)));
    if let Some(watcher) = logs.watcher.get() {
        watcher.signal();
    }
}

/// Has the worker send its spans and events, down to the level that somebody wants to know of
/// now.
#[cfg(feature = "tracing")]
fn traced(mut process: Process, socket: OwnedFd) -> Process {
    let level = match LevelFilter::current().into_level() {
        None => 0,
        Some(Level::ERROR) => 1,
        Some(Level::WARN) => 2,
        Some(Level::INFO) => 3,
        Some(Level::DEBUG) => 4,
        Some(Level::TRACE) => 5,
    };
    let mut args = Args::default();
    args.extend([Arg::Fd(socket), Arg::Bytes(vec![level])]);
    let name = FunctionName::of_companion::<CallLoop>(TRACE_INIT);
    process.setup().init(name, args);
    process
}
