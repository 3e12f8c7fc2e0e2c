//! [`Unordered`]: the results of a [`Map`](crate::pool::Map) as they come.
//! RUNS IN: caller

use std::fmt;
#[cfg(feature = "tokio")]
use std::future::poll_fn;
#[cfg(feature = "tokio")]
use std::pin::Pin;
#[cfg(feature = "tokio")]
use std::task::{Context, Poll};
use std::thread;

use crate::error::Result;
use crate::pool::map::blocking::Blocking;
use crate::pool::map::chunks::Chunks;

/// A [`Map`](crate::pool::Map) that gives each result as soon as it is there, with the
/// number of its item.
///
/// ```
/// # mod doctest {
/// use anyfork::Pool;
///
/// #[anyfork::call]
/// fn wait(millis: u64) -> u64 {
///     std::thread::sleep(std::time::Duration::from_millis(millis));
///     millis
/// }
///
/// # pub fn main() -> anyfork::Result<()> {
/// let pool = Pool::builder(anyfork::Process::new()?).max(2).build()?;
/// let mut results = wait::map(&pool, [60_000, 10]).unordered().blocking();
/// let (number, millis) = results.next().unwrap();
/// assert_eq!((number, millis?), (1, 10));
/// # Ok(())
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
#[must_use = "a map is lazy: `.blocking()` makes an iterator of it, `next().await` gives the next result"]
pub struct Unordered<I: Iterator, R> {
    pub(crate) chunks: Chunks<I, R>,
}

impl<I: Iterator, R> Unordered<I, R> {
    /// The results as an [`Iterator`], for code without async.
    pub fn blocking(self) -> Blocking<Unordered<I, R>> {
        Blocking(self)
    }

    /// The next result; `None` after the last.
    ///
    /// Cancel-safe: a future that is dropped before it resolves has taken no result.
    #[cfg(feature = "tokio")]
    pub async fn next(&mut self) -> Option<(usize, Result<R>)> {
        poll_fn(|context| self.poll(context)).await
    }

    #[cfg(feature = "tokio")]
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<(usize, Result<R>)>> {
        loop {
            self.chunks.fill();
            if let Some(result) = self.chunks.take_any() {
                return Poll::Ready(Some(result));
            }
            if self.chunks.first().is_none() {
                return Poll::Ready(None);
            }
            let mut has_landed = false;
            for at in (0..self.chunks.len()).rev() {
                if let Poll::Ready(next) = self.chunks.at(at).poll(context) {
                    self.chunks.take_in(at, next);
                    has_landed = true;
                }
            }
            if !has_landed {
                return Poll::Pending;
            }
        }
    }
}

impl<I: Iterator, R> Iterator for Blocking<Unordered<I, R>> {
    type Item = (usize, Result<R>);

    fn next(&mut self) -> Option<(usize, Result<R>)> {
        let chunks = &mut self.0.chunks;
        loop {
            chunks.fill();
            if let Some(result) = chunks.take_any() {
                return Some(result);
            }
            chunks.first()?;
            let mut has_landed = false;
            for at in (0..chunks.len()).rev() {
                if let Some(next) = chunks.at(at).watch() {
                    chunks.take_in(at, next);
                    has_landed = true;
                }
            }
            if !has_landed {
                thread::park();
            }
        }
    }
}

#[cfg(feature = "tokio")]
impl<I: Iterator, R> futures_core::Stream for Unordered<I, R> {
    type Item = (usize, Result<R>);

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<(usize, Result<R>)>> {
        self.poll(context)
    }
}

/// Nothing in it is ever pinned.
impl<I: Iterator, R> Unpin for Unordered<I, R> {}

impl<I: Iterator, R> fmt::Debug for Unordered<I, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unordered").finish_non_exhaustive()
    }
}
