//! [`Sender`]: the parameter by which a function tells its caller of events.
//! RUNS IN: child, caller
//!
//! It encodes events and knows no frames and no socket: an [`Outlet`] sends them. In a
//! process that calls the function itself, it gives events to a closure.

use std::fmt;
#[cfg(feature = "tokio")]
use std::os::fd::BorrowedFd;
#[cfg(feature = "tokio")]
use std::pin::Pin;
use std::sync::Arc;
#[cfg(feature = "tokio")]
use std::task::{Context, Poll, ready};

#[cfg(feature = "tokio")]
use crate::entry::asynchronous::calls::Room;
use crate::error::{Error, ErrorKind, Result};
use crate::value::{Encoder, ValueError};

/// A parameter by which a function with [`#[anyfork::call]`](macro@crate::call) sends events to
/// its caller: progress, rows, lines of a log.
///
/// The attribute recognises the parameter by the name of its type, `Sender`, and the companion's
/// `call` leaves it out. The caller receives the events with [`Call::recv`](crate::Call::recv),
/// in the order in which they were sent, and all of them before the result.
///
/// ```
/// # mod doctest {
/// use anyfork::{Process, Sender};
///
/// #[anyfork::call(text_errors)]
/// fn count(to: u32, progress: Sender<u32>) -> anyfork::Result<u32> {
///     for n in 1..=to {
///         progress.send(n).blocking()?;
///     }
///     Ok(to)
/// }
///
/// # pub fn main() -> anyfork::Result<()> {
/// // In another process:
/// let mut call = count::call(Process::new()?, 3);
/// let mut seen = Vec::new();
/// while let Some(n) = call.recv().blocking() {
///     seen.push(n);
/// }
/// assert_eq!(seen, [1, 2, 3]);
/// assert_eq!(call.blocking()?.unwrap(), 3);
///
/// // In this one:
/// let (events, seen) = std::sync::mpsc::channel();
/// count(2, Sender::new(move |n| events.send(n).unwrap()))?;
/// assert_eq!(seen.iter().collect::<Vec<_>>(), [1, 2]);
/// count(2, Sender::none())?;
/// # Ok(())
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
///
/// # Caveats
///
/// The caller is not flooded: when it is behind by as much as a socket holds, some 200 KiB,
/// [`send`](Sender::send) waits, and [`try_send`](Sender::try_send) leaves events out.
///
/// A clone may be used in other threads, as long as the call lasts.
pub struct Sender<E>(Target<E>);

enum Target<E> {
    Nobody,
    Closure(Arc<dyn Fn(E) + Send + Sync>),
    Caller {
        outlet: Arc<dyn Outlet>,
        encode: fn(E, &mut Encoder) -> Result<(), ValueError>,
    },
}

/// The way of events to the caller.
pub(crate) trait Outlet: Send + Sync {
    /// Begins to send an event, if nothing is before it and there is room.
    fn begin(&self, event: Encoder) -> Result<Begun>;

    /// Sends more. Whether all of the event of that number is sent.
    fn go_on(&self, number: u64) -> Result<bool>;

    /// Waits until there may be room.
    fn wait(&self) -> Result<()>;

    /// Whether waiting for the socket is of no use, and [`wait`](Outlet::wait) is short.
    #[cfg(feature = "tokio")]
    fn is_crowded(&self) -> bool;

    /// The socket, which is writable when there may be room.
    #[cfg(feature = "tokio")]
    fn socket(&self) -> BorrowedFd<'_>;

    /// Sends the rest of an event that was begun, and takes no more.
    fn close(&self);
}

/// What became of an event.
pub(crate) enum Begun {
    Sent,
    /// It is the event of that number, and a part of it is sent.
    Part(u64),
    /// There is no room for it.
    Full(Encoder),
}

impl<E> Sender<E> {
    /// A sender for a call in this process: it gives each event to `take`.
    pub fn new(take: impl Fn(E) + Send + Sync + 'static) -> Sender<E> {
        Sender(Target::Closure(Arc::new(take)))
    }

    /// A sender for a call in this process whose events nobody wants: it drops them.
    pub fn none() -> Sender<E> {
        Sender(Target::Nobody)
    }

    pub(crate) fn to_caller(
        outlet: Arc<dyn Outlet>,
        encode: fn(E, &mut Encoder) -> Result<(), ValueError>,
    ) -> Sender<E> {
        Sender(Target::Caller { outlet, encode })
    }

    /// Sends an event. If there is room, the event is on its way when this returns. Finish it
    /// with `.await` (feature `tokio`) or [`blocking`](Sending::blocking), which wait for room.
    ///
    /// # Errors
    ///
    /// | kind | when |
    /// |---|---|
    /// | [`Closed`](ErrorKind::Closed) | the call is over, or the caller is gone |
    /// | [`BadArgument`](ErrorKind::BadArgument) | the event does not encode |
    /// | [`TooLarge`](ErrorKind::TooLarge) | the event has more bytes than a result may have |
    pub fn send(&self, event: E) -> Sending {
        match self.begin(event) {
            Err(error) => Sending(State::Over(Err(error))),
            Ok(None) => Sending(State::Over(Ok(()))),
            Ok(Some((_, Begun::Sent))) => Sending(State::Over(Ok(()))),
            Ok(Some((outlet, begun))) => Sending(State::Waiting(Waiting {
                outlet,
                begun: Some(begun),
                #[cfg(feature = "tokio")]
                room: None,
            })),
        }
    }

