//! [`CancelGuard`]: what calls a child off whose launch is given up.

use std::os::fd::{AsFd, BorrowedFd};

#[cfg(feature = "tokio")]
use crate::error::Result;
use crate::protocol::reply;
use crate::sys::{pidfd, socket};

/// The caller's end of an answer socket, as long as no answer has come.
/// Dropped then, it calls the child off: nobody would know of it.
pub(crate) struct CancelGuard<S: AsFd>(Option<S>);

impl<S: AsFd> CancelGuard<S> {
    pub(crate) fn new(socket: S) -> CancelGuard<S> {
        CancelGuard(Some(socket))
    }

    /// The same socket as another type, which `map` makes of a duplicate: if that
    /// fails, or panics, the child is called off.
    #[cfg(feature = "tokio")]
    pub(crate) fn try_map<T: AsFd>(
        self,
        map: impl FnOnce(&S) -> Result<T>,
    ) -> Result<CancelGuard<T>> {
        let mapped = map(self.get())?;
        drop(self.disarm());
        Ok(CancelGuard::new(mapped))
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn get(&self) -> &S {
        self.0.as_ref().expect("taken only at the end")
    }

    /// The socket of a child that is known now.
    pub(crate) fn disarm(mut self) -> S {
        self.0.take().expect("taken only here and by drop")
    }
}

impl<S: AsFd> AsFd for CancelGuard<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        let socket = self.0.as_ref().expect("taken only at the end");
        socket.as_fd()
    }
}

impl<S: AsFd> Drop for CancelGuard<S> {
    fn drop(&mut self) {
        if let Some(socket) = self.0.take() {
            cancel(socket.as_fd());
        }
    }
}

/// After the shutdown the child can say "ready" no more, and ends by itself; if
/// it has said so already, its pidfd is there and it is killed. A program may run
/// by then, and lead a group, of which nobody would know either.
fn cancel(socket: BorrowedFd<'_>) {
    let _ = socket::shut_down_receiving(socket);
    let (mut head, mut fds) = ([0; reply::HEAD_LEN], Vec::new());
    let _ = socket::receive(socket, &mut head, &mut fds);
    if let Ok(reply::Head::Ready { pid }) = reply::parse_head(&head)
        && let Some(pidfd) = fds.first()
    {
        let _ = pidfd::send_signal_to_group(pidfd.as_fd(), pid, libc::SIGKILL);
        let _ = pidfd::send_signal(pidfd.as_fd(), libc::SIGKILL);
    }
}
