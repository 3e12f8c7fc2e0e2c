//! [`On`]: where a call runs.
//! RUNS IN: caller

use std::ops::Deref;

use crate::caller::process::Process;
use crate::pool::fresh::FreshCall;
use crate::pool::handle::Pool;
use crate::pool::lease::Lease;
use crate::pool::pending::Pending;
use crate::pool::pooled::PoolCall;
use crate::pool::prepared::Prepared;

/// Where a typed call runs: the first argument of a companion's `call`.
///
/// `&Pool`, or a reference to anything that dereferences to a `Pool` (`Arc`, `LazyLock`, axum's
/// `State`): the call runs in a worker of the pool.
///
/// `&mut Lease`: the call runs in the worker of the [`Lease`].
///
/// A [`Process`]: the call is the only one in a fresh process, which then ends.
///
/// Code outside of this crate cannot implement it.
///
/// ```
/// # mod doctest {
/// use anyfork::{Call, On, Pool, Process};
///
/// #[anyfork::call]
/// fn square(n: u64) -> u64 {
///     n * n
/// }
///
/// /// A call wherever somebody wants it.
/// fn nine(on: impl On) -> Call<u64> {
///     square::call(on, 3)
/// }
///
/// # pub fn main() -> anyfork::Result<()> {
/// let pool = Pool::new()?;
/// assert_eq!(nine(&pool).blocking()?, 9);
/// assert_eq!(nine(&mut pool.lease().blocking()?).blocking()?, 9);
/// assert_eq!(nine(Process::new()?).blocking()?, 9);
/// # Ok(())
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
#[diagnostic::on_unimplemented(
    message = "a call cannot run on `{Self}`",
    label = "neither a pool, a lease nor a process",
    note = "give `&pool`, `&mut lease`, or an `anyfork::Process` for one call in a fresh process"
)]
pub trait On: sealed::On {}

pub(crate) mod sealed {
    use crate::pool::handle::Pool;
    use crate::pool::pending::Pending;
    use crate::pool::prepared::Prepared;

    pub trait OnPool {
        /// A handle.
        fn pool(self) -> Pool;
    }

    pub trait On {
        /// Puts the call under way.
        fn start(self, call: Prepared) -> Pending;
    }
}

/// A pool: the first argument of a companion's `map`. It is a `&Pool`, or a reference to anything
/// that dereferences to a `Pool` (`Arc`, `LazyLock`).
///
/// Code outside of this crate cannot implement it.
///
/// ```
/// # mod doctest {
/// use std::sync::Arc;
///
/// use anyfork::{OnPool, Pool};
///
/// #[anyfork::call]
/// fn square(n: u64) -> u64 {
///     n * n
/// }
///
/// fn sum_of_squares(pool: impl OnPool, to: u64) -> anyfork::Result<u64> {
///     square::map(pool, 1..=to).blocking().sum()
/// }
///
/// # pub fn main() -> anyfork::Result<()> {
/// let pool = Pool::new()?;
/// assert_eq!(sum_of_squares(&pool, 3)?, 14);
/// assert_eq!(sum_of_squares(&Arc::new(pool), 10)?, 385);
/// # Ok(())
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no pool",
    label = "not a pool",
    note = "give `&pool`"
)]
pub trait OnPool: sealed::OnPool {}

impl OnPool for &Pool {}

impl sealed::OnPool for &Pool {
    fn pool(self) -> Pool {
        Pool::clone(self)
    }
}

impl<T: Deref<Target = Pool>> OnPool for &T {}

impl<T: Deref<Target = Pool>> sealed::OnPool for &T {
    fn pool(self) -> Pool {
        Pool::clone(self)
    }
}

// The two do not overlap: `Pool` is this crate's, and dereferences to nothing.

impl On for &Pool {}

impl sealed::On for &Pool {
    fn start(self, call: Prepared) -> Pending {
        match self.shared() {
            Ok(shared) => Pending::Pooled(PoolCall::start(shared, call)),
            Err(error) => Pending::Failed(error.before_entry()),
        }
    }
}

impl<T: Deref<Target = Pool>> On for &T {}

impl<T: Deref<Target = Pool>> sealed::On for &T {
    fn start(self, call: Prepared) -> Pending {
        sealed::On::start(&**self, call)
    }
}

impl On for &mut Lease {}

impl sealed::On for &mut Lease {
    fn start(self, call: Prepared) -> Pending {
        match self.call(call) {
            Ok(call) => Pending::Pooled(call),
            Err(error) => Pending::Failed(error.before_entry()),
        }
    }
}

impl On for Process {}

impl sealed::On for Process {
    fn start(self, call: Prepared) -> Pending {
        match FreshCall::start(self, call) {
            Ok(call) => Pending::Fresh(Box::new(call)),
            Err(error) => Pending::Failed(error.before_entry()),
        }
    }
}
