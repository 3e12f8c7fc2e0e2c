//! [`Startup`]: how far a template's preparation is, by its reply.
//! RUNS IN: caller

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use crate::caller::spawn::reply::{ReadyChild, Reply, ReplyReader};
use crate::error::{Error, ErrorKind};
use crate::sys::socket;

/// How far the template's preparation is.
pub(crate) enum Startup {
    /// The reply will come on this socket.
    Open {
        socket: Arc<OwnedFd>,
        reader: ReplyReader,
    },
    Ready {
        pid: u32,
        /// `None`: the descriptor table had no room for it.
        pidfd: Option<Arc<OwnedFd>>,
    },
    /// The template has reported why it serves nobody. The socket is readable from then
    /// on.
    Failed(Error, Arc<OwnedFd>),
    /// The template has exited without a reply that can be read.
    Silent(Error),
    /// The reply went to another process.
    Elsewhere,
}

/// The startup of a template whose reply is still to come.
pub(crate) fn open(reply: UnixStream) -> Startup {
    Startup::Open {
        socket: Arc::new(reply.into()),
        reader: ReplyReader::default(),
    }
}

/// Reads a template's reply; `None` until it has come.
pub(crate) fn read_startup(socket: &Arc<OwnedFd>, reader: &mut ReplyReader) -> Option<Startup> {
    loop {
        return Some(match reader.read(socket.as_fd()).transpose()? {
            Ok(Reply::Claim) => continue,
            // What it would report is known a little later, by the control socket.
            Ok(Reply::NoRoom) => {
                reader.go_without_pidfd();
                continue;
            }
            Ok(Reply::Ready(ReadyChild { pid, pidfd })) => Startup::Ready {
                pid,
                pidfd: pidfd.map(Arc::new),
            },
            Ok(Reply::Failed(error)) => Startup::Failed(error, Arc::clone(socket)),
            Ok(Reply::Hello | Reply::End) => {
                Startup::Silent(Error::new(ErrorKind::TemplateGone, NEVER_READY))
            }
            // No template speaks so. While it is being prepared, this kills it.
            Err(error) => {
                let _ = socket::shut_down(socket.as_fd());
                Startup::Failed(error, Arc::clone(socket))
            }
        });
    }
}

const NEVER_READY: &str = "the template process has ended before it was ready";
