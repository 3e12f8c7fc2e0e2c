//! [`Each`]: a call that runs once in every worker of a pool.
//! RUNS IN: caller

use std::collections::VecDeque;
use std::fmt;
#[cfg(feature = "tokio")]
use std::future::poll_fn;
use std::iter;
#[cfg(feature = "tokio")]
use std::pin::Pin;
use std::sync::Arc;
#[cfg(feature = "tokio")]
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::pool::call::Arguments;
use crate::pool::callee::Callee;
use crate::pool::core::Shared;
use crate::pool::decode::{Decode, result_of};
use crate::pool::ended;
use crate::pool::entry::Aim;
use crate::pool::handle::Pool;
use crate::pool::map::blocking::Blocking;
use crate::pool::on::OnPool;
use crate::pool::pooled::PoolCall;
use crate::pool::prepared::{Prepared, next_number};
use crate::pool::state::event::To;
use crate::protocol::call::Payload;

/// A call that runs once in every live worker of a pool, made by a companion's `each`.
///
/// This is for what each process has for itself: a cache to clear, a file to open again, counters
/// to collect. The call is under way when `each` returns. A busy worker runs it after its present
/// call and before all waiting calls; a [leased](crate::pool::Lease) worker runs it between two
/// calls of the lease. Workers that are being started, or are started later, do not run it.
///
/// [`blocking`](Each::blocking) gives the results as an [`Iterator`]; in async code, use
/// [`next`](Each::next) or the `futures_core::Stream`. There is one result for each worker, the
/// oldest worker's first.
///
/// ```
/// # mod doctest {
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use anyfork::{Pool, Process};
///
/// static SERVED: AtomicU64 = AtomicU64::new(0);
///
/// #[anyfork::call]
/// fn serve() {
///     SERVED.fetch_add(1, Ordering::Relaxed);
/// }
///
/// /// How many calls this process has served since it was asked last.
/// #[anyfork::call]
/// fn take_served() -> u64 {
///     SERVED.swap(0, Ordering::Relaxed)
/// }
///
/// # pub fn main() -> anyfork::Result<()> {
/// let pool = Pool::builder(Process::new()?).max(3).build()?;
/// let calls: Vec<_> = (0..10).map(|_| serve::call(&pool)).collect();
/// calls.into_iter().try_for_each(|call| call.blocking())?;
///
/// let each = take_served::each(&pool);
/// assert!((1..=3).contains(&each.pids().len()));
/// assert_eq!(each.blocking().sum::<anyfork::Result<u64>>()?, 10);
/// # Ok(())
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
///
/// An `Each` that is dropped cancels what is not done: workers that are running the call are
/// killed. [`detach`](Each::detach) lets them finish.
///
/// # Errors
///
/// The errors of each result are those of a [`Call`](crate::Call). If a worker dies or leaves
/// before it has run the call, its result is [`ErrorKind::Died`], and no other worker runs the
/// call instead.
///
/// If no worker can be called, there is one error in place of all results:
/// [`ErrorKind::BadArgument`] for an argument that does not encode, [`ErrorKind::Closed`] after a
/// shutdown, and [`ErrorKind::Io`] if a descriptor cannot be duplicated for every worker.
///
/// # Caveats
///
/// The arguments are encoded once, and every worker gets a copy. The copies of a descriptor share
/// what dup(2) shares, such as the position in a file.
///
/// [`ErrorKind::Died`]: crate::ErrorKind::Died
/// [`ErrorKind::BadArgument`]: crate::ErrorKind::BadArgument
/// [`ErrorKind::Closed`]: crate::ErrorKind::Closed
/// [`ErrorKind::Io`]: crate::ErrorKind::Io
#[must_use = "a call that is dropped is cancelled: take its results, or `detach` it"]
pub struct Each<R> {
    name: &'static str,
    decode: Decode<R>,
    /// Why no worker is called.
    error: Option<Error>,
    /// Those whose results were not taken.
    calls: VecDeque<OfWorker>,
}

/// The call of one worker.
struct OfWorker {
    pid: u32,
    call: PoolCall,
}

/// What a companion's `each` does.
pub fn each<A, R>(on: impl OnPool, callee: Callee<A, R>, arguments: Arguments) -> Each<R> {
    let started = arguments
        .into_payload()
        .and_then(|arguments| start(&on.pool(), &callee, arguments));
    let (error, calls) = match started {
        Ok(calls) => (None, calls),
        Err(error) => (Some(error.before_entry()), VecDeque::new()),
    };
    Each {
        name: callee.name,
        decode: callee.decode,
        error,
        calls,
    }
}

fn start<A, R>(
    pool: &Pool,
    callee: &Callee<A, R>,
    arguments: Payload,
) -> Result<VecDeque<OfWorker>> {
    let shared = pool.shared()?;
    let aims = aims(&shared)?;
    let copies: Result<Vec<Payload>> = iter::repeat_with(|| arguments.try_clone())
        .take(aims.len())
        .map(|copy| {
            let what = format!("duplicate the descriptors of `{}`", callee.name);
            copy.map_err(|error| Error::io(what, error))
        })
        .collect();
    let calls = aims.into_iter().zip(copies?).map(|(aim, arguments)| {
        let call = Prepared {
            number: next_number(),
            name: callee.name,
            fingerprint: callee.fingerprint,
            is_async: callee.is_async,
            arguments,
            items: None,
        };
        OfWorker {
            pid: aim.pid,
            call: PoolCall::start_at(Arc::clone(&shared), call, aim),
        }
    });
    Ok(calls.collect())
}

