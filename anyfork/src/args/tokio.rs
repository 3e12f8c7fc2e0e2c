//! Arguments of tokio's types, which travel as descriptors.
//! RUNS IN: caller, child
//!
//! In the caller they leave the runtime, and become blocking for whoever receives
//! them; in the child a parameter of these types joins the worker's runtime.

use std::io;
use std::os::fd::OwnedFd;

use tokio::fs::File;
use tokio::net::unix::pipe;
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};
use tokio::runtime::Handle;

use crate::args::descriptor::Descriptor;
use crate::args::value::{Arg, ArgError, FromArg, IntoArg};

/// The conversions of types that become std's outside a runtime.
macro_rules! through_std {
    ($($ty:ty, $std:ty;)*) => {$(
        #[diagnostic::do_not_recommend]
        impl IntoArg for $ty {
            fn into_arg(self) -> Result<Arg, ArgError> {
                let leave = || {
                    let it = self.into_std()?;
                    it.set_nonblocking(false)?;
                    Ok(it)
                };
                leave().map_err(|error| cannot_leave("socket", error))?.into_arg()
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

        impl Descriptor for $ty {}
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
            fn into_arg(self) -> Result<Arg, ArgError> {
                let fd = self.into_blocking_fd();
                fd.map_err(|error| cannot_leave("pipe", error))?.into_arg()
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

        impl Descriptor for $ty {}
    )*};
}

pipes! {
    pipe::Receiver, std::io::PipeReader;
    pipe::Sender, std::io::PipeWriter;
}

/// A file with an operation under way is refused: `into_std` would wait for the operation.
#[diagnostic::do_not_recommend]
impl IntoArg for File {
    fn into_arg(self) -> Result<Arg, ArgError> {
        let file = self
            .try_into_std()
            .map_err(|_| cannot_leave("file", io::ErrorKind::ResourceBusy.into()))?;
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

impl Descriptor for File {}

fn cannot_leave(what: &str, error: io::Error) -> ArgError {
    ArgError::new(format_args!("take a {what} from tokio: {error}"))
}

/// Refuses a tokio type outside a runtime, where tokio itself would panic.
fn in_runtime() -> Result<(), ArgError> {
    Handle::try_current()
        .map(drop)
        .map_err(|_| ArgError::new("a tokio type needs an `async fn` worker"))
}
