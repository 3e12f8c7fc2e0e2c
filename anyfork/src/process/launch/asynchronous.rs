//! Waiting for a launch, and for a worker's end, in a tokio runtime.

use std::future::IntoFuture;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram as Datagram;
use std::pin::Pin;

use tokio::io::Interest as Tokio;
use tokio::net::unix::pipe::Receiver;
use tokio::net::{UnixDatagram, UnixStream};
use tokio::runtime::Handle;

use super::flight::{Flight, Step, Unanswered, Wait};
use super::{Launch, Started, Target};
use crate::error::{Error, Result};
use crate::process::running::Running;
use crate::sys::poll::Interest;

/// The future of a launch.
///
/// Dropped before it resolves, it leaves no process behind.
impl<T: Target + 'static> IntoFuture for Launch<T> {
    type Output = Result<T>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Started { socket, flight } = self.started?;
            check_runtime()?;
            let socket = socket.try_map(join_runtime)?;
            // After the socket, so that it is dropped before.
            let mut flight = flight;
            let running = arrive(&socket, &mut flight).await?;
            Ok(T::asynchronous(socket.settle(), running))
        })
    }
}

/// Takes steps until the process is ready.
async fn arrive(socket: &Unanswered<UnixStream>, flight: &mut Flight) -> Result<Running> {
    loop {
        // The stream's readiness is cleared only by `try_io`, so what waits for
        // the stream is tried in there.
        let mut wait = match flight.step(socket.as_fd())? {
            Step::Ready(running) => return Ok(running),
            Step::Wait(wait) => wait,
        };
        while let Wait::Answer(interest) = wait {
            let interest = match interest {
                Interest::Readable => Tokio::READABLE,
                Interest::Writable => Tokio::WRITABLE,
            };
            let failed = |error| Error::io("wait for a worker to be ready", error);
            socket.get().ready(interest).await.map_err(failed)?;
            let tried = socket
                .get()
                .try_io(interest, || match flight.step(socket.as_fd()) {
                    Ok(Step::Wait(next)) if next == wait => Err(io::ErrorKind::WouldBlock.into()),
                    step => Ok(step),
                });
            match tried {
                Ok(step) => match step? {
                    Step::Ready(running) => return Ok(running),
                    Step::Wait(next) => wait = next,
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(failed(error)),
            }
        }
        let (fd, interest) = flight.source(wait, socket.as_fd());
        match interest {
            Interest::Readable => readable(fd).await?,
            Interest::Writable => room(fd).await?,
        }
    }
}

/// Waits until there is something to read in a pipe, or its writers are gone.
/// Dropping the future loses nothing.
///
/// The descriptor is duplicated, here and below: others may wait for it at the
/// same time, and a runtime takes each only once.
pub(in super::super) async fn readable(pipe: BorrowedFd<'_>) -> Result<()> {
    check_runtime()?;
    let pipe = pipe.try_clone_to_owned().and_then(Receiver::from_owned_fd);
    pipe.map_err(unregistered)?
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
