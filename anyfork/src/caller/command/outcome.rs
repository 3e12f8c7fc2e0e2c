//! [`Exit`] and [`Output`] as targets of a launch, which waits until a program exits.
//! RUNS IN: caller

use std::os::fd::OwnedFd;
use std::process::Output;

use crate::caller::child::pending::PendingChild;
#[cfg(feature = "tokio")]
use crate::caller::child::{Child, ChildHandle, executed_async};
use crate::caller::child::{blocking, executed};
use crate::caller::command::bounds::BoundsOfLaunch;
use crate::caller::command::exchange::{self, Exchange};
use crate::caller::launch::{Target, sealed};
#[cfg(feature = "tokio")]
use crate::caller::stdio::registered::RegisteredStreams;
use crate::caller::wait::shortage::Operation;
use crate::error::Result;
use crate::exit::Exit;

/// A program that is being launched, and the bounds of what is waited for.
pub struct PendingProgram {
    pub(crate) child: PendingChild,
    /// `None`: there are no bounds.
    pub(crate) bounds: Option<Box<BoundsOfLaunch>>,
}

impl Target for Exit {
    type Blocking = Exit;
}

impl sealed::Target for Exit {
    type Pending = PendingProgram;

    fn blocking(pending: PendingProgram) -> Result<Exit> {
        let PendingProgram { child, bounds } = pending;
        let (spawn, streams) = launched(child.begun(), &bounds)?;
        let _operation = Operation::begin();
        let mut child = launched(executed(spawn, streams), &bounds)?;
        if let Some(bounds) = bounds {
            return Ok(wait_within(child, *bounds, false)?.0);
        }
        // Nobody can read these, and a program must not wait for a reader.
        drop((child.stdout.take(), child.stderr.take()));
        child.wait()
    }

    #[cfg(feature = "tokio")]
    async fn asynchronous(pending: PendingProgram) -> Result<Exit> {
        let PendingProgram { child, bounds } = pending;
        let (spawn, streams) = launched(child.begun_async().await, &bounds)?;
        let _operation = Operation::begin();
        let mut child = launched(executed_async(spawn, streams).await, &bounds)?;
        if let Some(bounds) = bounds {
            return Ok(wait_within_async(child, *bounds, false).await?.0);
        }
        // Nobody can read these, and a program must not wait for a reader.
        drop((child.stdout.take(), child.stderr.take()));
        let guard = KillGuard::new(&child);
        let exit = child.wait().await;
        guard.disarm();
        exit
    }
}

impl Target for Output {
    type Blocking = Output;
}

impl sealed::Target for Output {
    type Pending = PendingProgram;

    fn blocking(pending: PendingProgram) -> Result<Output> {
        let PendingProgram { child, bounds } = pending;
        let (spawn, streams) = launched(child.begun(), &bounds)?;
        let _operation = Operation::begin();
        let child = launched(executed(spawn, streams), &bounds)?;
        if let Some(bounds) = bounds {
            return Ok(output(wait_within(child, *bounds, true)?));
        }
        child.wait_with_output()
    }

    #[cfg(feature = "tokio")]
    async fn asynchronous(pending: PendingProgram) -> Result<Output> {
        let PendingProgram { child, bounds } = pending;
        let (spawn, streams) = launched(child.begun_async().await, &bounds)?;
        let _operation = Operation::begin();
        let child = launched(executed_async(spawn, streams).await, &bounds)?;
        if let Some(bounds) = bounds {
            return Ok(output(wait_within_async(child, *bounds, true).await?));
        }
        let guard = KillGuard::new(&child);
        let output = child.wait_with_output().await;
        guard.disarm();
        output
    }
}

/// How a program has exited, and what it has printed.
type Outcome = (Exit, [Vec<u8>; 2]);

fn output((exit, [stdout, stderr]): Outcome) -> Output {
    Output {
        status: exit.status(),
        stdout,
        stderr,
    }
}

/// The error of a launch that was not ready, which may have reached its time limit.
fn launched<T>(result: Result<T>, bounds: &Option<Box<BoundsOfLaunch>>) -> Result<T> {
    result.map_err(|error| match bounds {
        Some(bounds) => bounds.not_ready(error),
        None => error,
    })
}

/// Waits for the program's exit within the bounds. Reads what it prints, or closes the
/// pipes: then nobody can read these, and a program must not wait for a reader.
fn wait_within(child: blocking::Child, bounds: BoundsOfLaunch, reads: bool) -> Result<Outcome> {
    let (watch, stdin, stdout, stderr) = child.into_parts();
    let streams = [stdout.map(OwnedFd::from), stderr.map(OwnedFd::from)];
    let streams = streams.map(|stream| stream.filter(|_| reads));
    let open = streams.each_ref().map(Option::is_some);
    let exchange = Exchange::new(watch, bounds, open);
    exchange::blocking::run(exchange, stdin.map(OwnedFd::from), streams)
}

/// [`wait_within`] of a task.
#[cfg(feature = "tokio")]
async fn wait_within_async(child: Child, bounds: BoundsOfLaunch, reads: bool) -> Result<Outcome> {
    let (watch, streams) = child.into_parts();
    let streams = RegisteredStreams {
        stdin: streams.stdin,
        stdout: streams.stdout.filter(|_| reads),
        stderr: streams.stderr.filter(|_| reads),
    };
    let open = [streams.stdout.is_some(), streams.stderr.is_some()];
    let exchange = Exchange::new(watch, bounds, open);
    exchange::asynchronous::run(exchange, streams).await
}

/// Dropped before it is disarmed, kills a program whose exit nobody waits for any more.
/// An error on the way disarms it: then the program was not given up.
#[cfg(feature = "tokio")]
struct KillGuard(Option<ChildHandle>);

#[cfg(feature = "tokio")]
impl KillGuard {
    fn new(child: &Child) -> KillGuard {
        KillGuard(Some(child.handle()))
    }

    fn disarm(mut self) {
        self.0 = None;
    }
}

#[cfg(feature = "tokio")]
impl Drop for KillGuard {
    fn drop(&mut self) {
        if let Some(child) = &self.0 {
            let _ = child.start_kill();
        }
    }
}
