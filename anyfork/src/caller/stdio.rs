//! [`Stdio`]: what a standard stream of a process becomes.
//! RUNS IN: caller

#[cfg(feature = "tokio")]
pub(crate) mod registered;

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, OwnedFd};
use std::process;

use crate::error::{Error, Result};
use crate::sys::fd;

/// What a standard stream of a process becomes. This is a type of anyfork's own, because std's
/// type of this name cannot be read back.
///
/// It can be made from any owned descriptor: a file, a socket, an end of a pipe, a stream of
/// another process.
///
/// ```
/// use anyfork::Stdio;
///
/// let log = std::fs::File::open("/dev/null")?;
/// let streams = [Stdio::null(), Stdio::inherit(), Stdio::piped(), log.into()];
/// assert_eq!(streams.len(), 4);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Stdio(pub(crate) Kind);

#[derive(Debug)]
pub(crate) enum Kind {
    Inherit,
    Null,
    Piped,
    Fd(OwnedFd),
}

impl Stdio {
    /// The caller's stream. A [`Process`](crate::Process) takes the stream that the caller has
    /// when the setting is made, a [`Command`](crate::Command) the one that it has when the
    /// program is started.
    ///
    /// A stream that is not set at all is the caller's, too, but as it is when the process is
    /// started, unless the template was given a stream.
    pub fn inherit() -> Stdio {
        Stdio(Kind::Inherit)
    }

    /// `/dev/null`.
    pub fn null() -> Stdio {
        Stdio(Kind::Null)
    }

    /// A pipe, whose other end is in the [`Child`](crate::Child).
    ///
    /// A template has `/dev/null` instead, because nobody would have the other end of its pipe.
    /// Each process that is forked from the template gets a pipe of its own.
    pub fn piped() -> Stdio {
        Stdio(Kind::Piped)
    }
}

macro_rules! from_owned {
    ($($type:ty),* $(,)?) => {$(
        impl From<$type> for Stdio {
            fn from(stream: $type) -> Stdio {
                Stdio(Kind::Fd(stream.into()))
            }
        }
    )*};
}

from_owned!(
    OwnedFd,
    File,
    PipeReader,
    PipeWriter,
    process::ChildStdin,
    process::ChildStdout,
    process::ChildStderr,
    std::net::TcpStream,
    std::os::unix::net::UnixStream,
);

/// The caller's standard output.
impl From<io::Stdout> for Stdio {
    fn from(_: io::Stdout) -> Stdio {
        duplicate(1)
    }
}

/// The caller's standard error.
impl From<io::Stderr> for Stdio {
    fn from(_: io::Stderr) -> Stdio {
        duplicate(2)
    }
}

/// A duplicate of the caller's own stream; `/dev/null` if that is closed.
fn duplicate(number: u8) -> Stdio {
    let fd = inherited(number);
    Stdio(fd.map_or(Kind::Null, Kind::Fd))
}

/// A duplicate of the caller's own stream; `None` if that is closed.
fn inherited(number: u8) -> Option<OwnedFd> {
    match number {
        0 => io::stdin().as_fd().try_clone_to_owned().ok(),
        1 => io::stdout().as_fd().try_clone_to_owned().ok(),
        _ => io::stderr().as_fd().try_clone_to_owned().ok(),
    }
}

impl Stdio {
    /// A copy, with a duplicate of the descriptor.
    pub(crate) fn try_clone(&self) -> io::Result<Stdio> {
        Ok(Stdio(match &self.0 {
            Kind::Inherit => Kind::Inherit,
            Kind::Null => Kind::Null,
            Kind::Piped => Kind::Piped,
            Kind::Fd(fd) => Kind::Fd(fd.try_clone()?),
        }))
    }

    pub(crate) fn is_piped(&self) -> bool {
        matches!(self.0, Kind::Piped)
    }

    /// The descriptor for stream `number` of a process. `None` stands for `/dev/null`,
    /// which is also what a template has in place of a pipe.
    pub(crate) fn resolve(self, number: u8) -> Option<OwnedFd> {
        match self.0 {
            Kind::Inherit => inherited(number),
            Kind::Null | Kind::Piped => None,
            Kind::Fd(fd) => Some(fd),
        }
    }
}

/// The caller's ends of the pipes that a process has for standard streams.
#[derive(Debug, Default)]
pub(crate) struct Streams(pub(crate) [Option<OwnedFd>; 3]);

/// Makes a pipe: `(the child's end, the caller's end)`.
pub(crate) fn pipe(number: u8) -> Result<(OwnedFd, OwnedFd)> {
    let pipe = fd::pipe().map_err(|error| {
        let name = ["stdin", "stdout", "stderr"][usize::from(number)];
        Error::io(format_args!("make a pipe for {name}"), error)
    });
    let (read, write) = pipe?;
    Ok(match number {
        0 => (read, write),
        _ => (write, read),
    })
}
