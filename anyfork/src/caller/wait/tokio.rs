//! Waiting in a tokio runtime.
//! RUNS IN: caller
//!
//! Dropping a future that waits for a spawn kills the child; of the others, dropping
//! loses nothing.

use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::io::Interest as TokioInterest;
use tokio::net::UnixStream;

use crate::caller::child::exit_watch::{ExitState, ExitWatch};
use crate::caller::spawn::wait_for::{INTERVAL, WaitFor};
use crate::caller::spawn::{Progress, Spawn};
use crate::caller::templates::handle::TemplateHandle;
use crate::caller::wait::readiness::{
    check_runtime, either, hung_up, join_runtime, readable, readable_if_any, ready_by, sleep,
    unregistered, within, writable,
};
use crate::caller::wait::registration::ready_either;
use crate::caller::wait::shortage::{self, Operation};
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::sys::poll;
use crate::sys::poll::Interest;

/// Waits until a worker is ready. Its socket is registered before, so that a failure
/// leaves no process.
pub(crate) async fn worker(spawn: Spawn<net::UnixStream>) -> Result<(UnixStream, ExitWatch)> {
    check_runtime()?;
    // Without an operation of its own: others' make room.
    let duplicate = when_there_is_room(|| spawn.socket().try_clone()).await;
    let duplicate = duplicate.map_err(unregistered)?;
    let mut spawn = spawn.try_with_duplicate(|_| join_runtime(duplicate))?;
    let _operation = Operation::begin();
    let (deadline, what) = (spawn.deadline(), spawn.what().to_owned());
    let watch = within(deadline, &what, worker_ready(&mut spawn)).await?;
    Ok((spawn.into_socket(), watch))
}

/// Waits until a program is executed. Its socket carries only replies, and is not
/// registered.
pub(crate) async fn program(mut spawn: Spawn<net::UnixStream>) -> Result<ExitWatch> {
    check_runtime()?;
    let _operation = Operation::begin();
    let (deadline, what) = (spawn.deadline(), spawn.what().to_owned());
    let executed = async {
        loop {
            match spawn.step()? {
                Progress::Ready(watch) => return Ok(watch),
                Progress::WaitFor(wait) => event(&spawn, wait).await?,
            }
        }
    };
    let watch = within(deadline, &what, executed).await?;
    drop(spawn.into_socket());
    Ok(watch)
}

/// Waits for a child's exit. Opens no descriptor, so that a full table fails no wait.
pub(crate) async fn exit(watch: &ExitWatch) -> Result<Exit> {
    if let ExitState::Exited(exit) = watch.try_wait()? {
        return Ok(exit);
    }
    let _operation = Operation::begin();
    let pidfd = watch.registered_pidfd()?;
    // The record matters only once the child has exited, and others may hold the pipe
    // open, such as the child's own children. Then the pidfd is hung up when the child
    // is reaped.
    let mut status = None;
    loop {
        let look = match watch.try_wait()? {
            ExitState::Exited(exit) => return Ok(exit),
            ExitState::Running => None,
            ExitState::AwaitsRecord => {
                if status.is_none() {
                    status = Some(watch.registered_status()?);
                }
                watch.next_look()
            }
            ExitState::AwaitsReap => watch.next_look(),
        };
        let Some(ready) = ready_by(look, ready_either(&pidfd, status.as_deref())).await? else {
            continue;
        };
        // The next event is one that comes after this look.
        match watch.try_wait()? {
            ExitState::Exited(exit) => return Ok(exit),
            _ => ready.forget(),
        }
    }
}

/// Waits until a template is prepared.
pub(crate) async fn prepared(template: &TemplateHandle, deadline: Option<Instant>) -> Result<()> {
    let prepared = async {
        while let Some(reply) = template.try_prepared()? {
            check_runtime()?;
            let reply = join_runtime(reply.into())?;
            reply.readable().await.map_err(unregistered)?;
        }
        Ok(())
    };
    within(deadline, "the preparation of a template", prepared).await
}

