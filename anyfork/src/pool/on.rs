//! [`On`]: where a call runs.
//! RUNS IN: caller

use crate::caller::process::Process;
use crate::pool::fresh::FreshCall;
use crate::pool::pending::Pending;
use crate::pool::prepared::Prepared;

/// Where a typed call runs: the first argument of a companion's `call`.
///
/// A [`Process`]: the call is the only one in a fresh process, which then ends.
///
/// Code outside of this crate cannot implement it.
#[diagnostic::on_unimplemented(
    message = "a call cannot run on `{Self}`",
    label = "neither a pool nor a process",
    note = "give `&pool`, or an `anyfork::Process` for one call in a fresh process"
)]
pub trait On: sealed::On {}

pub(crate) mod sealed {
    use crate::pool::pending::Pending;
    use crate::pool::prepared::Prepared;

    pub trait On {
        /// Puts the call under way.
        fn start(self, call: Prepared) -> Pending;
    }
}

// A pool's `impl On for &Pool` and `impl<T: Deref<Target = Pool>> On for &T` do not overlap:
// `Pool` is this crate's, and dereferences to nothing.

impl On for Process {}

impl sealed::On for Process {
    fn start(self, call: Prepared) -> Pending {
        match FreshCall::start(self, call) {
            Ok(call) => Pending::Fresh(Box::new(call)),
            Err(error) => Pending::Failed(error.before_entry()),
        }
    }
}
