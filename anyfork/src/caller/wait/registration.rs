//! [`Registry`]: a descriptor's registrations with tokio runtimes.
//! RUNS IN: caller
//!
//! Any number of tasks, in any number of runtimes, wait for the descriptor. A runtime takes each descriptor only once. So the tasks of one runtime share a
//! registration, which lives as long as one of them waits. It opens no descriptor.

use std::fmt;
use std::future::{pending, poll_fn};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::Poll;

use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};
use tokio::runtime::{Handle, Id};

use crate::caller::wait::readiness::{check_runtime, unregistered};
use crate::error::Result;

/// A descriptor, and its registrations.
pub(crate) struct Registry {
    fd: Arc<OwnedFd>,
    registered: Mutex<Vec<(Id, Weak<Registered>)>>,
}

/// A descriptor that is registered with a runtime.
pub(crate) struct Registered(AsyncFd<Arc<OwnedFd>>);

/// A descriptor was ready: readable, or hung up.
pub(crate) struct Ready<'a>(AsyncFdReadyGuard<'a, Arc<OwnedFd>>);

impl Registry {
    pub(crate) fn new(fd: &Arc<OwnedFd>) -> Registry {
        Registry {
            fd: Arc::clone(fd),
            registered: Mutex::default(),
        }
    }

    /// Registers the descriptor with the runtime of this task, unless another task has.
    pub(crate) fn register(&self) -> Result<Arc<Registered>> {
        check_runtime()?;
        let runtime = Handle::current().id();
        let all = self.registered.lock();
        let mut all = all.unwrap_or_else(PoisonError::into_inner);
        all.retain(|(_, registered)| registered.strong_count() > 0);
        let same = all.iter().find(|(id, _)| *id == runtime);
        if let Some(registered) = same.and_then(|(_, registered)| registered.upgrade()) {
            return Ok(registered);
        }
        #[allow(
            deprecated,
            reason = "the replacement asks for a promise that every type keeps its descriptor, \
                      which an `OwnedFd` does anyway; and tokio 1.49 does not have it"
        )]
        let registered = AsyncFd::with_interest(Arc::clone(&self.fd), Interest::READABLE);
        let registered = Arc::new(Registered(registered.map_err(unregistered)?));
        all.push((runtime, Arc::downgrade(&registered)));
        Ok(registered)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registry").field(&self.fd).finish()
    }
}

impl Ready<'_> {
    /// Forgets that the descriptor was ready: the next wait is for another event.
    pub(crate) fn forget(mut self) {
        self.0.clear_ready();
    }
}

/// Waits until one of the two is ready.
pub(crate) async fn ready_either<'a>(
    one: &'a Registered,
    other: Option<&'a Registered>,
) -> Result<Ready<'a>> {
    let mut one = pin!(one.0.readable());
    let mut other = pin!(async {
        match other {
            Some(other) => other.0.readable().await,
            None => pending().await,
        }
    });
    let ready = poll_fn(|context| match one.as_mut().poll(context) {
        Poll::Pending => other.as_mut().poll(context),
        ready => ready,
    });
    ready.await.map(Ready).map_err(unregistered)
}
