//! Arguments of types that travel as descriptors: files, pipes, sockets.
//! RUNS IN: caller, child
//!
//! Implements the traits of `args/value.rs`. The child checks each descriptor that
//! it received against the parameter's type, so that a file in a listener's place
//! is an error of the launch and not one of the first `accept`.

use std::fs::File;
use std::io::{PipeReader, PipeWriter};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use crate::args::value::{Arg, ArgError, FromArg, IntoArg};
use crate::sys::fd_identity;
use crate::sys::fd_identity::Socket;

/// The argument types that are descriptors.
#[cfg_attr(not(feature = "pool"), allow(dead_code, unreachable_pub))]
pub trait Descriptor: IntoArg + FromArg {}

impl Arg {
    /// The descriptor, if `check` finds it to be `wanted`.
    pub(crate) fn into_fd(
        self,
        wanted: &str,
        check: fn(BorrowedFd<'_>) -> bool,
    ) -> Result<OwnedFd, ArgError> {
        match self {
            Arg::Fd(fd) if check(fd.as_fd()) => Ok(fd),
            Arg::Fd(_) => Err(ArgError::new(format_args!("it is not {wanted}"))),
            Arg::Bytes(_) => Err(ArgError::new(format_args!("{wanted} is wanted"))),
        }
    }
}

/// `IntoArg` and `FromArg` for std's owners of a descriptor.
macro_rules! as_descriptor {
    ($($ty:ty, $wanted:literal, $check:expr;)*) => {$(
        #[diagnostic::do_not_recommend]
        impl IntoArg for $ty {
            fn into_arg(self) -> Result<Arg, ArgError> {
                Ok(Arg::Fd(self.into()))
            }
        }

        #[diagnostic::do_not_recommend]
        impl FromArg for $ty {
            const BUILTIN: bool = true;

            fn from_arg(arg: Arg) -> Result<$ty, ArgError> {
                arg.into_fd($wanted, $check).map(Into::into)
            }
        }

        impl Descriptor for $ty {}
    )*};
}

as_descriptor! {
    OwnedFd, "a descriptor", |_| true;
    File, "a descriptor", |_| true;
    PipeReader, "a pipe", fd_identity::is_pipe;
    PipeWriter, "a pipe", fd_identity::is_pipe;
    TcpListener, "a listening TCP socket", |fd| fd_identity::is_socket(fd, Socket::TcpListener);
    TcpStream, "a TCP connection", |fd| fd_identity::is_socket(fd, Socket::TcpStream);
    UdpSocket, "a UDP socket", |fd| fd_identity::is_socket(fd, Socket::Udp);
    UnixListener, "a listening Unix socket", |fd| fd_identity::is_socket(fd, Socket::UnixListener);
    UnixStream, "a Unix stream", |fd| fd_identity::is_socket(fd, Socket::UnixStream);
    UnixDatagram, "a Unix datagram socket", |fd| fd_identity::is_socket(fd, Socket::UnixDatagram);
}
