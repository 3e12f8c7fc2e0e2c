//! [`Map`]: a function over many items, in the workers of a pool.
//! RUNS IN: caller

pub(crate) mod blocking;
pub(crate) mod chunks;
pub(crate) mod pace;
pub(crate) mod unordered;

use std::fmt;
#[cfg(feature = "tokio")]
use std::future::poll_fn;
#[cfg(feature = "tokio")]
use std::pin::Pin;
#[cfg(feature = "tokio")]
use std::task::{Context, Poll};
use std::time::Duration;

use crate::error::Result;
use crate::pool::callee::Callee;
use crate::pool::map::blocking::Blocking;
use crate::pool::map::chunks::Chunks;
use crate::pool::map::unordered::Unordered;
use crate::pool::on::OnPool;

/// Calls of a function for many items, in the workers of a pool: what a companion's `map` gives.
///
/// A map is lazy: it takes an item only when the item's turn comes, so the iterator may be
/// endless, or open a file for each item. The results come in the order of the items; an error
/// belongs to one item, and the other items go on. [`blocking`](Map::blocking) gives the results
/// as an [`Iterator`]; in async code, use [`next`](Map::next) or the `futures_core::Stream`.
///
/// ```
/// # mod doctest {
/// use anyfork::Pool;
///
/// #[anyfork::call]
/// fn square(n: u64) -> u64 {
///     n * n
/// }
///
/// #[anyfork::call]
/// fn add(a: u8, b: u8) -> u8 {
///     a.checked_add(b).expect("a small sum")
/// }
///
/// # pub fn main() -> anyfork::Result<()> {
/// let pool = Pool::new()?;
/// let squares = square::map(&pool, 0..).blocking().take(100);
/// assert_eq!(squares.sum::<anyfork::Result<u64>>()?, 328_350);
///
/// // The item is the tuple of the parameters.
/// let sums: Vec<_> = add::map(&pool, [(1, 2), (200, 100), (3, 4)]).blocking().collect();
/// assert_eq!((*sums[0].as_ref().unwrap(), *sums[2].as_ref().unwrap()), (3, 7));
/// assert_eq!(sums[1].as_ref().unwrap_err().kind(), anyfork::ErrorKind::Panicked);
/// # Ok(())
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
///
/// A map that is dropped cancels the items in flight: the workers that have them are killed.
#[must_use = "a map is lazy: `.blocking()` makes an iterator of it, `next().await` gives the next result"]
pub struct Map<I: Iterator, R> {
    chunks: Chunks<I, R>,
}

/// What a companion's `map` does.
pub fn map<I: IntoIterator, R>(
    on: impl OnPool,
    items: I,
    callee: Callee<I::Item, R>,
) -> Map<I::IntoIter, R> {
    Map {
        chunks: Chunks::new(on.pool(), items.into_iter(), callee),
    }
}

impl<I: Iterator, R> Map<I, R> {
    /// The maximum number of items in flight: those that were taken, and whose results were not
    /// asked for yet. Default: twice the pool's maximum number of workers, times
    /// [`chunk`](Map::chunk). With a larger number, a message carries several tiny items.
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::Pool;
    ///
    /// #[anyfork::call]
    /// fn square(n: u64) -> u64 {
    ///     n * n
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let mut taken = 0;
    /// let numbers = (1..).inspect(|_| taken += 1);
    /// let pool = Pool::new()?;
    /// let mut squares = square::map(&pool, numbers).in_flight(5).blocking();
    /// assert_eq!(squares.next().expect("a result")?, 1);
    /// drop(squares);
    /// assert!(taken <= 6, "five in flight, and the one that was given");
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn in_flight(mut self, items: usize) -> Map<I, R> {
        self.chunks.set_in_flight(items);
        self
    }

