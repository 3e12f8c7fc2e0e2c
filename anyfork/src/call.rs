//! The entrance of a registered function: what the attributes' code calls in
//! the new process to decode arguments, to say "ready", and to tell how it
//! ended.
//!
//! Pure std: it does not know how "ready" travels, and the child's side does
//! not know what the parameters are. So a call may begin in a template, which is
//! forked when code of the user's is about to run.

#[cfg(feature = "tokio")]
mod asynchronous;
mod collected;
mod outcome;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use crate::args::{Args, Conversion, FromArg, Preview};
use crate::error::{Error, ErrorKind, Result};
use crate::registry::Kind;

#[cfg(feature = "tokio")]
pub use asynchronous::{AsyncSocket, Flavor};
pub use collected::take_args;
pub(crate) use collected::with_collected;
pub use outcome::{Outcome, Report};

/// A call that has arrived and is not entered yet.
pub struct Call<'a> {
    kind: Kind,
    name: &'static str,
    args: Args,
    count: usize,
    /// A worker's, until it is entered.
    socket: Option<UnixStream>,
    /// Of a worker.
    host: Option<&'a mut dyn Host>,
}

/// The process that a worker's call is in, on the way to the worker.
pub(crate) trait Host {
    /// Something is about to happen that must not happen in a template.
    fn settle(&mut self, socket: &UnixStream) -> Result<()>;
    /// Code of the user's is about to run, which might never end.
    fn guard(&mut self, socket: &UnixStream) -> Result<()>;
    /// Tells the caller that the worker is about to be entered.
    fn ready(&mut self, socket: &UnixStream) -> Result<()>;
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

impl<'a> Call<'a> {
    /// A worker's call.
    pub(crate) fn worker(
        name: &'static str,
        args: Args,
        socket: UnixStream,
        host: &'a mut dyn Host,
    ) -> Call<'a> {
        Call {
            kind: Kind::Worker,
            name,
            count: args.len(),
            args,
            socket: Some(socket),
            host: Some(host),
        }
    }

    /// An init function's call.
    pub(crate) fn init(name: &'static str, args: Args) -> Call<'a> {
        Call {
            kind: Kind::Init,
            name,
            count: args.len(),
            args,
            socket: None,
            host: None,
        }
    }

    /// Takes the next argument for a parameter that must be there.
    pub fn arg<T: FromArg>(&mut self, parameter: &str, ty: &str) -> Result<T> {
        self.optional(parameter, ty)?.ok_or_else(|| {
            let Call { name, count, .. } = self;
            let noun = self.kind.noun();
            let message = format!(
                "{noun} `{name}` got too few arguments ({count}): none for `{parameter}` ({ty})"
            );
            Error::new(ErrorKind::BadArgument, message)
        })
    }

    /// Takes the next argument for an `Option` at the end.
    pub fn optional<T: FromArg>(&mut self, parameter: &str, ty: &str) -> Result<Option<T>> {
        let Some(arg) = self.args.next() else {
            return Ok(None);
        };
        match T::CONVERSION {
            Conversion::Foreign => self.ask(|host, socket| host.guard(socket))?,
            Conversion::Own => self.ask(|host, socket| host.settle(socket))?,
            Conversion::Plain => {}
        }
        let came = Preview::of(&arg);
        T::from_arg(arg).map(Some).map_err(|reason| {
            let (noun, name) = (self.kind.noun(), self.name);
            let what = format_args!("parameter `{parameter}` ({ty}) of {noun} `{name}`");
            came.refused(what, &reason)
        })
    }

    /// Takes all that is left.
    pub fn rest(&mut self) -> Args {
        std::mem::take(&mut self.args)
    }

    /// Refuses arguments that no parameter takes: the last thing before an init
    /// function is called.
    pub fn finish(&self) -> Result<()> {
        if self.args.len() == 0 {
            return Ok(());
        }
        let Call {
            name, count, args, ..
        } = self;
        let (noun, takes) = (self.kind.noun(), *count - args.len());
        let message = format!("{noun} `{name}` takes {takes} arguments and got {count}");
        Err(Error::new(ErrorKind::BadArgument, message))
    }

    /// Tells the caller that the worker is entered now and takes the socket,
    /// which carries nothing of the library's from here on.
    pub fn enter(&mut self) -> Result<OwnedFd> {
        self.finish()?;
        let socket = self.socket.take().expect("a worker's call is entered once");
        let ready = self.host.as_mut().map(|host| host.ready(&socket));
        match ready.unwrap_or(Ok(())) {
            Ok(()) => Ok(socket.into()),
            Err(error) => {
                self.socket = Some(socket);
                Err(error)
            }
        }
    }

    /// Asks the host of a worker that was not entered yet.
    fn ask(&mut self, what: impl FnOnce(&mut dyn Host, &UnixStream) -> Result<()>) -> Result<()> {
        match (&mut self.host, &self.socket) {
            (Some(host), Some(socket)) => what(&mut **host, socket),
            _ => Ok(()),
        }
    }

    /// [`enter`](Call::enter), with the socket as a worker's parameter has it.
    pub fn enter_with<T: Socket>(&mut self) -> Result<T> {
        T::from_fd(self.enter()?).map_err(|error| Error::io("set the socket up", error))
    }

    /// The socket of a call that was not entered, to answer on.
    pub(crate) fn into_socket(self) -> Option<UnixStream> {
        self.socket
    }
}
