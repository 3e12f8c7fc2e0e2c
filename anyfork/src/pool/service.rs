//! [`Service`]: calls of a function as a `tower_service::Service`.
//! RUNS IN: caller

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::error::{Error, Result};
use crate::pool::call::{Call, no_event, start_call};
use crate::pool::callee::Callee;
use crate::pool::handle::Pool;
use crate::pool::on::OnPool;
use crate::pool::wait::Wait;

/// Calls of a function in a pool as a `tower_service::Service` (feature `tower`): what a
/// companion's `service` gives.
///
/// The request is the parameter, a tuple of the parameters, or `()`; the response is what the
/// function returns. The service is ready when a call would not have to wait for long, as with
/// [`Pool::ready`], so that `load_shed` refuses what the pool has no room for. If a response is
/// dropped, for example by `timeout`, its call is cancelled, and the worker is killed. A retry
/// policy can ask [`Error::never_entered`].
///
/// ```
/// # mod doctest {
/// use anyfork::Pool;
/// use tower_service::Service;
///
/// #[anyfork::call]
/// fn add(a: u32, b: u32) -> u32 {
///     a + b
/// }
///
/// # pub fn main() -> anyfork::Result<()> {
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
/// # runtime.block_on(async {
/// let pool = Pool::new()?;
/// let mut service = add::service(&pool);
/// std::future::poll_fn(|context| service.poll_ready(context)).await?;
/// assert_eq!(service.call((2, 3)).await?, 5);
/// # Ok(())
/// # })
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
pub struct Service<A, R> {
    pool: Pool,
    callee: Callee<A, R>,
    wait: Option<Wait>,
}

/// What a companion's `service` does.
pub fn service<A, R>(on: impl OnPool, callee: Callee<A, R>) -> Service<A, R> {
    Service {
        pool: on.pool(),
        callee,
        wait: None,
    }
}

impl<A, R> tower_service::Service<A> for Service<A, R> {
    type Response = R;
    type Error = Error;
    type Future = Call<R>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        let wait = self.wait.get_or_insert_with(|| self.pool.ready());
        let result = ready!(Pin::new(wait).poll(context));
        self.wait = None;
        Poll::Ready(result)
    }

    fn call(&mut self, arguments: A) -> Call<R> {
        let Callee {
            name,
            fingerprint,
            is_async,
            encode,
            decode,
        } = self.callee;
        start_call(
            &self.pool,
            name,
            fingerprint,
            is_async,
            encode(arguments),
            decode,
            no_event,
        )
    }
}

impl<A, R> Clone for Service<A, R> {
    fn clone(&self) -> Service<A, R> {
        Service {
            pool: self.pool.clone(),
            callee: self.callee,
            wait: None,
        }
    }
}

impl<A, R> fmt::Debug for Service<A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("name", &self.callee.name)
            .finish_non_exhaustive()
    }
}
