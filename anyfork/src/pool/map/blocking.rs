//! [`Blocking`]: results that are waited for one by one.
//! RUNS IN: caller

/// The results of a [`Map`](crate::pool::Map) or an [`Unordered`](crate::pool::Unordered)
/// for code without async: an [`Iterator`].
#[derive(Debug)]
#[must_use = "it takes no item before a result is asked for"]
pub struct Blocking<M>(pub(crate) M);
