//! Waiting for a launch, and for a worker's end, in a tokio runtime.

use std::future::{IntoFuture, pending, poll_fn};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram as Datagram;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::thread;
use std::time::Instant;

use tokio::io::Interest as Tokio;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe::Receiver;
use tokio::net::{UnixDatagram, UnixStream};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use crate::caller::child::handle::{Awaits, ExitWatch};
use crate::caller::child::{Child, Registered, Worker};
use crate::caller::launch::{Launch, ProcessUnderWay, Target};
use crate::caller::spawn::cancel::CancelGuard;
use crate::caller::spawn::{MOMENT, Progress, Spawn, WaitFor, too_late};
use crate::error::{Error, Result};
use crate::sys::poll::Interest;
use crate::sys::time;

/// The future of a launch.
///
/// Dropped before it resolves, it leaves no process behind.
impl<T: Target + 'static> IntoFuture for Launch<T> {
    type Output = Result<T>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let result = match self.pending {
                Ok(pending) => T::asynchronous(pending).await,
                Err(error) => Err(error),
            };
            result.inspect_err(|error| self.trace.failed(error))
        })
    }
}

/// Waits for a worker.
pub(crate) async fn worker(pending: ProcessUnderWay) -> Result<Worker> {
    let ProcessUnderWay {
        socket,
        streams,
        spawn,
    } = pending;
    check_runtime()?;
    let streams = Registered::new(streams)?;
    let socket = socket.try_map(|socket| {
        let duplicate = socket.try_clone().map_err(unregistered)?;
        join_runtime(duplicate)
    })?;
    // After the socket, so that it is dropped before.
    let mut spawn = spawn;
    let (deadline, what) = (spawn.deadline(), spawn.what().to_owned());
    let running = within(deadline, &what, arrive(&socket, &mut spawn)).await?;
    Ok(Worker::new(socket.disarm(), running, streams))
}

/// Waits until a program is executed. Its socket carries nothing else, so only
/// its end is waited for.
pub(crate) async fn child(pending: ProcessUnderWay) -> Result<Child> {
    let ProcessUnderWay {
        socket,
        streams,
        spawn,
    } = pending;
    check_runtime()?;
    let streams = Registered::new(streams)?;
    let mut spawn = spawn;
    let (deadline, what) = (spawn.deadline(), spawn.what().to_owned());
    let executed = async {
        loop {
            match spawn.step(socket.as_fd())? {
                Progress::Ready(running) => return Ok(running),
                Progress::WaitFor(wait) => other(wait, &spawn, socket.as_fd()).await?,
            }
        }
    };
    let running = within(deadline, &what, executed).await?;
    socket.disarm();
    Ok(Child::new(running, streams))
}

/// Kills a program whose end nobody waits for any more, and the group that it
/// leads, unless it is told not to.
pub(crate) struct KillGuard(Option<Child>);

impl KillGuard {
    pub(crate) fn new(child: &Child) -> KillGuard {
        KillGuard(Some(child.clone()))
    }

    pub(crate) fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for KillGuard {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.signal_group(libc::SIGKILL);
            let _ = child.start_kill();
        }
    }
}

/// Finishes what is under way, or gives up at the deadline.
///
/// By a timer of the kernel's, because a runtime may have none.
pub(crate) async fn within<T>(
    deadline: Option<Instant>,
    what: &str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let Some(deadline) = deadline else {
        return work.await;
    };
    check_runtime()?;
    let timer = time::timer(deadline).map_err(unregistered)?;
    let (mut work, mut late) = (pin!(work), pin!(readable(timer.as_fd())));
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Pending => late.as_mut().poll(context).map(|late| {
            late?;
            Err(too_late(what))
        }),
        done => done,
    })
    .await
}

/// Waits until there is something to read of a template's answer.
pub(crate) async fn answered(socket: OwnedFd) -> Result<()> {
    check_runtime()?;
    let socket = join_runtime(socket.into())?;
    socket.readable().await.map_err(unregistered)
}

