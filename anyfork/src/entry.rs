//! The entrance of a registered function: what the attributes' code calls in
//! the new process to decode arguments, to say "ready", and to tell how it
//! ended.
//!
//! Pure std: it does not know how "ready" travels, and the child's side does
//! not know what the parameters are.

#[cfg(feature = "tokio")]
pub(crate) mod asynchronous;
pub(crate) mod collected;
pub(crate) mod outcome;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use crate::args::Args;
use crate::args::preview::Preview;
use crate::args::value::FromArg;
use crate::error::{Error, ErrorKind, Result};

#[cfg(feature = "tokio")]
pub use crate::entry::asynchronous::{AsyncSocket, Flavor, runtime};
pub use crate::entry::collected::take_args;
pub(crate) use crate::entry::collected::with_collected;
pub use crate::entry::outcome::{Outcome, Report};

/// The kinds of functions that are entered in a new process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Worker,
    Init,
}

impl Kind {
    /// What messages call it.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Kind::Worker => "worker",
            Kind::Init => "init function",
        }
    }

    /// The attribute that registers it.
    pub(crate) fn attribute(self) -> &'static str {
        match self {
            Kind::Worker => "#[anyfork::worker]",
            Kind::Init => "#[anyfork::init]",
        }
    }
}

/// A call that has arrived and is not entered yet.
pub struct Entry {
    kind: Kind,
    name: &'static str,
    args: Args,
    count: usize,
    /// A worker's, until it is entered.
    socket: Option<UnixStream>,
    hooks: Hooks,
}

/// What the child's side does on the way to a worker.
#[derive(Clone, Copy)]
pub(crate) struct Hooks {
    /// Code of the user's is about to run, which might never end.
    pub(crate) die_with_caller: fn(&UnixStream) -> Result<()>,
    /// Tells the caller that the worker is about to be entered.
    pub(crate) ready: fn(&UnixStream) -> Result<()>,
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

impl Entry {
    /// A worker's call.
    pub(crate) fn worker(
        name: &'static str,
        args: Args,
        socket: UnixStream,
        hooks: Hooks,
    ) -> Entry {
        Entry {
            kind: Kind::Worker,
            name,
            count: args.len(),
            args,
            socket: Some(socket),
            hooks,
        }
    }

    /// An init function's call.
    pub(crate) fn init(name: &'static str, args: Args) -> Entry {
        Entry {
            kind: Kind::Init,
            name,
            count: args.len(),
            args,
            socket: None,
            hooks: Hooks {
                die_with_caller: |_| Ok(()),
                ready: |_| Ok(()),
            },
        }
    }

    /// Takes the next argument for a parameter that must be there.
    pub fn arg<T: FromArg>(&mut self, parameter: &str, ty: &str) -> Result<T> {
        self.optional(parameter, ty)?.ok_or_else(|| {
            let Entry { name, count, .. } = self;
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
        if !T::BUILTIN
            && let Some(socket) = &self.socket
        {
            (self.hooks.die_with_caller)(socket)?;
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
        if self.args.is_empty() {
            return Ok(());
        }
        let Entry {
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
        match (self.hooks.ready)(&socket) {
            Ok(()) => Ok(socket.into()),
            Err(error) => {
                self.socket = Some(socket);
                Err(error)
            }
        }
    }

    /// [`enter`](Entry::enter), with the socket as a worker's parameter has it.
    pub fn enter_with<T: Socket>(&mut self) -> Result<T> {
        T::from_fd(self.enter()?).map_err(|error| Error::io("set the socket up", error))
    }

    /// The socket of a call that was not entered, to answer on.
    pub(crate) fn socket(&self) -> Option<&UnixStream> {
        self.socket.as_ref()
    }
}
