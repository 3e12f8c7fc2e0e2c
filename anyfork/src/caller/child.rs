//! Running processes: what a launch of a worker or a program gives.
//! RUNS IN: caller
//!
//! `asynchronous` (feature `tokio`) and [`blocking`] have the same types for the two
//! worlds; below them, [`exit_watch`] and [`status`] find out how a child exited.

#[cfg(feature = "tokio")]
pub(crate) mod asynchronous;
pub(crate) mod blocking;
pub(crate) mod exit_watch;
#[cfg(feature = "tokio")]
pub(crate) mod handle;
pub(crate) mod kill;
pub(crate) mod methods;
#[cfg(not(feature = "tokio"))]
pub(crate) mod names;
pub(crate) mod pending;
pub(crate) mod status;

use std::os::unix::net::UnixStream;

#[cfg(feature = "tokio")]
pub use crate::caller::child::asynchronous::{Child, Worker};
#[cfg(feature = "tokio")]
pub use crate::caller::child::handle::ChildHandle;
#[cfg(not(feature = "tokio"))]
pub use crate::caller::child::names::{Child, Worker};
use crate::caller::child::pending::PendingChild;
use crate::caller::launch::{Target, sealed};
use crate::caller::spawn::Spawn;
use crate::caller::stdio::Streams;
use crate::caller::wait;
use crate::error::Result;

impl Target for Worker {
    type Blocking = blocking::Worker;
}

impl sealed::Target for Worker {
    type Pending = PendingChild;

    fn blocking(pending: PendingChild) -> Result<blocking::Worker> {
        let (spawn, streams) = pending.begun()?;
        let (socket, watch) = wait::blocking::ready(spawn)?;
        Ok(blocking::Worker::new(socket, watch, streams))
    }

    #[cfg(feature = "tokio")]
    async fn asynchronous(pending: PendingChild) -> Result<Worker> {
        let (spawn, streams) = pending.begun_async().await?;
        let streams = streams.registered()?;
        let (socket, watch) = wait::tokio::worker(spawn).await?;
        Ok(Worker::new(socket, watch, streams))
    }
}

impl Target for Child {
    type Blocking = blocking::Child;
}

impl sealed::Target for Child {
    type Pending = PendingChild;

    fn blocking(pending: PendingChild) -> Result<blocking::Child> {
        let (spawn, streams) = pending.begun()?;
        executed(spawn, streams)
    }

    #[cfg(feature = "tokio")]
    async fn asynchronous(pending: PendingChild) -> Result<Child> {
        let (spawn, streams) = pending.begun_async().await?;
        executed_async(spawn, streams).await
    }
}

/// Waits until a program is executed.
pub(crate) fn executed(spawn: Spawn<UnixStream>, streams: Streams) -> Result<blocking::Child> {
    let (_, watch) = wait::blocking::ready(spawn)?;
    Ok(blocking::Child::new(watch, streams))
}

/// [`executed`] of a task.
#[cfg(feature = "tokio")]
pub(crate) async fn executed_async(spawn: Spawn<UnixStream>, streams: Streams) -> Result<Child> {
    let streams = streams.registered()?;
    let watch = wait::tokio::program(spawn).await?;
    Ok(Child::new(watch, streams))
}