    /// Sends an event if there is room; otherwise leaves it out, and returns `false`.
    ///
    /// An event of many bytes may fit only in part. It then counts as sent, and the rest of it
    /// goes with the next event or the result.
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::{Process, Sender};
    ///
    /// /// How many events were left out, because the caller was behind.
    /// #[anyfork::call(text_errors)]
    /// fn report(count: u32, progress: Sender<[u64; 32]>) -> anyfork::Result<u32> {
    ///     let mut left_out = 0;
    ///     for _ in 0..count {
    ///         if !progress.try_send([0; 32])? {
    ///             left_out += 1;
    ///         }
    ///     }
    ///     Ok(left_out)
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// let mut call = report::call(Process::new()?, 100);
    /// let mut received = 0;
    /// while let Some(_event) = call.recv().blocking() {
    ///     received += 1;
    /// }
    /// assert_eq!(received + call.blocking()??, 100);
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`send`](Sender::send).
    pub fn try_send(&self, event: E) -> Result<bool> {
        Ok(match self.begin(event)? {
            Some((_, begun)) => !matches!(begun, Begun::Full(_)),
            None => true,
        })
    }

    /// `None`: the event was taken in this process.
    fn begin(&self, event: E) -> Result<Option<(Arc<dyn Outlet>, Begun)>> {
        let (outlet, encode) = match &self.0 {
            Target::Nobody => return Ok(None),
            Target::Closure(take) => {
                take(event);
                return Ok(None);
            }
            Target::Caller { outlet, encode } => (outlet, encode),
        };
        let mut encoder = Encoder::default();
        encode(event, &mut encoder).map_err(|reason| {
            let message = format!("an event does not encode: {reason}");
            Error::new(ErrorKind::BadArgument, message)
        })?;
        let begun = outlet.begin(encoder)?;
        Ok(Some((Arc::clone(outlet), begun)))
    }
}

/// An event that is being sent. Finish it with `.await` (feature `tokio`) or
/// [`blocking`](Sending::blocking).
///
/// A `Sending` that is dropped before that leaves the event out, unless a part of it was sent.
///
/// ```
/// # mod doctest {
/// use anyfork::{Process, Sender, Sending};
///
/// #[anyfork::call(text_errors)]
/// fn table(rows: Sender<u32>) -> anyfork::Result<()> {
///     // Each of them waits while the caller is behind.
///     (1..=3).map(|row| rows.send(row)).try_for_each(Sending::blocking)
/// }
///
/// # pub fn main() -> anyfork::Result<()> {
/// let mut call = table::call(Process::new()?);
/// let rows: Vec<u32> = std::iter::from_fn(|| call.recv().blocking()).collect();
/// assert_eq!(rows, [1, 2, 3]);
/// assert!(call.blocking()?.is_ok());
/// # Ok(())
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
#[must_use = "an event may be left out: `.await` it or call `.blocking()`"]
pub struct Sending(State);

enum State {
    Over(Result<()>),
    Waiting(Waiting),
}

struct Waiting {
    outlet: Arc<dyn Outlet>,
    /// `None` only in between.
    begun: Option<Begun>,
    #[cfg(feature = "tokio")]
    room: Option<Room>,
}

impl Waiting {
    /// Goes on as far as possible. Whether all is sent.
    fn step(&mut self) -> Result<bool> {
        loop {
            let begun = match self.begun.take() {
                None | Some(Begun::Sent) => return Ok(true),
                Some(Begun::Part(number)) => {
                    let is_sent = self.outlet.go_on(number)?;
                    self.begun = Some(Begun::Part(number));
                    return Ok(is_sent);
                }
                Some(Begun::Full(event)) => self.outlet.begin(event)?,
            };
            let is_full = matches!(begun, Begun::Full(_));
            self.begun = Some(begun);
            if is_full {
                return Ok(false);
            }
        }
    }
}

impl Sending {
    /// Waits until the event is sent.
    ///
    /// # Errors
    ///
    /// See [`Sender::send`].
    pub fn blocking(self) -> Result<()> {
        let mut waiting = match self.0 {
            State::Over(result) => return result,
            State::Waiting(waiting) => waiting,
        };
        while !waiting.step()? {
            waiting.outlet.wait()?;
        }
        Ok(())
    }
}

#[cfg(feature = "tokio")]
impl Future for Sending {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let waiting = match &mut self.0 {
            State::Over(result) => return Poll::Ready(result.clone()),
            State::Waiting(waiting) => waiting,
        };
        let result = loop {
            match waiting.step() {
                Ok(false) => {}
                Ok(true) => break Ok(()),
                Err(error) => break Err(error),
            }
            if waiting.outlet.is_crowded() {
                if let Err(error) = waiting.outlet.wait() {
                    break Err(error);
                }
                continue;
            }
            if waiting.room.is_none() {
                waiting.room = Room::new(waiting.outlet.socket());
            }
            let waited = match &waiting.room {
                Some(room) => ready!(room.poll(context)),
                // Outside of a runtime nobody would wake this task.
                None => waiting.outlet.wait(),
            };
            if let Err(error) = waited {
                break Err(error);
            }
        };
        self.0 = State::Over(result.clone());
        Poll::Ready(result)
    }
}

impl<E> Clone for Sender<E> {
    fn clone(&self) -> Sender<E> {
        Sender(match &self.0 {
            Target::Nobody => Target::Nobody,
            Target::Closure(take) => Target::Closure(Arc::clone(take)),
            Target::Caller { outlet, encode } => Target::Caller {
                outlet: Arc::clone(outlet),
                encode: *encode,
            },
        })
    }
}

impl<E> fmt::Debug for Sender<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").finish_non_exhaustive()
    }
}