    /// Sends this number of items to a worker with each message.
    ///
    /// This is for tiny items, whose calls take less time than the messages. Default: 1, unless
    /// [`in_flight`](Map::in_flight) is set; then the number depends on the time that items take,
    /// and is at most half of each worker's share of `in_flight`.
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::Pool;
    ///
    /// #[anyfork::call]
    /// fn square(n: u64) -> u64 {
    ///     n * n
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let pool = Pool::new()?;
    /// let by_hand = square::map(&pool, 0..1000).chunk(50).blocking();
    /// let chosen = square::map(&pool, 0..1000).in_flight(500).blocking();
    /// for squares in [by_hand, chosen] {
    ///     assert_eq!(squares.sum::<anyfork::Result<u64>>()?, 332_833_500);
    /// }
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    ///
    /// Each result comes back as soon as it is there. When a worker dies, the item that it had
    /// entered fails, and the items that it had not entered go to another worker.
    ///
    /// An item with a descriptor travels alone, and so does every item of a map with a
    /// [`timeout`](Map::timeout). For the pool's limits and its [`Stats`](crate::pool::Stats), a
    /// message is one call.
    pub fn chunk(mut self, items: usize) -> Map<I, R> {
        self.chunks.set_chunk(items);
        self
    }

    /// Limits the time of each item, as [`Call::timeout`](crate::Call::timeout) does.
    ///
    /// ```
    /// # mod doctest {
    /// use std::time::Duration;
    ///
    /// use anyfork::{ErrorKind, Pool};
    ///
    /// #[anyfork::call]
    /// fn wait(millis: u64) -> u64 {
    ///     std::thread::sleep(Duration::from_millis(millis));
    ///     millis
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let pool = Pool::new()?;
    /// let limit = Duration::from_secs(1);
    /// let mut results = wait::map(&pool, [60_000, 0]).timeout(limit).blocking();
    /// let late = results.next().expect("the first result");
    /// assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
    /// assert_eq!(results.next().expect("the second result")?, 0);
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn timeout(mut self, limit: Duration) -> Map<I, R> {
        self.chunks.set_timeout(limit);
        self
    }

    /// Gives each result as soon as it is there, with the number of its item.
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::Pool;
    ///
    /// #[anyfork::call]
    /// fn square(n: usize) -> usize {
    ///     n * n
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let numbers = [3, 5, 7];
    /// let pool = Pool::new()?;
    /// for (item, square) in square::map(&pool, numbers).unordered().blocking() {
    ///     assert_eq!(square?, numbers[item] * numbers[item]);
    /// }
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn unordered(self) -> Unordered<I, R> {
        Unordered {
            chunks: self.chunks,
        }
    }

    /// The results as an [`Iterator`], for code without async.
    pub fn blocking(self) -> Blocking<Map<I, R>> {
        Blocking(self)
    }

    /// The next result; `None` after the last.
    ///
    /// Cancel-safe: a future that is dropped before it resolves has taken no result.
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::Pool;
    ///
    /// #[anyfork::call]
    /// fn square(n: u64) -> u64 {
    ///     n * n
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    /// # runtime.block_on(async {
    /// let pool = Pool::new()?;
    /// let mut squares = square::map(&pool, 1..=3);
    /// let mut sum = 0;
    /// while let Some(square) = squares.next().await {
    ///     sum += square?;
    /// }
    /// assert_eq!(sum, 14);
    ///
    /// let mut squares = square::map(&pool, [7]).unordered();
    /// let (number, square) = squares.next().await.expect("one result");
    /// assert_eq!((number, square?), (0, 49));
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
        loop {
            self.chunks.fill();
            if let Some(result) = self.chunks.take_first() {
                return Poll::Ready(Some(result));
            }
            let Some(chunk) = self.chunks.first() else {
                return Poll::Ready(None);
            };
            let next = std::task::ready!(chunk.poll(context));
            self.chunks.take_in(0, next);
        }
    }
}

impl<I: Iterator, R> Iterator for Blocking<Map<I, R>> {
    type Item = Result<R>;

    fn next(&mut self) -> Option<Result<R>> {
        let chunks = &mut self.0.chunks;
        loop {
            chunks.fill();
            if let Some(result) = chunks.take_first() {
                return Some(result);
            }
            let next = chunks.first()?.blocking();
            chunks.take_in(0, next);
        }
    }
}

#[cfg(feature = "tokio")]
impl<I: Iterator, R> futures_core::Stream for Map<I, R> {
    type Item = Result<R>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<R>>> {
        self.poll(context)
    }
}

/// Nothing in it is ever pinned.
impl<I: Iterator, R> Unpin for Map<I, R> {}

impl<I: Iterator, R> fmt::Debug for Map<I, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map").finish_non_exhaustive()
    }
}
