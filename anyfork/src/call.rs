//! The entrance of a worker: what the attributes' code calls in the new
//! process to decode arguments, to say "ready", and to tell how it ended.
//!
//! Pure std: it does not know how "ready" travels, and the child's side does
//! not know what the parameters are.

#[cfg(feature = "tokio")]
mod asynchronous;
mod outcome;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use crate::args::{Args, FromArg, Preview};
use crate::error::{Error, ErrorKind, Result};

#[cfg(feature = "tokio")]
pub use asynchronous::{AsyncSocket, Flavor, runtime};
pub use outcome::{Outcome, Report};

/// A call of a worker that has arrived and is not entered yet.
pub struct Call {
    worker: &'static str,
    args: Args,
    count: usize,
    socket: Option<UnixStream>,
    ready: fn(&UnixStream) -> Result<()>,
}

/// What the first parameter of a worker can be.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the socket of a worker",
    label = "the first parameter is the communication socket",
    note = "use `std::os::unix::net::UnixStream` or `std::os::fd::OwnedFd` (in an `async fn` also `tokio::net::UnixStream`)"
)]
pub trait Socket: Sized {
    /// Takes the worker's end.
    fn from_fd(fd: OwnedFd) -> io::Result<Self>;
}

impl Socket for UnixStream {
    fn from_fd(fd: OwnedFd) -> io::Result<UnixStream> {
        Ok(fd.into())
    }
}

impl Socket for OwnedFd {
    fn from_fd(fd: OwnedFd) -> io::Result<OwnedFd> {
        Ok(fd)
    }
}

impl Call {
    /// `ready` tells the caller, over the socket, that the worker is entered.
    pub(crate) fn new(
        worker: &'static str,
        args: Args,
        socket: UnixStream,
        ready: fn(&UnixStream) -> Result<()>,
    ) -> Call {
        Call {
            worker,
            count: args.len(),
            args,
            socket: Some(socket),
            ready,
        }
    }

    /// Takes the next argument for a parameter that must be there.
    pub fn arg<T: FromArg>(&mut self, parameter: &str, ty: &str) -> Result<T> {
        self.optional(parameter, ty)?.ok_or_else(|| {
            let Call { worker, count, .. } = self;
            let message = format!(
                "worker `{worker}` got too few arguments ({count}): none for `{parameter}` ({ty})"
            );
            Error::new(ErrorKind::BadArgument, message)
        })
    }

    /// Takes the next argument for an `Option` at the end.
    pub fn optional<T: FromArg>(&mut self, parameter: &str, ty: &str) -> Result<Option<T>> {
        let Some(arg) = self.args.next() else {
            return Ok(None);
        };
        let came = Preview::of(&arg);
        T::from_arg(arg).map(Some).map_err(|reason| {
            let worker = self.worker;
            came.refused(
                format_args!("parameter `{parameter}` ({ty}) of worker `{worker}`"),
                &reason,
            )
        })
    }

    /// Takes all that is left.
    pub fn rest(&mut self) -> Args {
        std::mem::take(&mut self.args)
    }

    /// Tells the caller that the worker is entered now and takes the socket,
    /// which carries nothing of the library's from here on.
    pub fn enter(&mut self) -> Result<OwnedFd> {
        if self.args.len() > 0 {
            let Call {
                worker,
                count,
                args,
                ..
            } = self;
            let takes = *count - args.len();
            let message = format!("worker `{worker}` takes {takes} arguments and got {count}");
            return Err(Error::new(ErrorKind::BadArgument, message));
        }
        let socket = self.socket.take().expect("a call is entered once");
        match (self.ready)(&socket) {
            Ok(()) => Ok(socket.into()),
            Err(error) => {
                self.socket = Some(socket);
                Err(error)
            }
        }
    }

    /// [`enter`](Call::enter), with the socket as a worker's parameter has it.
    pub fn enter_with<T: Socket>(&mut self) -> Result<T> {
        T::from_fd(self.enter()?).map_err(|error| Error::io("set the socket up", error))
    }

    /// The socket of a call that was not entered, to answer on.
    pub(crate) fn socket(&self) -> Option<&UnixStream> {
        self.socket.as_ref()
    }
}
