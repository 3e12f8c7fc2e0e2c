//! [`Recv`]: the next event of a call.
//! RUNS IN: caller

use std::fmt;
#[cfg(feature = "tokio")]
use std::pin::Pin;
#[cfg(feature = "tokio")]
use std::task::{Context, Poll};

use crate::error::Result;
use crate::pool::call::Call;
use crate::pool::pending::Pending;
use crate::protocol::call::Payload;

/// The next event of a call, from [`Call::recv`]. Receive it with `.await` (feature `tokio`) or
/// [`blocking`](Recv::blocking).
///
/// ```
/// # mod doctest {
/// use anyfork::{Process, Sender};
///
/// #[anyfork::call(text_errors)]
/// fn split(text: String, words: Sender<String>) -> anyfork::Result<()> {
///     text.split(' ').try_for_each(|word| words.send(word.into()).blocking())
/// }
///
/// # pub fn main() -> anyfork::Result<()> {
/// let mut call = split::call(Process::new()?, "one two".into());
/// assert_eq!(call.recv().blocking().as_deref(), Some("one"));
/// assert_eq!(call.recv().blocking().as_deref(), Some("two"));
/// assert_eq!(call.recv().blocking(), None);
/// assert!(call.blocking()?.is_ok());
/// # Ok(())
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
#[must_use = "nothing is received before `.await` or `.blocking()`"]
pub struct Recv<'a, R, E>(&'a mut Call<R, E>);

impl<R, E> Call<R, E> {
    /// Receives the next event that the function has sent with its [`Sender`](crate::Sender).
    /// Gives `None` when there will be no more events, for whatever reason; the result then tells
    /// the reason.
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::{Pool, Sender};
    ///
    /// #[anyfork::call]
    /// fn fetch(urls: Vec<String>, done: Sender<(usize, String)>) -> usize {
    ///     for (n, url) in urls.iter().enumerate() {
    ///         // A caller that has gone away ends this process anyway.
    ///         let _ = done.send((n, url.to_uppercase())).blocking();
    ///     }
    ///     urls.len()
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let pool = Pool::new()?;
    /// let mut call = fetch::call(&pool, vec!["a".into(), "b".into()]);
    /// while let Some((n, page)) = call.recv().blocking() {
    ///     assert_eq!(page, ["A", "B"][n]);
    /// }
    /// assert_eq!(call.blocking()?, 2);
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    ///
    /// Cancel-safe: a future that is dropped before it resolves, as in `tokio::select!`, has
    /// taken no event. An event that does not decode ends the call with
    /// [`ErrorKind::BadResult`](crate::ErrorKind::BadResult).
    ///
    /// # Caveats
    ///
    /// If nobody receives, up to 256 KiB of events are kept; then the function waits. Awaiting
    /// the call throws away the events that nobody has received.
    pub fn recv(&mut self) -> Recv<'_, R, E> {
        Recv(self)
    }

    /// Decodes an event. One that does not decode ends the call.
    fn event(&mut self, arrival: Result<Payload>) -> Option<E> {
        match arrival.and_then(|payload| self.decode_event(payload)) {
            Ok(event) => Some(event),
            Err(error) => {
                self.pending = Pending::Failed(error);
                None
            }
        }
    }
}

impl<R, E> Recv<'_, R, E> {
    /// Waits for the event.
    pub fn blocking(self) -> Option<E> {
        let arrival = match &mut self.0.pending {
            Pending::Failed(_) => None,
            Pending::Fresh(call) => call.blocking_arrival(),
            Pending::Pooled(call) => call.blocking_arrival(),
        };
        self.0.event(arrival?)
    }
}

#[cfg(feature = "tokio")]
impl<R, E> Future for Recv<'_, R, E> {
    type Output = Option<E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<E>> {
        let call = &mut *self.0;
        let arrival = match &mut call.pending {
            Pending::Failed(_) => return Poll::Ready(None),
            Pending::Fresh(call) => call.poll_arrival(context),
            Pending::Pooled(call) => call.poll_arrival(context),
        };
        arrival.map(|arrival| call.event(arrival?))
    }
}

impl<R, E> fmt::Debug for Recv<'_, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Recv").field(&self.0).finish()
    }
}
