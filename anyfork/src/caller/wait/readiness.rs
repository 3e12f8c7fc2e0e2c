//! Readiness of descriptors in a tokio runtime.
//! RUNS IN: caller
//!
//! Knows descriptors, and nothing of what they belong to. Every future here can be
//! dropped: it takes no data from its descriptor.

use std::future::{pending, poll_fn};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net;
use std::pin::pin;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe::Receiver;
use tokio::net::{UnixDatagram, UnixStream};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use crate::caller::wait::shortage;
use crate::error::{Error, Result};
use crate::sys::time;

/// An error outside a tokio runtime, where tokio's own functions panic.
pub(crate) fn check_runtime() -> Result<()> {
    Handle::try_current().map(drop).map_err(|_| {
        let message = "awaited outside a tokio runtime; use `.blocking()` there";
        Error::io(message, io::ErrorKind::Unsupported)
    })
}

/// Registers a socket with the runtime.
pub(crate) fn join_runtime(socket: net::UnixStream) -> Result<UnixStream> {
    let failed = |error| Error::io("register a worker's socket with tokio", error);
    socket.set_nonblocking(true).map_err(failed)?;
    UnixStream::from_std(socket).map_err(failed)
}

/// The error for a descriptor that the runtime cannot wait for.
pub(crate) fn unregistered(error: io::Error) -> Error {
    Error::io("wait for a process in the tokio runtime", error)
}

/// Finishes the work, or gives up at the deadline.
///
/// The kernel's timer reports the deadline, because a runtime may be built without time.
pub(crate) async fn within<T>(
    deadline: Option<Instant>,
    what: &str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let Some(deadline) = deadline else {
        return work.await;
    };
    check_runtime()?;
    let (mut work, mut late) = (pin!(work), pin!(passed(deadline)));
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Pending => late.as_mut().poll(context).map(|late| {
            late?;
            Err(Error::too_late(what))
        }),
        done => done,
    })
    .await
}

/// Waits until the deadline, also if the descriptor table has no room for a timer.
pub(crate) async fn passed(deadline: Instant) -> Result<()> {
    /// Interval between two looks at the clock.
    const INTERVAL: Duration = Duration::from_millis(10);
    match time::timer(deadline) {
        Err(error) if shortage::is_full_io(&error) => {
            while Instant::now() < deadline {
                sleep(INTERVAL).await?;
            }
            Ok(())
        }
        timer => owned_readable(timer).await,
    }
}

/// Waits for `work`, or until the deadline: `None`. If the kernel has no timer left for
/// it, there is no deadline.
pub(crate) async fn ready_by<T>(
    deadline: Option<Instant>,
    work: impl Future<Output = Result<T>>,
) -> Result<Option<T>> {
    let timer = deadline.and_then(|deadline| time::timer(deadline).ok());
    let timer = timer.as_ref().map(AsFd::as_fd);
    let (mut work, mut late) = (pin!(work), pin!(readable_if_any(timer)));
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Pending => late.as_mut().poll(context).map(|late| late.map(|()| None)),
        done => done.map(|done| done.map(Some)),
    })
    .await
}

/// Waits until one of the two is done.
pub(crate) async fn either(
    one: impl Future<Output = Result<()>>,
    other: impl Future<Output = Result<()>>,
) -> Result<()> {
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(|context| match one.as_mut().poll(context) {
        Poll::Pending => other.as_mut().poll(context),
        done => done,
    })
    .await
}

/// Waits until the descriptor is readable; for ever, without one. It is duplicated only
/// if another task of the runtime waits for it, too.
pub(crate) async fn readable_if_any(fd: Option<BorrowedFd<'_>>) -> Result<()> {
    let Some(fd) = fd else {
        return pending().await;
    };
    check_runtime()?;
    #[allow(
        deprecated,
        reason = "the replacement asks for a promise that every type keeps its descriptor, \
                  which a borrowed one does anyway; and tokio 1.47 does not have it"
    )]
    let registered = AsyncFd::with_interest(fd, Interest::READABLE);
    match registered {
        Ok(registered) => registered.readable().await.map(drop).map_err(unregistered),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => readable(fd).await,
        Err(error) => Err(unregistered(error)),
    }
}

/// Waits until the descriptor is readable or its peer is gone.
///
/// It is duplicated: others may wait for it at the same time, and a runtime takes each
/// descriptor only once.
pub(crate) async fn readable(fd: BorrowedFd<'_>) -> Result<()> {
    owned_readable(fd.try_clone_to_owned()).await
}

/// Waits until the descriptor is readable, which nobody else waits for.
pub(crate) async fn owned_readable(fd: io::Result<OwnedFd>) -> Result<()> {
    check_runtime()?;
    // A receiver takes any descriptor that can be polled, and is never read from.
    fd.and_then(Receiver::from_owned_fd_unchecked)
        .map_err(unregistered)?
        .readable()
        .await
        .map_err(unregistered)
}

/// Waits until the peer of the socket, which nobody else waits for, is gone. What the peer
/// sends wakes nobody.
pub(crate) async fn hung_up(socket: BorrowedFd<'_>) -> Result<()> {
    check_runtime()?;
    #[allow(deprecated, reason = "see `readable_if_any`")]
    let registered = AsyncFd::with_interest(socket, Interest::PRIORITY);
    // The kernel reports a hang-up whatever is asked for, and a Unix socket has no
    // priority data.
    let registered = registered.map_err(unregistered)?;
    let ready = registered.ready(Interest::PRIORITY).await;
    ready.map(drop).map_err(unregistered)
}

/// Waits until there is room on the socket.
pub(crate) async fn writable(socket: BorrowedFd<'_>) -> Result<()> {
    check_runtime()?;
    let socket = socket
        .try_clone_to_owned()
        .map(net::UnixDatagram::from)
        .and_then(UnixDatagram::from_std);
    socket
        .map_err(unregistered)?
        .writable()
        .await
        .map_err(unregistered)
}

/// Sleeps in one of the runtime's threads for blocking calls: the runtime may be built
/// without time.
pub(crate) async fn sleep(interval: Duration) -> Result<()> {
    let slept = spawn_blocking(move || thread::sleep(interval)).await;
    slept.map_err(|error| unregistered(error.into()))
}