/// The workers that live.
fn aims(shared: &Shared) -> Result<Vec<Aim>> {
    let mut inner = shared.lock();
    if inner.state.is_closed() {
        return Err(ended::closed());
    }
    let workers: Vec<_> = inner.state.serving().collect();
    let aims = workers.into_iter().filter_map(|worker| {
        let pid = inner.up(worker)?.watch.pid();
        let to = To::Worker(worker);
        Some(Aim { to, pid })
    });
    Ok(aims.collect())
}

impl<R> Each<R> {
    /// The process ids of the workers whose results are still to come, in the order of the
    /// results.
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::{Pool, Process};
    ///
    /// #[anyfork::call]
    /// fn whoami() -> u32 {
    ///     std::process::id()
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let pool = Pool::builder(Process::new()?).idle(2).build()?;
    /// pool.prepare().blocking()?;
    /// let each = whoami::each(&pool);
    /// let pids = each.pids();
    /// assert_eq!(pids.len(), 2);
    /// assert_eq!(each.blocking().collect::<anyfork::Result<Vec<u32>>>()?, pids);
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn pids(&self) -> Vec<u32> {
        self.calls.iter().map(|it| it.pid).collect()
    }

    /// Limits the time in each worker, as [`Call::timeout`](crate::Call::timeout) does: a worker
    /// that takes longer is killed, even a leased one.
    ///
    /// ```
    /// # mod doctest {
    /// use std::time::Duration;
    ///
    /// use anyfork::{ErrorKind, Pool, Process};
    ///
    /// #[anyfork::call]
    /// fn hang() {
    ///     loop {
    ///         std::thread::park();
    ///     }
    /// }
    ///
    /// #[anyfork::call]
    /// fn drop_caches() {}
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let pool = Pool::builder(Process::new()?).idle(1).build()?;
    /// pool.prepare().blocking()?;
    /// drop_caches::each(&pool).detach();
    ///
    /// let mut results = hang::each(&pool).timeout(Duration::from_millis(10)).blocking();
    /// let error = results.next().expect("one worker").unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn timeout(mut self, limit: Duration) -> Each<R> {
        self.calls
            .iter_mut()
            .for_each(|it| it.call.set_timeout(limit));
        self
    }

    /// Lets the calls run on, and drops their results, as [`Call::detach`](crate::Call::detach)
    /// does.
    ///
    /// ```
    /// # mod doctest {
    /// use std::io::{PipeWriter, Write};
    ///
    /// use anyfork::Pool;
    ///
    /// #[anyfork::call(text_errors)]
    /// fn write(mut to: PipeWriter) -> std::io::Result<()> {
    ///     to.write_all(b"done")
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let pool = Pool::new()?;
    /// pool.prepare().blocking()?; // one worker
    /// let (reader, writer) = std::io::pipe()?;
    /// write::each(&pool, writer).detach();
    /// assert_eq!(std::io::read_to_string(reader)?, "done");
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn detach(self) {
        self.calls.into_iter().for_each(|it| it.call.detach());
    }

    /// The results as an [`Iterator`], for code without async.
    pub fn blocking(self) -> Blocking<Each<R>> {
        Blocking(self)
    }

    /// The next result; `None` after the last.
    ///
    /// Cancel-safe: a future that is dropped before it resolves has taken no result.
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::{Pool, Process};
    ///
    /// #[anyfork::call]
    /// fn whoami() -> u32 {
    ///     std::process::id()
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    /// # runtime.block_on(async {
    /// let pool = Pool::builder(Process::new()?).idle(2).build()?;
    /// pool.prepare().await?;
    /// let mut each = whoami::each(&pool);
    /// for pid in each.pids() {
    ///     assert_eq!(each.next().await.expect("a result")?, pid);
    /// }
    /// assert!(each.next().await.is_none());
    /// # Ok(())
    /// # })
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    #[cfg(feature = "tokio")]
    pub async fn next(&mut self) -> Option<Result<R>> {
        poll_fn(|context| self.poll(context)).await
    }

    #[cfg(feature = "tokio")]
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<R>>> {
        if let Some(error) = self.error.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let Some(first) = self.calls.front_mut() else {
            return Poll::Ready(None);
        };
        let result = ready!(first.call.poll(context));
        let result = result_of(&first.call, self.name, self.decode, result);
        self.calls.pop_front();
        Poll::Ready(Some(result))
    }

    /// Number of results to come.
    fn left(&self) -> (usize, Option<usize>) {
        let left = self.calls.len() + usize::from(self.error.is_some());
        (left, Some(left))
    }
}

impl<R> Iterator for Blocking<Each<R>> {
    type Item = Result<R>;

    fn next(&mut self) -> Option<Result<R>> {
        if let Some(error) = self.0.error.take() {
            return Some(Err(error));
        }
        let mut call = self.0.calls.pop_front()?.call;
        let result = call.blocking();
        Some(result_of(&call, self.0.name, self.0.decode, result))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.left()
    }
}

impl<R> ExactSizeIterator for Blocking<Each<R>> {}

#[cfg(feature = "tokio")]
impl<R> futures_core::Stream for Each<R> {
    type Item = Result<R>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<R>>> {
        self.poll(context)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.left()
    }
}

impl<R> fmt::Debug for Each<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Each")
            .field("name", &self.name)
            .field("pids", &self.pids())
            .finish_non_exhaustive()
    }
}
