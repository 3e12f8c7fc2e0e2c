//! [`Base`]: the process whose forks the workers of a pool are.
//! RUNS IN: caller

use std::mem;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::args::Args;
use crate::caller::process::Process;
use crate::caller::spawn::wait_for::WaitFor;
use crate::error::{Error, ErrorKind, Result};
use crate::pool::entered::EnteredPage;
use crate::pool::launched::Launched;
use crate::pool::logs::Logs;
use crate::spec::name::{CALL_LOOP, CallLoop};
use crate::sys::poll::Interest;
use crate::sys::rights::Rights;

/// A panic of `remake` is caught, and leaves nothing half done here.
impl RefUnwindSafe for Base {}

/// Makes the base again.
pub(crate) type Remake = Arc<dyn Fn() -> Result<Process> + Send + Sync>;

/// Prepares each worker.
pub(crate) type Init = Arc<dyn Fn(Process) -> Process + Send + Sync>;

/// The process whose forks are workers, and what each of them is prepared by.
pub(crate) struct Base {
    made: Mutex<Made>,
    inits: Arc<[Init]>,
    remake: Option<Remake>,
}

/// The process, and the rights that the program had when it was made: its template keeps
/// them. `None`: they cannot be looked at.
#[derive(Clone)]
struct Made {
    process: Arc<Process>,
    rights: Option<Rights>,
}

impl Made {
    fn now(process: Process) -> Made {
        Made {
            process: Arc::new(process),
            rights: Rights::now().ok(),
        }
    }

    /// Whether these are the rights that it has. `None`: they cannot be looked at.
    fn has_rights(&self, rights: Option<&Rights>) -> bool {
        match (&self.rights, rights) {
            (Some(then), Some(now)) => now.are_those_of(then),
            _ => true,
        }
    }
}

impl Base {
    /// Without `remake`, the process is made again as it was, if that is possible.
    pub(crate) fn new(process: Process, inits: Arc<[Init]>, remake: Option<Remake>) -> Base {
        let as_it_was = || process.remaker().map(|it| Arc::new(it) as Remake);
        Base {
            remake: remake.or_else(as_it_was),
            made: Mutex::new(Made::now(process)),
            inits,
        }
    }

    /// Another process for workers that are prepared in the same way. The user's `remake`
    /// makes the first process, and so not this one.
    pub(crate) fn with(&self, process: Process) -> Base {
        Base::new(process, Arc::clone(&self.inits), None)
    }

    /// Whether a base whose template is gone is made again.
    pub(crate) fn is_remade(&self) -> bool {
        self.remake.is_some()
    }

    /// Starts a worker. The base is made again if its template is gone, or has other rights
    /// than the program, which has these.
    pub(crate) fn start(
        &self,
        rights: Option<&Rights>,
        logs: Option<&Arc<Logs>>,
    ) -> Result<Box<Launched>> {
        let mut made = self.lock().clone();
        if let Some(remake) = &self.remake
            && !made.has_rights(rights)
        {
            made = self.remade(&made, remake)?;
        }
        match (self.start_from(&made.process, logs), &self.remake) {
            (Err(error), Some(remake)) if error.kind() == ErrorKind::TemplateGone => {
                let made = self.remade(&made, remake)?;
                self.start_from(&made.process, logs)
            }
            (started, _) => started,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another process in place of `before`, which one thread makes for all.
    fn remade(&self, before: &Made, remake: &Remake) -> Result<Made> {
        let mut made = self.lock();
        if Arc::ptr_eq(&made.process, &before.process) {
            let process = catch_unwind(AssertUnwindSafe(|| remake()));
            let process = process.unwrap_or_else(|_| {
                let message = "the function of `remake` has panicked";
                Err(Error::new(ErrorKind::TemplateGone, message))
            });
            let process = process.map_err(|error| error.during("make a pool's base again"))?;
            *made = Made::now(process);
        }
        Ok(made.clone())
    }

    fn start_from(&self, process: &Process, logs: Option<&Arc<Logs>>) -> Result<Box<Launched>> {
        let page = EnteredPage::new();
        let (page, sent) = page.map_err(|error| Error::io("make the page of a worker", error))?;
        let mut process = process.fork().kill_on_drop(true);
        let mut outputs = None;
        if let Some(logs) = logs {
            let (piped, pipes) = logs.attach(process)?;
            (process, outputs) = (piped, Some(pipes));
        }
        let prepared = self.inits.iter().fold(process, |it, init| init(it));
        let launch = prepared.send_fd(sent).run_companion::<CallLoop>(CALL_LOOP);
        let mut spawn = launch.into_pending()?.0.into_spawn()?;
        // The next step is the watcher's, when something has happened.
        let unsent = spawn.send_step()?;
        Ok(Box::new(Launched {
            spawn,
            page,
            outputs,
            wait: unsent.unwrap_or(WaitFor::Reply(Interest::Readable)),
        }))
    }
}

/// The base of new workers, outside the pool's lock: in a process that the program forks, a
/// thread may hold that lock which is not there.
pub(crate) struct Newest(Mutex<Arc<Base>>);

impl Newest {
    pub(crate) fn new(base: Base) -> Newest {
        Newest(Mutex::new(Arc::new(base)))
    }

    pub(crate) fn get(&self) -> Arc<Base> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The one before, which may be the last handle to its template.
    pub(crate) fn replace(&self, base: Arc<Base>) -> Arc<Base> {
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        mem::replace(&mut newest, base)
    }
}

/// An init function of a pool's workers. Its arguments are sent to each of them.
pub(crate) fn init(name: String, args: Args) -> Init {
    Arc::new(move |process: Process| match args.try_clone() {
        Ok(args) => process.init(&name, args),
        Err(error) => process.fail(Error::io("duplicate the arguments of an init", error)),
    })
}
