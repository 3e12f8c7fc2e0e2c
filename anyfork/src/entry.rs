//! [`Entry`]: a registered function that is about to be entered.
//! RUNS IN: child
//!
//! The attributes' code calls it in the new process: to decode the arguments, to
//! report "ready" to the caller, and to enter. Pure std: it does not know how
//! "ready" travels, and its callers in `child` do not know the parameters.

#[cfg(feature = "tokio")]
pub(crate) mod asynchronous;
#[cfg(feature = "pool")]
pub(crate) mod call;
pub mod chain;
pub(crate) mod collected;
pub(crate) mod outcome;
#[cfg(feature = "pool")]
pub(crate) mod sender;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use crate::args::Args;
use crate::args::preview::Preview;
use crate::args::value::FromArg;
use crate::error::{Error, ErrorKind, Result};

/// The kinds of functions that are entered in a new process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Worker,
    Init,
}

impl Kind {
    /// Its noun in messages.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Kind::Worker => "worker",
            Kind::Init => "init function",
        }
    }

    /// The other kind.
    pub(crate) fn other(self) -> Kind {
        match self {
            Kind::Worker => Kind::Init,
            Kind::Init => Kind::Worker,
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

/// A function that was found, with its arguments, before it is entered.
pub struct Entry {
    kind: Kind,
    name: &'static str,
    /// The arguments that no parameter has taken yet.
    args: Args,
    /// The number of arguments at the beginning.
    count: usize,
    /// The worker's end of the communication socket, until it is entered.
    socket: Option<UnixStream>,
    hooks: Hooks,
}

/// What the child does on the way to a worker.
#[derive(Clone, Copy)]
pub(crate) struct Hooks {
    /// Called before a conversion of the user's own, which might never end: from
    /// then on the child dies with its caller.
    pub(crate) die_with_caller: fn(&UnixStream) -> Result<()>,
    /// Reports to the caller that the worker is about to be entered.
    pub(crate) ready: fn(&UnixStream) -> Result<()>,
}

/// The types that the first parameter of a worker can have.
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
    /// The entry of a worker.
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

    /// The entry of an init function.
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
        let preview = Preview::of(&arg);
        T::from_arg(arg).map(Some).map_err(|reason| {
            let (noun, name) = (self.kind.noun(), self.name);
            let what = format_args!("parameter `{parameter}` ({ty}) of {noun} `{name}`");
            preview.refused(what, &reason)
        })
    }

    /// Takes all arguments that are left.
    pub fn rest(&mut self) -> Args {
        std::mem::take(&mut self.args)
    }

    /// Refuses arguments that no parameter takes: the last step before an init
    /// function is called.
    pub fn finish(&self) -> Result<()> {
        if self.args.is_empty() {
            return Ok(());
        }
        let Entry {
            name, count, args, ..
        } = self;
        let (noun, takes) = (self.kind.noun(), *count - args.len());
        let arguments = match takes {
            1 => "argument",
            _ => "arguments",
        };
        let message = format!("{noun} `{name}` takes {takes} {arguments} and got {count}");
        Err(Error::new(ErrorKind::BadArgument, message))
    }

    /// Reports to the caller that the worker is entered now, and takes the socket,
    /// which carries nothing of the library's from here on.
    pub fn enter(&mut self) -> Result<OwnedFd> {
        self.finish()?;
        let socket = self.socket.take().expect("a worker is entered once");
        match (self.hooks.ready)(&socket) {
            Ok(()) => Ok(socket.into()),
            Err(error) => {
                self.socket = Some(socket);
                Err(error)
            }
        }
    }

    /// [`enter`](Entry::enter), with the socket as the type of a worker's parameter.
    pub fn enter_with<T: Socket>(&mut self) -> Result<T> {
        T::from_fd(self.enter()?).map_err(|error| Error::io("set the socket up", error))
    }

    /// The socket of a worker that was not entered, to send the error on.
    pub(crate) fn socket(&self) -> Option<&UnixStream> {
        self.socket.as_ref()
    }
}
