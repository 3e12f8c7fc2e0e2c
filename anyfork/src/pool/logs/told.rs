//! [`Told`]: what waits to be told: a line, or what a worker's subscriber was told.
//! RUNS IN: caller

use crate::pool::logs::printed::{Printed, Stream};
use crate::pool::trace::Home;

/// A call, as the pipes of its worker know it.
#[derive(Clone)]
pub(crate) struct Current {
    pub(crate) id: u64,
    pub(crate) home: Home,
}

/// What waits to be told.
pub(crate) enum Told {
    Line(Stream, Printed),
    #[cfg(feature = "tracing")]
    Frame(Frame),
    /// The worker of that number is gone: its spans end.
    #[cfg(feature = "tracing")]
    Gone(u64),
}

/// A frame of a worker's spans and events.
#[cfg(feature = "tracing")]
pub(crate) struct Frame {
    /// The worker's number among those of the pool.
    pub(crate) worker: u64,
    pub(crate) pid: u32,
    /// Its call's place. `None`: it had no call.
    pub(crate) home: Option<Home>,
    pub(crate) bytes: Vec<u8>,
    /// Number of frames that were left out before it.
    pub(crate) left_out: u64,
}

impl Told {
    /// Number of its bytes.
    pub(crate) fn len(&self) -> usize {
        match self {
            Told::Line(_, line) => line.bytes.len(),
            #[cfg(feature = "tracing")]
            Told::Frame(frame) => frame.bytes.len(),
            #[cfg(feature = "tracing")]
            Told::Gone(_) => 0,
        }
    }
}
