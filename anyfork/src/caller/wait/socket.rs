//! [`SocketReadiness`]: a worker's socket in the tokio runtime of those who call it.
//! RUNS IN: caller
//!
//! It lives as long as the worker, so that a call costs no registration, and is replaced
//! when a task of another runtime calls.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};
use tokio::runtime::{Handle, Id};

/// A socket that is registered with a runtime.
pub(crate) struct SocketReadiness {
    runtime: Id,
    socket: AsyncFd<Arc<UnixStream>>,
}

/// The socket is readable, or its peer is gone.
pub(crate) struct Readable<'a>(AsyncFdReadyGuard<'a, Arc<UnixStream>>);

impl Readable<'_> {
    /// All was received: the next event is another one.
    pub(crate) fn forget(mut self) {
        self.0.clear_ready();
    }
}

impl SocketReadiness {
    /// Registers the socket with the runtime of this task. `None` outside of a runtime, and
    /// where that is not possible.
    pub(crate) fn new(socket: &Arc<UnixStream>) -> Option<Arc<SocketReadiness>> {
        let runtime = Handle::try_current().ok()?.id();
        #[allow(
            deprecated,
            reason = "the replacement asks for a promise that every type keeps its descriptor, \
                      which a socket does anyway; and tokio 1.49 does not have it"
        )]
        let socket = AsyncFd::with_interest(Arc::clone(socket), Interest::READABLE).ok()?;
        Some(Arc::new(SocketReadiness { runtime, socket }))
    }

    /// Whether this task is of the same runtime.
    pub(crate) fn is_of_this_runtime(&self) -> bool {
        Handle::try_current().is_ok_and(|handle| handle.id() == self.runtime)
    }

    /// Waits until the socket is readable. One task at a time is woken. `None`: the runtime
    /// is being shut down.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Readable<'_>>> {
        let ready = self.socket.poll_read_ready(context);
        ready.map(|ready| ready.ok().map(Readable))
    }
}