/// Takes steps until a worker is ready.
async fn worker_ready(spawn: &mut Spawn<UnixStream>) -> Result<ExitWatch> {
    let mut before = None;
    loop {
        let wait = match spawn.step()? {
            Progress::Ready(watch) => return Ok(watch),
            Progress::WaitFor(wait) => wait,
        };
        match wait {
            WaitFor::Reply(interest) => {
                if before == Some(wait) {
                    refresh_readiness(spawn.socket(), interest);
                }
                reply_event(spawn, interest).await?;
            }
            wait => event(spawn, wait).await?,
        }
        before = Some(wait);
    }
}

/// Makes tokio forget that the socket is ready, if it is not: a step that has read or
/// filled it did not go through tokio.
///
/// The check is within `try_io`, so that an event that comes after it is not forgotten.
fn refresh_readiness(socket: &UnixStream, interest: Interest) {
    let _ = socket.try_io(as_tokio(interest), || {
        match poll::is_any_ready(&[(socket.as_fd(), interest)], Duration::ZERO) {
            true => Ok(()),
            false => Err(io::ErrorKind::WouldBlock.into()),
        }
    });
}

fn as_tokio(interest: Interest) -> TokioInterest {
    match interest {
        Interest::Readable | Interest::HungUp => TokioInterest::READABLE,
        Interest::Writable => TokioInterest::WRITABLE,
    }
}

/// Waits for the registered reply socket, or for an exit that leaves it as it is.
async fn reply_event(spawn: &Spawn<UnixStream>, interest: Interest) -> Result<()> {
    or_later(try_reply_event(spawn, interest).await).await
}

/// Waits a while in place of an event for which there is no descriptor.
async fn or_later(event: Result<()>) -> Result<()> {
    match event {
        Err(error) if shortage::is_full(&error) => sleep(INTERVAL).await,
        event => event,
    }
}

/// Opens a descriptor, while there is no room for it and other operations may make some.
async fn when_there_is_room<T>(mut open: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match open() {
            Err(error) if shortage::is_full_io(&error) && shortage::active() > 0 => {
                if sleep(INTERVAL).await.is_err() {
                    return Err(error);
                }
            }
            opened => return opened,
        }
    }
}

async fn try_reply_event(spawn: &Spawn<UnixStream>, interest: Interest) -> Result<()> {
    let status = spawn.status().filter(|_| interest != Interest::Writable);
    let exit_fd = spawn.exit_fd();
    let exit_fd = exit_fd.as_ref().map(AsFd::as_fd);
    let mut exited = pin!(either(readable_if_any(status), readable_if_any(exit_fd)));
    let mut ready = pin!(spawn.socket().ready(as_tokio(interest)));
    poll_fn(|context| match ready.as_mut().poll(context) {
        Poll::Ready(ready) => Poll::Ready(ready.map(drop).map_err(failed_wait)),
        Poll::Pending => exited.as_mut().poll(context),
    })
    .await
}

fn failed_wait(error: io::Error) -> Error {
    Error::io("wait for a worker to be ready", error)
}

/// Waits for an event that is not the readiness of a registered reply socket.
async fn event<S: AsFd>(spawn: &Spawn<S>, wait: WaitFor) -> Result<()> {
    or_later(try_event(spawn, wait).await).await
}

async fn try_event<S: AsFd>(spawn: &Spawn<S>, wait: WaitFor) -> Result<()> {
    let exit_fd = spawn.exit_fd();
    let exit_fd = exit_fd.as_ref().map(AsFd::as_fd);
    match (wait, spawn.source(wait)) {
        (WaitFor::Later, _) => sleep(INTERVAL).await,
        (WaitFor::Executed, (socket, _)) => {
            let exited = either(readable_if_any(spawn.status()), readable_if_any(exit_fd));
            either(hung_up(socket), exited).await
        }
        (_, (fd, Interest::Writable)) => either(writable(fd), readable_if_any(exit_fd)).await,
        (_, (fd, _)) => either(readable(fd), readable_if_any(exit_fd)).await,
    }
}