/// Takes steps until the process is ready.
async fn arrive(socket: &CancelGuard<UnixStream>, spawn: &mut Spawn) -> Result<ExitWatch> {
    loop {
        // The stream's readiness is cleared only by `try_io`, so what waits for
        // the stream is tried in there.
        let mut wait = match spawn.step(socket.as_fd())? {
            Progress::Ready(running) => return Ok(running),
            Progress::WaitFor(wait) => wait,
        };
        while let WaitFor::Answer(interest) = wait {
            let interest = match interest {
                Interest::Readable | Interest::HungUp => Tokio::READABLE,
                Interest::Writable => Tokio::WRITABLE,
            };
            if ended_first(socket, interest, spawn).await? {
                match spawn.step(socket.as_fd())? {
                    Progress::Ready(running) => return Ok(running),
                    Progress::WaitFor(next) => wait = next,
                }
                continue;
            }
            let failed = |error| Error::io("wait for a worker to be ready", error);
            socket.get().ready(interest).await.map_err(failed)?;
            let tried = socket
                .get()
                .try_io(interest, || match spawn.step(socket.as_fd()) {
                    Ok(Progress::WaitFor(next)) if next == wait => {
                        Err(io::ErrorKind::WouldBlock.into())
                    }
                    step => Ok(step),
                });
            match tried {
                Ok(step) => match step? {
                    Progress::Ready(running) => return Ok(running),
                    Progress::WaitFor(next) => wait = next,
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(failed(error)),
            }
        }
        other(wait, spawn, socket.as_fd()).await?;
    }
}

/// Waits for what is not the readiness of a registered answer socket.
async fn other(wait: WaitFor, spawn: &Spawn, socket: BorrowedFd<'_>) -> Result<()> {
    let (fd, interest) = spawn.source(wait, socket);
    let end = spawn.end();
    let end = end.as_ref().map(AsFd::as_fd);
    match (wait, interest) {
        (WaitFor::Later, _) => a_moment().await,
        (WaitFor::Executed, _) => ready_to_read(spawn.executed(socket, end)).await,
        (_, Interest::Readable | Interest::HungUp) => either(readable(fd), watched(end)).await,
        (_, Interest::Writable) => either(room(fd), watched(end)).await,
    }
}

/// Waits for the answer, or room for what goes before it; or for the end of the
/// child or of the template: tells whether that came first.
async fn ended_first(
    socket: &CancelGuard<UnixStream>,
    interest: Tokio,
    spawn: &Spawn,
) -> Result<bool> {
    let status = spawn.status().filter(|_| interest == Tokio::READABLE);
    let end = spawn.end();
    let mut ended = pin!(either(
        watched(status),
        watched(end.as_ref().map(AsFd::as_fd))
    ));
    let mut answered = pin!(socket.get().ready(interest));
    poll_fn(|context| match answered.as_mut().poll(context) {
        Poll::Ready(answered) => Poll::Ready(answered.map(|_| false).map_err(unregistered)),
        Poll::Pending => ended.as_mut().poll(context).map_ok(|()| true),
    })
    .await
}

/// Waits until one of the two is done.
async fn either(
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

/// Waits until the descriptor is readable, if there is one. It is not duplicated
/// unless somebody else waits for it in this runtime.
async fn watched(fd: Option<BorrowedFd<'_>>) -> Result<()> {
    let Some(fd) = fd else {
        return pending().await;
    };
    check_runtime()?;
    #[allow(
        deprecated,
        reason = "what replaces it asks for a promise that every type keeps its descriptor, \
                  which a borrowed one does anyway; and tokio 1.47 has not got it"
    )]
    let registered = AsyncFd::with_interest(fd, Tokio::READABLE);
    match registered {
        Ok(registered) => registered.readable().await.map(drop).map_err(unregistered),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => readable(fd).await,
        Err(error) => Err(unregistered(error)),
    }
}

/// Sleeps in one of the runtime's threads for blocking calls: it may have no
/// timers.
async fn a_moment() -> Result<()> {
    let slept = spawn_blocking(|| thread::sleep(MOMENT)).await;
    slept.map_err(|error| unregistered(error.into()))
}

/// Waits until there is something to read in a pipe, or its writers are gone.
///
/// The descriptor is duplicated, as below: others may wait for it at the
/// same time, and a runtime takes each only once.
async fn readable(pipe: BorrowedFd<'_>) -> Result<()> {
    ready_to_read(pipe.try_clone_to_owned()).await
}

/// Waits until it is worth it to look at a child again. Dropping the future
/// loses nothing.
pub(crate) async fn news(running: &ExitWatch, awaits: Awaits) -> Result<()> {
    ready_to_read(running.news(awaits)).await
}

async fn ready_to_read(fd: io::Result<OwnedFd>) -> Result<()> {
    check_runtime()?;
    // It is only waited for: any descriptor that can be polled is good.
    fd.and_then(Receiver::from_owned_fd_unchecked)
        .map_err(unregistered)?
        .readable()
        .await
        .map_err(unregistered)
}

/// Waits until there is room on a template's control socket.
async fn room(control: BorrowedFd<'_>) -> Result<()> {
    let control = control
        .try_clone_to_owned()
        .map(Datagram::from)
        .and_then(UnixDatagram::from_std);
    control
        .map_err(unregistered)?
        .writable()
        .await
        .map_err(unregistered)
}

fn unregistered(error: io::Error) -> Error {
    Error::io("wait for a process in the tokio runtime", error)
}

fn join_runtime(socket: std::os::unix::net::UnixStream) -> Result<UnixStream> {
    let failed = |error| Error::io("register a worker's socket with tokio", error);
    socket.set_nonblocking(true).map_err(failed)?;
    UnixStream::from_std(socket).map_err(failed)
}

/// tokio panics where there is no runtime; an error is kinder.
fn check_runtime() -> Result<()> {
    Handle::try_current().map(drop).map_err(|_| {
        let message = "awaited outside a tokio runtime; use `.blocking()` there";
        Error::io(message, io::ErrorKind::Unsupported)
    })
}
