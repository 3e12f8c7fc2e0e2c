//! [`Blocking`]: results that are waited for one by one.
//! RUNS IN: caller

/// The results of a [`Map`](crate::pool::Map), an [`Unordered`](crate::pool::Unordered) or an
/// [`Each`](crate::pool::Each) for code without async: an [`Iterator`].
///
/// See [`Map`](crate::pool::Map) for an example.
#[derive(Debug)]
#[must_use = "an iterator: nothing waits before a result is asked for"]
pub struct Blocking<M>(pub(crate) M);
