//! What a worker has sent: events, answers to items, and the last answer.
//! RUNS IN: caller

use std::mem;

use crate::error::{Error, ErrorKind, Result};
use crate::pool::connection::{Connection, Outcome, Progress, Reply, Sent};
use crate::protocol::call::{Frame, Kind, parse_failure};

impl Connection {
    /// What has arrived before the last answer, since this was asked last.
    pub(crate) fn take_arrived(&mut self) -> Vec<Outcome> {
        mem::take(&mut self.arrived)
    }

    /// Takes all frames that have arrived whole.
    pub(super) fn take_frames(&mut self, sent: &Sent) -> Result<Option<Progress>> {
        while let Some(frame) = self.incoming.frame()? {
            if let Some(reply) = self.take(frame)? {
                return Ok(Some(Progress::Reply(reply)));
            }
        }
        Ok(match self.arrived.is_empty() {
            true => None,
            false => Some(Progress::Arrived(sent.wait_for())),
        })
    }

    /// Takes an event, or an answer. The call is over with this one, or goes on.
    fn take(&mut self, frame: Frame) -> Result<Option<Reply>> {
        let Some(call) = self.call.as_mut() else {
            return Err(nonsense("it answers without a call"));
        };
        let is_event = frame.head.kind == Kind::Event;
        let number = match call.items.is_some() && !is_event {
            true => call.number + u64::from(call.answered),
            false => call.number,
        };
        if frame.head.number != number {
            return Err(nonsense("it answers another call"));
        }
        if is_event && call.items.is_some() {
            return Err(nonsense("an item has events"));
        }
        let goes_on = !frame.head.retires
            && match call.items {
                Some(items) => call.answered + 1 < items,
                None => is_event,
            };
        call.answered += u32::from(!is_event);
        let retires = frame.head.retires;
        let outcome = outcome(frame)?;
        if goes_on {
            self.arrived.push(outcome);
            return Ok(None);
        }
        if let Some(mut call) = self.call.take() {
            self.is_broken |= !call.is_sent;
            self.room = call.outgoing.take_room();
            if call.items.is_some_and(|items| call.answered < items) {
                self.rest = call.into_request();
            }
        }
        Ok(Some(Reply { outcome, retires }))
    }
}

/// What a frame of a worker's says.
pub(super) fn outcome(frame: Frame) -> Result<Outcome> {
    let has_lost_fds = frame.has_lost_fds;
    let payload = frame.payload;
    let text = || String::from_utf8_lossy(&payload.main).into_owned();
    Ok(match frame.head.kind {
        Kind::Returned | Kind::Event if has_lost_fds => {
            let message = "the descriptor table of this process is full, and descriptors \
                               of a result or an event were lost";
            Outcome::BadResult(message.to_owned())
        }
        Kind::Returned | Kind::Event => Outcome::Returned(payload),
        Kind::Panicked => Outcome::Panicked(parse_failure(&payload.main)?),
        Kind::BadArgument => Outcome::BadArgument(text()),
        Kind::TooLarge { size } => Outcome::TooLarge(size),
        Kind::BadResult => Outcome::BadResult(text()),
        Kind::Call(_) | Kind::Items(_) | Kind::Cancel => return Err(nonsense("it calls")),
        Kind::Cancelled => return Err(nonsense("it was not asked to drop a call")),
    })
}

/// The error for a worker that answers what nobody understands.
pub(crate) fn nonsense(what: &str) -> Error {
    Error::new(
        ErrorKind::Protocol,
        format!("a worker sent an answer that makes no sense: {what}"),
    )
}
