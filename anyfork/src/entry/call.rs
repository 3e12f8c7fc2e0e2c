//! [`CallEntry`]: a function of a typed call that is about to be called, and its result.
//! RUNS IN: child
//!
//! The attribute's code decodes the parameters with it, calls the function, and gives it
//! the result. It knows no frames and no socket.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::entry::sender::{Outlet, Sender};
use crate::error::Result as AnyforkResult;
use crate::value::{Codec, Decoder, Encoder, ValueError};

/// Whether the function that is being called, or an earlier one, has asked for it.
static RETIRES: AtomicBool = AtomicBool::new(false);

/// Retires this worker of a pool: it takes no more calls after the present one, and the pool
/// starts another worker in its place.
///
/// This is for code that finds out that its process should not go on, because a library leaks, or
/// because its state cannot be reset. Outside of a typed call, and in a fresh process for a
/// single call, it does nothing.
///
/// ```
/// # mod doctest {
/// use anyfork::{Pool, Process};
///
/// #[anyfork::call]
/// fn last() -> u32 {
///     anyfork::retire();
///     std::process::id()
/// }
///
/// # pub fn main() -> anyfork::Result<()> {
/// let pool = Pool::builder(Process::new()?).max(1).build()?;
/// assert_ne!(last::call(&pool).blocking()?, last::call(&pool).blocking()?);
/// # Ok(())
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
pub fn retire() {
    RETIRES.store(true, Ordering::Relaxed);
}

/// Whether this process is to take no more calls.
pub(crate) fn retires() -> bool {
    RETIRES.load(Ordering::Relaxed)
}

/// One call.
pub struct CallEntry<'a> {
    name: &'static str,
    arguments: Decoder,
    pub(crate) result: Encoder,
    make_outlet: MakeOutlet<'a>,
    pub(crate) outlet: Option<Arc<dyn Outlet>>,
}

/// Makes the way to the caller for the function's events.
type MakeOutlet<'a> = &'a dyn Fn() -> AnyforkResult<Arc<dyn Outlet>>;

/// Why a call has no result, although its function did not panic.
#[derive(Debug)]
pub enum Refusal {
    /// The function was not called.
    BadArgument(String),
    /// The result does not encode.
    BadResult(String),
}

/// A call of an `async fn`, under way.
pub type CallFuture<'a> = Pin<Box<dyn Future<Output = Result<(), Refusal>> + 'a>>;

/// Puts a call on the heap.
pub fn boxed_call<'a>(call: impl Future<Output = Result<(), Refusal>> + 'a) -> CallFuture<'a> {
    Box::pin(call)
}

impl<'a> CallEntry<'a> {
    pub(crate) fn new(
        name: &'static str,
        arguments: Decoder,
        make_outlet: MakeOutlet<'a>,
    ) -> CallEntry<'a> {
        CallEntry {
            name,
            arguments,
            result: Encoder::default(),
            make_outlet,
            outlet: None,
        }
    }

    /// Decodes the next parameter.
    pub fn parameter<T>(
        &mut self,
        codec: &impl Codec<T>,
        parameter: &str,
        ty: &str,
    ) -> Result<T, Refusal> {
        let name = self.name;
        codec.decode(&mut self.arguments).map_err(|reason| {
            Refusal::BadArgument(format!(
                "parameter `{parameter}` ({ty}) of `{name}` does not decode: {reason}"
            ))
        })
    }

    /// Gives the parameter that takes events.
    pub fn sender<E>(
        &mut self,
        encode: fn(E, &mut Encoder) -> Result<(), ValueError>,
    ) -> Result<Sender<E>, Refusal> {
        let outlet = (self.make_outlet)().map_err(|error| {
            Refusal::BadArgument(format!("the sender of `{}`: {error}", self.name))
        })?;
        self.outlet = Some(Arc::clone(&outlet));
        Ok(Sender::to_caller(outlet, encode))
    }

    /// The last step before the function is called.
    pub fn finish(&mut self) -> Result<(), Refusal> {
        let name = self.name;
        let refused = |reason| Refusal::BadArgument(format!("the arguments of `{name}`: {reason}"));
        self.arguments.finish().map_err(refused)
    }

    /// Takes the result.
    pub fn result<T>(&mut self, codec: &impl Codec<T>, value: T) -> Result<(), Refusal> {
        let name = self.name;
        codec.encode(value, &mut self.result).map_err(|reason| {
            Refusal::BadResult(format!("the result of `{name}` does not encode: {reason}"))
        })
    }
}

impl fmt::Debug for CallEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallEntry")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
