//! [`Exit`] and [`Output`] as targets of a launch, which waits until a program exits.
//! RUNS IN: caller

use std::process::Output;

use crate::caller::child::executed;
use crate::caller::child::pending::PendingChild;
#[cfg(feature = "tokio")]
use crate::caller::child::{Child, ChildHandle, executed_async};
use crate::caller::launch::{Target, sealed};
use crate::caller::wait::shortage::Operation;
use crate::error::Result;
use crate::exit::Exit;

impl Target for Exit {
    type Blocking = Exit;
}

impl sealed::Target for Exit {
    type Pending = PendingChild;

    fn blocking(pending: PendingChild) -> Result<Exit> {
        let (spawn, streams) = pending.begun()?;
        let _operation = Operation::begin();
        let mut child = executed(spawn, streams)?;
        // Nobody can read these, and a program must not wait for a reader.
        drop((child.stdout.take(), child.stderr.take()));
        child.wait()
    }

    #[cfg(feature = "tokio")]
    async fn asynchronous(pending: PendingChild) -> Result<Exit> {
        let (spawn, streams) = pending.begun_async().await?;
        let _operation = Operation::begin();
        let mut child = executed_async(spawn, streams).await?;
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
    type Pending = PendingChild;

    fn blocking(pending: PendingChild) -> Result<Output> {
        let (spawn, streams) = pending.begun()?;
        let _operation = Operation::begin();
        let child = executed(spawn, streams)?;
        child.wait_with_output()
    }

    #[cfg(feature = "tokio")]
    async fn asynchronous(pending: PendingChild) -> Result<Output> {
        let (spawn, streams) = pending.begun_async().await?;
        let _operation = Operation::begin();
        let child = executed_async(spawn, streams).await?;
        let guard = KillGuard::new(&child);
        let output = child.wait_with_output().await;
        guard.disarm();
        output
    }
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
