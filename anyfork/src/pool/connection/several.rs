//! What a worker has sent that has several calls: frames, whose calls the pool knows.
//! RUNS IN: caller

use std::mem;

use crate::error::Result;
use crate::pool::connection::arriving::outcome;
use crate::pool::connection::{Connection, LONGEST_FAILURE, Outcome, Progress, Received, WaitFor};
use crate::protocol::call::{Frame, Kind};
use crate::sys::socket::Wait;

/// What a worker has sent for one of its calls.
#[derive(Debug)]
pub(crate) struct Told {
    /// The number of the call.
    pub(crate) number: u64,
    pub(crate) what: What,
    /// The worker takes no more calls.
    pub(crate) retires: bool,
}

#[derive(Debug)]
pub(crate) enum What {
    Event(Outcome),
    Answer(Outcome),
    /// It was dropped, or not begun.
    Cancelled,
}

impl Connection {
    /// Maximum number of bytes of a result, for a worker that has several calls.
    pub(crate) fn expect_several(&mut self, max_result: u64) {
        self.incoming.set_limit(max_result.max(LONGEST_FAILURE));
    }

    /// Receives as much as has arrived, or waits for something. Sends nothing.
    ///
    /// # Errors
    ///
    /// Nonsense, after all that made sense was given.
    pub(crate) fn receive_several(&mut self, wait: Wait) -> Result<(Progress, Vec<Told>)> {
        const READABLE: WaitFor = WaitFor {
            readable: true,
            writable: false,
            later: false,
        };
        let mut all = Vec::new();
        if let Some(error) = mem::take(&mut self.error) {
            return Err(error);
        }
        loop {
            loop {
                let told = match self.incoming.frame() {
                    Ok(None) => break,
                    Ok(Some(frame)) => told(frame),
                    Err(error) => Err(error.into()),
                };
                match told {
                    Ok(told) => all.push(told),
                    Err(error) if all.is_empty() => return Err(error),
                    Err(error) => {
                        self.error = Some(error);
                        break;
                    }
                }
            }
            if !all.is_empty() {
                return Ok((Progress::Arrived(READABLE), all));
            }
            match self.receive(wait)? {
                Received::Bytes => {}
                Received::Nothing => return Ok((Progress::WaitFor(READABLE), all)),
                Received::End => {
                    self.has_ended = true;
                    return Ok((Progress::Ended, all));
                }
            }
        }
    }
}

fn told(frame: Frame) -> Result<Told> {
    let (number, kind, retires) = (frame.head.number, frame.head.kind, frame.head.retires);
    let what = match kind {
        Kind::Cancelled => What::Cancelled,
        Kind::Event => What::Event(outcome(frame)?),
        _ => What::Answer(outcome(frame)?),
    };
    Ok(Told {
        number,
        what,
        retires,
    })
}
