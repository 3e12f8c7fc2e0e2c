//! [`Base`]: the process whose forks the workers of a pool are.
//! RUNS IN: caller

use std::os::unix::net::UnixStream;
use std::sync::Arc;

use crate::args::Args;
use crate::caller::launch::Launch;
use crate::caller::process::Process;
use crate::caller::spawn::Spawn;
use crate::error::{Error, ErrorKind, Result};
use crate::pool::entered::EnteredPage;
use crate::spec::name::{CALL_LOOP, CallLoop};

/// Makes the base again.
pub(crate) type Remake = Arc<dyn Fn() -> Result<Process> + Send + Sync>;

/// Runs an init function in each worker.
pub(crate) type Init = Arc<dyn Fn(Process) -> Process + Send + Sync>;

/// The process whose forks are workers, and what each of them is prepared by.
#[derive(Clone)]
pub(crate) struct Base {
    process: Arc<Process>,
    inits: Arc<[Init]>,
    remake: Option<Remake>,
}

impl Base {
    pub(crate) fn new(process: Process, inits: Vec<Init>, remake: Option<Remake>) -> Base {
        Base {
            process: Arc::new(process),
            inits: inits.into(),
            remake,
        }
    }

    /// Another process with the same preparation.
    pub(crate) fn with(&self, process: Process) -> Base {
        Base {
            process: Arc::new(process),
            ..self.clone()
        }
    }

    /// Starts a worker. A template that is gone is made again.
    pub(crate) fn start(&mut self) -> Result<(Spawn<UnixStream>, EnteredPage)> {
        match (self.try_start(), &self.remake) {
            (Err(error), Some(remake)) if error.kind() == ErrorKind::TemplateGone => {
                let process = remake().map_err(|error| error.during("make the base again"))?;
                self.process = Arc::new(process);
                self.try_start()
            }
            (started, _) => started,
        }
    }

    fn try_start(&self) -> Result<(Spawn<UnixStream>, EnteredPage)> {
        let failed = |error| Error::io("make the page of a worker", error);
        let (page, sent) = EnteredPage::new().map_err(failed)?;
        let process = self.process.fork().kill_on_drop(true);
        let prepared = self.inits.iter().fold(process, |it, init| init(it));
        let launch: Launch<_> = prepared
            .send_fd(sent)
            .run_companion::<CallLoop>(CALL_LOOP);
        Ok((launch.into_pending()?.spawn, page))
    }
}

/// An init function of a pool's workers. Its arguments are sent to each of them.
pub(crate) fn init(name: String, args: Args) -> Init {
    let args = Arc::new(std::sync::Mutex::new(args));
    Arc::new(move |process: Process| {
        let args = args.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match args.try_clone() {
            Ok(args) => process.init(&name, args),
            Err(error) => process.fail(Error::io("duplicate the arguments of an init", error)),
        }
    })
}
