//! [`Call`]: a call under way, finished with `.await` or `.blocking()`.
//! RUNS IN: caller
//!
//! It knows what the function returns, and not where the call runs: each way has a file of
//! its own, and a variant of [`Pending`].

mod view;

use std::fmt;
#[cfg(feature = "tokio")]
use std::pin::Pin;
#[cfg(feature = "tokio")]
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::pool::decode::{Decode, decoded, result_of};
use crate::pool::on::On;
use crate::pool::pending::Pending;
use crate::pool::prepared::{Prepared, next_number};
use crate::protocol::call::{MAX_FDS, Payload};
use crate::value::{Codec, Decoder, Encoder, ValueError};

/// A call of a function in another process, under way.
///
/// Finish it with `.await` (feature `tokio`) or [`blocking`](Call::blocking). There are two
/// results, as with tokio's `JoinHandle`: the outer one is anyfork's, and the inner one is what
/// the function has returned.
///
/// ```
/// # mod doctest {
/// use anyfork::Process;
///
/// #[anyfork::call]
/// fn parse(number: String) -> Result<u32, String> {
///     number.parse().map_err(|_| format!("`{number}` is no number"))
/// }
///
/// # pub fn main() -> anyfork::Result<()> {
/// let inner = parse::call(Process::new()?, "12".into()).blocking()?;
/// assert_eq!(inner, Ok(12));
/// let inner = parse::call(Process::new()?, "x".into()).blocking()?;
/// assert_eq!(inner, Err("`x` is no number".into()));
/// # Ok(())
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
///
/// A call that is dropped before that is cancelled: the process in which it runs is killed (a
/// worker with several calls drops only this one: see
/// [`concurrency`](crate::pool::Builder::concurrency)). A call can be awaited with any executor:
/// in a tokio runtime the runtime waits, elsewhere a thread does.
///
/// # Errors
///
/// | kind | when |
/// |---|---|
/// | [`Panicked`](ErrorKind::Panicked) | the function panics; [`Error::failure`] has message, location and backtrace |
/// | [`Died`](ErrorKind::Died) | the process exits, or is killed by a signal; [`Error::exit`] tells how |
/// | [`TimedOut`](ErrorKind::TimedOut) | the call takes longer than [`timeout`](Call::timeout) allows; its process is then gone |
/// | [`BadArgument`](ErrorKind::BadArgument) | an argument does not encode or decode, or the function has another signature in the other program |
/// | [`TooLarge`](ErrorKind::TooLarge), [`BadResult`](ErrorKind::BadResult) | the result has too many bytes, or does not encode or decode |
/// | those of a [`Launch`](crate::Launch) | no process could be started |
///
/// A call that was entered is never repeated. [`Error::never_entered`] tells whether the call was
/// certainly not entered.
#[must_use = "a call that is dropped is cancelled: `.await` it or call `.blocking()`"]
pub struct Call<R, E = ()> {
    pub(crate) pending: Pending,
    number: u64,
    name: &'static str,
    decode: Decode<R>,
    decode_event: Decode<E>,
}

/// The arguments of a call, as the companion gives them.
#[derive(Debug)]
pub struct Arguments {
    name: &'static str,
    encoder: Encoder,
    error: Option<Error>,
}

impl Arguments {
    /// No arguments yet of the function of that name.
    pub fn new(name: &'static str) -> Arguments {
        Arguments {
            name,
            encoder: Encoder::default(),
            error: None,
        }
    }

    /// Appends the argument for a parameter.
    pub fn add<T>(&mut self, codec: &impl Codec<T>, value: T, parameter: &str, ty: &str) {
        if self.error.is_some() {
            return;
        }
        let name = self.name;
        if let Err(reason) = codec.encode(value, &mut self.encoder) {
            let message =
                format!("parameter `{parameter}` ({ty}) of `{name}` does not encode: {reason}");
            self.error = Some(Error::new(ErrorKind::BadArgument, message));
        }
    }

    pub(crate) fn into_payload(self) -> Result<Payload> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let Encoder { main, blobs, fds } = self.encoder;
        if fds.len() > MAX_FDS {
            let message = format!(
                "`{}` was given {} descriptors: one call carries at most {MAX_FDS}",
                self.name,
                fds.len()
            );
            return Err(Error::new(ErrorKind::BadArgument, message));
        }
        Ok(Payload {
            main,
            blobs,
            fds: fds.into(),
        })
    }
}

