//! [`CancelGuard`]: kills a child whose launch is given up.
//! RUNS IN: caller

use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::caller::child::kill;
use crate::caller::spawn::reply::{ReadyChild, Reply, ReplyReader};
use crate::error::Result;
use crate::sys::{fd, socket};

/// The caller's end of a reply socket, and the reader of the replies. Dropped before
/// it is disarmed, it kills the child: nobody would know of it.
pub(crate) struct CancelGuard<S: AsFd> {
    /// `None` only while the guard is taken apart.
    socket: Option<S>,
    reader: ReplyReader,
}

impl<S: AsFd> CancelGuard<S> {
    pub(crate) fn new(socket: S) -> CancelGuard<S> {
        CancelGuard {
            socket: Some(socket),
            reader: ReplyReader::default(),
        }
    }

    /// [`ReplyReader::read`] of this socket.
    pub(crate) fn read_reply(&mut self) -> Result<Option<Reply>> {
        let socket = self.socket.as_ref().expect("taken only at the end");
        self.reader.read(socket.as_fd())
    }

    /// [`ReplyReader::claimant`].
    pub(crate) fn claimant(&self) -> Option<&Arc<OwnedFd>> {
        self.reader.claimant()
    }

    /// [`ReplyReader::claimed_pid`].
    #[cfg(feature = "pool")]
    pub(crate) fn claimed_pid(&self) -> Option<u32> {
        self.reader.claimed_pid()
    }

    pub(crate) fn socket(&self) -> &S {
        self.socket.as_ref().expect("taken only at the end")
    }

    /// A guard of the same child that has a duplicate of the socket.
    #[cfg(feature = "tokio")]
    pub(crate) fn with_duplicate<T: AsFd>(mut self, duplicate: T) -> CancelGuard<T> {
        let reader = mem::take(&mut self.reader);
        drop(self.disarm());
        CancelGuard {
            socket: Some(duplicate),
            reader,
        }
    }

    /// Kills the child. Returns whether it surely was not ready, and never will be.
    #[cfg(feature = "pool")]
    pub(crate) fn give_up(mut self) -> bool {
        self.cancel()
    }

    fn cancel(&mut self) -> bool {
        let Some(socket) = self.socket.take() else {
            return false;
        };
        let was_never_ready = cancel(socket.as_fd(), mem::take(&mut self.reader));
        // With the socket, the kernel closes the descriptors that are in it.
        if socket::has_input(socket.as_fd()) {
            let last = socket.as_fd().try_clone_to_owned();
            drop(socket);
            fd::close_elsewhere(last.into_iter().collect());
        }
        was_never_ready
    }

    /// The socket of a child that its caller knows.
    pub(crate) fn disarm(mut self) -> S {
        self.socket.take().expect("taken only here and by the drop")
    }
}

impl<S: AsFd> Drop for CancelGuard<S> {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// After the shutdown the child cannot send `Ready` any more, and exits. If it has sent
/// `Ready` before, its pidfd is here, and it is killed; with its group, because it may
/// be a program by now that leads one. One that runs user's code is killed, too. Returns
/// whether the child surely has sent no `Ready`.
fn cancel(socket: BorrowedFd<'_>, mut reader: ReplyReader) -> bool {
    let is_shut = socket::shut_down_receiving(socket).is_ok();
    let is_read = loop {
        match reader.read(socket) {
            Ok(Some(Reply::Claim)) => {}
            Ok(Some(Reply::Ready(ReadyChild { pid, pidfd }))) => {
                if let Some(pidfd) = pidfd {
                    let _ = kill::kill(pidfd.as_fd(), pid);
                    return false;
                }
                break false;
            }
            reply => break reply.is_ok(),
        }
    };
    if let Some(child) = reader.claimant() {
        let _ = kill::signal(child.as_fd(), libc::SIGKILL);
    }
    is_shut && is_read
}
