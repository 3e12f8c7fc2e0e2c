//! [`PendingChild`]: a worker or a program that is being launched.
//! RUNS IN: caller
//!
//! The launch begins at once. If the descriptor table is full then, it begins when an
//! operation of this program has ended: see [`shortage`].

#[cfg(feature = "tokio")]
use std::future::poll_fn;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use crate::caller::spawn::Spawn;
use crate::caller::spawn::descriptors::Descriptors;
use crate::caller::spawn::spec::SpawnSpec;
use crate::caller::spawn::wait_for::INTERVAL;
use crate::caller::stdio::Streams;
use crate::caller::templates::handle::TemplateHandle;
use crate::caller::trace::Trace;
#[cfg(feature = "tokio")]
use crate::caller::wait::readiness::{sleep, within};
use crate::caller::wait::shortage::{self, Operation};
use crate::error::{Error, Result};

/// A spawn, and the caller's ends of the pipes that the child has for standard streams.
/// Dropped, it kills the child.
pub struct PendingChild(State);

#[allow(
    clippy::large_enum_variant,
    reason = "nearly all are started, and live in the launch"
)]
enum State {
    Started(Spawn<UnixStream>, Streams),
    /// There was no room for its descriptors.
    Refused(Box<Refused>),
}

struct Refused {
    order: Order,
    error: Error,
    /// Number of operations that had ended by then.
    ended: u64,
    /// Number of refusals in a row without any operation under way.
    alone: u32,
}

/// Maximum number of refusals in a row, with [`INTERVAL`] between them, of a launch that
/// has waited for operations of which the last has ended: whoever has asked for them may
/// still have to close what they held.
const MAX_ALONE: u32 = 100;

/// What is to be started.
struct Order {
    template: Arc<TemplateHandle>,
    spec: SpawnSpec,
    trace: Trace,
}

impl PendingChild {
    /// Asks the template for the child.
    pub(crate) fn start(
        template: &Arc<TemplateHandle>,
        spec: SpawnSpec,
        trace: &Trace,
    ) -> Result<PendingChild> {
        let order = Order {
            template: Arc::clone(template),
            spec,
            trace: trace.clone(),
        };
        match order.attempt(0)? {
            State::Refused(refused) if refused.alone > 0 => Err(refused.error),
            state => Ok(PendingChild(state)),
        }
    }

    /// The spawn and the streams, if it has begun.
    #[cfg(feature = "pool")]
    pub(crate) fn into_started(self) -> Result<(Spawn<UnixStream>, Streams)> {
        match self.0 {
            State::Started(spawn, streams) => Ok((spawn, streams)),
            State::Refused(refused) => Err(refused.error),
        }
    }

    /// The spawn, if it has begun, without the streams.
    #[cfg(feature = "pool")]
    pub(crate) fn into_spawn(self) -> Result<Spawn<UnixStream>> {
        self.into_started().map(|(spawn, _)| spawn)
    }

    /// Waits until it has begun.
    pub(crate) fn begun(self) -> Result<(Spawn<UnixStream>, Streams)> {
        let mut state = self.0;
        loop {
            let refused = match state {
                State::Started(spawn, streams) => return Ok((spawn, streams)),
                State::Refused(refused) => refused,
            };
            let deadline = refused.order.spec.deadline;
            let came = match refused.alone {
                0 => shortage::wait(refused.ended, deadline),
                MAX_ALONE => return Err(refused.error),
                _ => {
                    thread::sleep(INTERVAL);
                    deadline.is_none_or(|deadline| Instant::now() < deadline)
                }
            };
            if !came {
                return Err(Error::too_late(&refused.order.spec.what()));
            }
            state = refused.order.attempt(refused.alone)?;
        }
    }

    /// [`begun`](PendingChild::begun) of a task. Dropping the future drops the launch.
    #[cfg(feature = "tokio")]
    pub(crate) async fn begun_async(self) -> Result<(Spawn<UnixStream>, Streams)> {
        let refused = match self.0 {
            State::Started(spawn, streams) => return Ok((spawn, streams)),
            State::Refused(refused) => refused,
        };
        let (deadline, what) = (refused.order.spec.deadline, refused.order.spec.what());
        let begun = async {
            let mut refused = refused;
            loop {
                match refused.alone {
                    0 => poll_fn(|context| shortage::poll(refused.ended, context)).await,
                    MAX_ALONE => return Err(refused.error),
                    _ => sleep(INTERVAL).await?,
                }
                match refused.order.attempt(refused.alone)? {
                    State::Started(spawn, streams) => return Ok((spawn, streams)),
                    State::Refused(again) => refused = again,
                }
            }
        };
        within(deadline, &what, begun).await
    }
}

impl Order {
    /// Begins, if there is room. `alone` is the number of refusals before, in a row, without
    /// any operation under way.
    fn attempt(self, alone: u32) -> Result<State> {
        /// Maximum number of attempts in a row, if operations go on ending meanwhile.
        const MAX_ATTEMPTS: u32 = 100;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let before = shortage::ended();
            let operation = Operation::begin();
            let error = match Descriptors::open(&self.spec) {
                Ok(descriptors) => {
                    let Order {
                        template,
                        spec,
                        trace,
                    } = self;
                    let (spawn, streams) = Spawn::start(&template, spec, descriptors, trace)?;
                    return Ok(State::Started(spawn, streams));
                }
                Err(error) => error,
            };
            drop(operation);
            if !shortage::is_full(&error) {
                return Err(error);
            }
            // One is this attempt's.
            let ended = shortage::ended();
            if ended > before + 1 && attempts < MAX_ATTEMPTS {
                continue;
            }
            return Ok(State::Refused(Box::new(Refused {
                order: self,
                error,
                ended,
                alone: match shortage::active() {
                    0 => alone + 1,
                    _ => 0,
                },
            })));
        }
    }
}
