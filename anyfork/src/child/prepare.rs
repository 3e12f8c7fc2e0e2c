//! Prepares a process: its steps, and the `after_fork` functions.
//! RUNS IN: template, child
//!
//! The steps are those that the caller has asked for, in their order. Whether a process may
//! be forked from afterwards is checked here, too.

use std::io;
use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use crate::args::Args;
use crate::child::baseline;
use crate::child::functions::{Found, find_function};
use crate::child::report;
use crate::child::report::panic_note::panic_text;
use crate::entry::collected::with_collected;
use crate::entry::{Entry, Kind};
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::reply::LOST_SOCKET;
use crate::registry::{self, AfterFork, Function};
use crate::spec::Step;
use crate::sys::threads::{OneThread, OtherThreads};
use crate::sys::{fd, fd_identity, fork};

/// Takes the steps, and gives the arguments that are collected in the end. The
/// arguments `inherited` from the template come first.
///
/// Where user code closes `socket`, on which this process answers, nobody can be told
/// but by the exit code, so the process exits.
pub(crate) fn take_steps(
    steps: Vec<Step>,
    inherited: Args,
    socket: BorrowedFd<'_>,
) -> Result<Args> {
    let runs_code = runs_code(&steps);
    let mut before = None;
    if runs_code {
        before = fd_identity::identity(socket);
        baseline::note_user_code();
    }
    let collected = steps.into_iter().try_fold(inherited, |collected, step| {
        let init = match &step {
            Step::Init { name, .. } => Some(name.to_string()),
            _ => None,
        };
        let taken = take_step(collected, step);
        if let Some(init) = init
            && fd_identity::leads_elsewhere(socket, before)
        {
            report::print_lost_socket(&init);
            fork::exit_now(LOST_SOCKET);
        }
        taken
    })?;
    if runs_code {
        open_standard_streams()?;
    }
    Ok(collected)
}

/// Whether user code runs in these steps.
pub(crate) fn runs_code(steps: &[Step]) -> bool {
    steps.iter().any(|step| !matches!(step, Step::Arg(_)))
}

/// Opens the standard streams that user code has closed, so that no descriptor of the
/// library's gets the number of one.
pub(crate) fn open_standard_streams() -> Result<()> {
    fd::open_standard_streams()
        .map_err(|error| Error::io("open the standard streams that are closed", error))
}

fn take_step(mut collected: Args, step: Step) -> Result<Args> {
    match step {
        Step::Arg(arg) => {
            collected.extend([arg]);
            Ok(collected)
        }
        Step::Init { name, args } => {
            let (result, collected) = match find_function(Kind::Init, &name)? {
                Found::Own(init) => run_init(init, args, collected),
                #[cfg(feature = "plugin")]
                Found::Plugin(init) => init.init(args, collected),
            };
            result.map(|()| collected)
        }
        Step::Require(path) => require(&path).map(|()| collected),
    }
}

/// Runs an init function of this program (or, in a plugin, of the plugin), and returns
/// the collected arguments that it has not taken.
pub(crate) fn run_init(init: &Function, args: Args, collected: Args) -> (Result<()>, Args) {
    let failed = |why: &str| {
        let message = format!("init function `{}` {why}", init.name);
        Error::new(ErrorKind::InitFailed, message)
    };
    let mut entry = Entry::init(init.name, args);
    let run = || catch_unwind(AssertUnwindSafe(|| (init.enter)(&mut entry)));
    let (returned, left) = with_collected(collected, run);
    let result = match returned {
        Err(panic) => Err(failed(&format!("panicked: {}", panic_text(&*panic)))),
        Ok(Err(error)) => Err(error),
        Ok(Ok(outcome)) => outcome.into_result().map_err(|why| failed(&why)),
    };
    (result, left)
}

#[cfg(feature = "plugin")]
fn require(path: &Path) -> Result<()> {
    crate::child::plugin::load(path)
}

#[cfg(not(feature = "plugin"))]
fn require(path: &Path) -> Result<()> {
    let path = path.display();
    let message =
        format!("cannot load `{path}`: that program was built without the feature `plugin`");
    Err(Error::new(ErrorKind::PluginFailed, message))
}

/// Whether the program or a plugin has `after_fork` functions. A plugin counts as having
/// some.
pub(crate) fn has_hooks() -> bool {
    #[cfg(feature = "plugin")]
    let plugins = crate::child::plugin::are_loaded();
    #[cfg(not(feature = "plugin"))]
    let plugins = false;
    plugins || !registry::after_fork().is_empty()
}

/// Runs the `after_fork` functions of the program, and then those of its plugins.
pub(crate) fn after_fork() {
    after_fork_hooks();
    #[cfg(feature = "plugin")]
    crate::child::plugin::after_fork();
}

/// Runs the `after_fork` functions of this copy's registry, in the order of their names.
pub(crate) fn after_fork_hooks() {
    static SORTED: OnceLock<Vec<&'static AfterFork>> = OnceLock::new();
    if registry::after_fork().is_empty() {
        return;
    }
    baseline::note_user_code();
    let sorted = SORTED.get_or_init(|| {
        let mut all: Vec<_> = registry::after_fork().iter().collect();
        all.sort_by_key(|it| it.name);
        all
    });
    sorted.iter().for_each(|it| (it.run)());
}

/// Checks that this process can be forked from, which takes one thread. An error is a
/// phrase that follows the name of the user's code.
pub(crate) fn check_threads() -> Result<OneThread, String> {
    match settled_threads() {
        Ok(Ok(one_thread)) => Ok(one_thread),
        Ok(Err(others)) => {
            let (number, names) = (others.number(), others.to_string());
            let colon = if names.is_empty() { "" } else { ": " };
            Err(format!("left {number} running{colon}{names}"))
        }
        Err(error) => Err(format!(
            "cannot be counted on: the number of threads is unknown: {error}"
        )),
    }
}

/// Counts the threads of this process, and waits a while for those that are about to
/// exit: those of a `std::thread::scope`, for one, may still run when it returns.
pub(crate) fn settled_threads() -> io::Result<Result<OneThread, OtherThreads>> {
    /// Timeout for exiting threads, before the fork is refused. It delays only the error
    /// path.
    const TIMEOUT: Duration = Duration::from_secs(1);
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match OneThread::check()? {
            Err(_) if Instant::now() <= deadline => thread::sleep(Duration::from_millis(1)),
            checked => return Ok(checked),
        }
    }
}
