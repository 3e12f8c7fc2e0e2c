//! External programs: `/bin/true` from its start to its exit, by anyfork's
//! `Command`, std's and tokio's.

use std::io;
use std::os::unix::process::CommandExt;
use std::process;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::system::{Result, System, time};

pub(crate) const PROGRAM: &str = "/bin/true";

/// Something to do between fork and exec.
#[anyfork::init]
fn prepare() {}

/// Runs the program once.
type Run = Box<dyn FnMut() -> Result<()>>;

struct Programs {
    name: &'static str,
    run: Run,
}

pub(crate) fn systems() -> Result<[Box<dyn System>; 5]> {
    let system = |name, run| Box::new(Programs { name, run }) as Box<dyn System>;
    Ok([
        system("std Command", Box::new(std_fast)),
        system("anyfork Command", Box::new(anyfork)),
        system("std Command, pre_exec", Box::new(std_pre_exec)),
        system("anyfork Command, init", Box::new(anyfork_init)),
        system("tokio Command", tokio()?),
    ])
}

/// A runtime on the calling thread.
pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn succeeded(success: bool) -> Result<()> {
    match success {
        true => Ok(()),
        false => Err(format!("{PROGRAM} failed").into()),
    }
}

/// By `posix_spawn`: std takes it where nothing is set that needs a fork.
fn std_fast() -> Result<()> {
    succeeded(process::Command::new(PROGRAM).status()?.success())
}

fn std_pre_exec() -> Result<()> {
    let mut command = process::Command::new(PROGRAM);
    // SAFETY: the closure does nothing.
    unsafe { command.pre_exec(|| Ok(())) };
    succeeded(command.status()?.success())
}

fn anyfork() -> Result<()> {
    let exit = anyfork::Command::new(PROGRAM).status().blocking()?;
    succeeded(exit.success())
}

fn anyfork_init() -> Result<()> {
    let mut command = anyfork::Command::new(PROGRAM);
    command.init(prepare::NAME, anyfork::args![]);
    succeeded(command.status().blocking()?.success())
}

fn tokio() -> Result<Run> {
    let runtime = runtime()?;
    Ok(Box::new(move || {
        let status = async { tokio::process::Command::new(PROGRAM).status().await };
        succeeded(runtime.block_on(status)?.success())
    }))
}

impl System for Programs {
    fn name(&self) -> &'static str {
        self.name
    }

    fn block(&mut self, starts: usize) -> Result<Vec<Duration>> {
        time(starts, &mut self.run)
    }
}