/// Puts a call under way: what a companion's `call` does.
pub fn start_call<R, E>(
    on: impl On,
    name: &'static str,
    fingerprint: u64,
    is_async: bool,
    arguments: Arguments,
    decode: fn(&mut Decoder) -> Result<R, ValueError>,
    decode_event: fn(&mut Decoder) -> Result<E, ValueError>,
) -> Call<R, E> {
    let number = next_number();
    let pending = match arguments.into_payload() {
        Err(error) => Pending::Failed(error.before_entry()),
        Ok(arguments) => on.start(Prepared {
            number,
            name,
            fingerprint,
            is_async,
            arguments,
            items: None,
        }),
    };
    Call {
        pending,
        number,
        name,
        decode,
        decode_event,
    }
}

/// Decodes no event: of a function without a `Sender`.
pub fn no_event(_: &mut Decoder) -> Result<(), ValueError> {
    Err(ValueError::new("the function has no `Sender`"))
}

impl<R, E> Call<R, E> {
    /// Waits for the result.
    ///
    /// # Errors
    ///
    /// See [`Call`].
    ///
    /// # Caveats
    ///
    /// In async code, this blocks a thread of the runtime: `.await` the call there.
    pub fn blocking(self) -> Result<R> {
        let (name, decode) = (self.name, self.decode);
        match self.pending {
            Pending::Failed(error) => Err(error),
            Pending::Fresh(call) => decoded("result", name, decode, call.blocking()?),
            Pending::Pooled(mut call) => {
                let result = call.blocking();
                result_of(&call, name, decode, result)
            }
        }
    }

    /// Decodes an event.
    pub(crate) fn decode_event(&self, payload: Payload) -> Result<E> {
        decoded("event", self.name, self.decode_event, payload)
    }

    /// Limits the time for which a process may have the call. After this time the process is
    /// killed, and it is gone before [`ErrorKind::TimedOut`] is reported. A result that has
    /// arrived whole by then still counts.
    ///
    /// ```
    /// # mod doctest {
    /// use std::time::Duration;
    /// use anyfork::{ErrorKind, Process};
    ///
    /// #[anyfork::call]
    /// fn never() -> u8 {
    ///     loop {
    ///         std::thread::park();
    ///     }
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let call = never::call(Process::new()?).timeout(Duration::from_millis(10));
    /// let error = call.blocking().expect_err("it takes longer");
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// assert!(!error.never_entered());
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn timeout(mut self, limit: Duration) -> Call<R, E> {
        match &mut self.pending {
            Pending::Failed(_) => {}
            Pending::Fresh(call) => call.set_timeout(limit),
            Pending::Pooled(call) => call.set_timeout(limit),
        }
        self
    }

    /// Limits how long the call waits for a worker of the pool. A call in a process of its own
    /// does not wait for a worker.
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
    /// # pub fn main() -> anyfork::Result<()> {
    /// let pool = Pool::builder(Process::new()?).max(1).build()?;
    /// let _hangs = hang::call(&pool);
    /// let waits = hang::call(&pool).queue_timeout(Duration::from_millis(10));
    /// let error = waits.blocking().unwrap_err();
    /// assert_eq!((error.kind(), error.never_entered()), (ErrorKind::TimedOut, true));
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn queue_timeout(mut self, limit: Duration) -> Call<R, E> {
        match &mut self.pending {
            // See `Process::timeout` for the start.
            Pending::Failed(_) | Pending::Fresh(_) => {}
            Pending::Pooled(call) => call.set_queue_timeout(limit),
        }
        self
    }

    /// Lets the call run on, as long as this program runs, and drops its result.
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
    /// let (reader, writer) = std::io::pipe()?;
    /// write::call(&pool, writer).detach();
    /// assert_eq!(std::io::read_to_string(reader)?, "done");
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn detach(self) {
        match self.pending {
            Pending::Failed(_) => {}
            Pending::Fresh(call) => call.detach(),
            Pending::Pooled(call) => call.detach(),
        }
    }
}

/// The future of a call. A future that is dropped before it resolves cancels the call.
#[cfg(feature = "tokio")]
impl<R, E> Future for Call<R, E> {
    type Output = Result<R>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<R>> {
        let (name, decode) = (self.name, self.decode);
        match &mut self.pending {
            Pending::Failed(error) => Poll::Ready(Err(error.clone())),
            Pending::Fresh(call) => {
                let result = ready!(call.poll(context));
                Poll::Ready(decoded("result", name, decode, result?))
            }
            Pending::Pooled(call) => {
                let result = ready!(call.poll(context));
                Poll::Ready(result_of(call, name, decode, result))
            }
        }
    }
}

impl<R, E> fmt::Debug for Call<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("name", &self.name)
            .field("id", &self.number)
            .finish_non_exhaustive()
    }
}
