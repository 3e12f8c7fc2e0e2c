//! tokio's counterparts of the descriptors. They leave the sender's runtime,
//! and blocking mode is set for whoever receives them; a parameter of these
//! types joins the worker's runtime.

use std::os::fd::OwnedFd;

use tokio::fs::File;
use tokio::net::unix::pipe;
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};
use tokio::runtime::Handle;

use crate::args::{Arg, ArgError, FromArg, IntoArg};
use crate::error::{Error, Result};

/// Through the std type: out of one runtime, into another.
macro_rules! through_std {
    ($($ty:ty, $std:ty;)*) => {$(
        #[diagnostic::do_not_recommend]
        impl IntoArg for $ty {
            fn into_arg(self) -> Result<Arg> {
                let leave = || {
                    let it = self.into_std()?;
                    it.set_nonblocking(false)?;
                    Ok(it)
                };
                leave()
                    .map_err(|error: std::io::Error| Error::io("take a socket from tokio", error))?
                    .into_arg()
            }
        }

        #[diagnostic::do_not_recommend]
        impl FromArg for $ty {
            const BUILTIN: bool = true;

            fn from_arg(arg: Arg) -> Result<$ty, ArgError> {
                let it = <$std>::from_arg(arg)?;
                in_runtime()?;
                it.set_nonblocking(true).map_err(ArgError::new)?;
                <$ty>::from_std(it).map_err(ArgError::new)
            }
        }
    )*};
}

through_std! {
    TcpListener, std::net::TcpListener;
    TcpStream, std::net::TcpStream;
    UdpSocket, std::net::UdpSocket;
    UnixListener, std::os::unix::net::UnixListener;
    UnixStream, std::os::unix::net::UnixStream;
    UnixDatagram, std::os::unix::net::UnixDatagram;
}

macro_rules! pipes {
    ($($ty:ty, $std:ty;)*) => {$(
        #[diagnostic::do_not_recommend]
        impl IntoArg for $ty {
            fn into_arg(self) -> Result<Arg> {
                let fd = self.into_blocking_fd();
                fd.map_err(|error| Error::io("take a pipe from tokio", error))?.into_arg()
            }
        }

        #[diagnostic::do_not_recommend]
        impl FromArg for $ty {
            const BUILTIN: bool = true;

            fn from_arg(arg: Arg) -> Result<$ty, ArgError> {
                let fd = OwnedFd::from(<$std>::from_arg(arg)?);
                in_runtime()?;
                <$ty>::from_owned_fd(fd).map_err(ArgError::new)
            }
        }
    )*};
}

pipes! {
    pipe::Receiver, std::io::PipeReader;
    pipe::Sender, std::io::PipeWriter;
}

/// A file with no operation under way; `into_std` would have to wait for one.
#[diagnostic::do_not_recommend]
impl IntoArg for File {
    fn into_arg(self) -> Result<Arg> {
        let file = self
            .try_into_std()
            .map_err(|_| Error::io("take a file from tokio", std::io::ErrorKind::ResourceBusy))?;
        file.into_arg()
    }
}

#[diagnostic::do_not_recommend]
impl FromArg for File {
    const BUILTIN: bool = true;

    fn from_arg(arg: Arg) -> Result<File, ArgError> {
        std::fs::File::from_arg(arg).map(File::from_std)
    }
}

/// tokio panics outside a runtime; a worker's author gets a sentence instead.
fn in_runtime() -> Result<(), ArgError> {
    Handle::try_current()
        .map(drop)
        .map_err(|_| ArgError::new("a tokio type needs an `async fn` worker"))
}
