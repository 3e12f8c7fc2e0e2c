//! [`Blocking`]: results that are waited for one by one.
//! RUNS IN: caller

/// The results of a [`Map`](crate::pool::Map), an [`Unordered`](crate::pool::Unordered) or an
/// [`Each`](crate::pool::Each) for code without async: an [`Iterator`].
///
/// ```
/// # mod doctest {
/// use anyfork::Pool;
///
/// #[anyfork::call]
/// fn length(word: String) -> usize {
///     word.len()
/// }
///
/// # pub fn main() -> anyfork::Result<()> {
/// let pool = Pool::new()?;
/// let words = ["a", "list", "of", "words"];
/// let lengths = length::map(&pool, words.map(String::from)).blocking();
/// for (word, length) in words.iter().zip(lengths) {
///     assert_eq!(length?, word.len());
/// }
/// # Ok(())
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
#[derive(Debug)]
#[must_use = "an iterator: nothing waits before a result is asked for"]
pub struct Blocking<M>(pub(crate) M);
