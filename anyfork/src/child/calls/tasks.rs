//! The runtime of calls that run beside each other: reads requests as they come.
//! RUNS IN: child

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::child::calls::answer::{Answer, Served};
use crate::child::calls::beside;
use crate::child::calls::outlet::INTERVAL_IN_FLIGHT;
use crate::child::calls::requests::Requests;
use crate::child::calls::writer::{Sent, Writer};
use crate::child::frame;
use crate::entry::asynchronous::calls::{
    Arrivals, Ended, LocalTasks, Room, block_on_local, within,
};
use crate::error::Result;
use crate::protocol::call::outgoing::Outgoing;
use crate::protocol::call::{Kind, Payload, Terms};
use crate::sys::fork_mark::ForkMark;
use crate::sys::shared_page::SharedNumber;

/// Serves requests as long as the next one may run beside others.
pub(super) fn serve(
    requests: &mut Requests,
    entered: SharedNumber,
    mark: ForkMark,
) -> Result<Served> {
    let writer = Arc::new(Writer::new(requests.socket(), mark)?);
    block_on_local(async {
        let mut tasks = Tasks {
            arrivals: Arrivals::new(requests.socket())?,
            requests,
            writer: &writer,
            room: None,
            entered,
            mark,
            running: LocalTasks::new(),
            leaves: false,
            has_ended: false,
        };
        tasks.serve().await
    })
}

struct Tasks<'a> {
    requests: &'a mut Requests,
    writer: &'a Arc<Writer>,
    arrivals: Arrivals,
    /// Tells when there is room again, once there was none.
    room: Option<Room>,
    entered: SharedNumber,
    mark: ForkMark,
    running: LocalTasks<Running, Answer>,
    /// It begins no more.
    leaves: bool,
    /// The caller has closed the socket.
    has_ended: bool,
}

/// A call that runs.
struct Running {
    number: u64,
    terms: Terms,
}

impl Tasks<'_> {
    async fn serve(&mut self) -> Result<Served> {
        // More may have arrived with the first request.
        self.look()?;
        loop {
            let is_next_alone = self.begin()?;
            let sent = self.writer.flush()?;
            if self.has_ended || sent == Sent::Gone {
                // What runs is dropped.
                return Ok(Served::Leaves);
            }
            if self.running.len() == 0 && sent == Sent::All {
                if self.leaves {
                    return Ok(Served::Leaves);
                }
                if is_next_alone {
                    return Ok(Served::Stays);
                }
            }
            let events = poll_fn(|context| self.poll(context, sent == Sent::Full));
            match sent {
                // Nothing tells that there is room.
                Sent::Crowded => within(INTERVAL_IN_FLIGHT, events).await.unwrap_or(Ok(()))?,
                _ => events.await?,
            }
        }
    }

    /// Begins what may run. Whether the next one has to wait until nothing else runs.
    fn begin(&mut self) -> Result<bool> {
        while !self.leaves
            && let Some(first) = self.requests.first()
        {
            let Some(startable) = beside::startable(first)? else {
                return Ok(true);
            };
            if self.running.len() >= usize::from(startable.terms.at_once) {
                return Ok(false);
            }
            let number = first.head.number;
            self.entered.store(number);
            if startable.terms.is_ahead {
                // See `is_wanted`. The request may be gone then.
                self.look()?;
                if self
                    .requests
                    .first()
                    .is_none_or(|it| it.head.number != number)
                {
                    continue;
                }
            }
            let Some(frame) = self.requests.next()? else {
                return Ok(false);
            };
            let terms = startable.terms;
            let writer = Arc::clone(self.writer);
            let call = beside::run(startable, frame, writer, self.mark);
            self.running.spawn(Running { number, terms }, call);
        }
        Ok(false)
    }

    /// Takes in what has happened. Pending: nothing has.
    fn poll(&mut self, context: &mut Context<'_>, is_full: bool) -> Poll<Result<()>> {
        let mut is_ready = false;
        while let Poll::Ready((running, ended)) = self.running.poll_ended(context) {
            is_ready = true;
            self.answer(running, ended);
        }
        while let Poll::Ready(readable) = self.arrivals.poll(context) {
            is_ready = true;
            if let Err(error) = readable.and_then(|()| self.look()) {
                return Poll::Ready(Err(error));
            }
            if self.has_ended {
                break;
            }
        }
        if is_full {
            // Not before: the kernel tells each time that the caller makes room.
            if self.room.is_none() {
                self.room = Room::new(self.requests.socket());
            }
            is_ready |= self
                .room
                .as_ref()
                .is_none_or(|it| it.poll(context).is_ready());
        }
        match is_ready {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }

    /// Takes in requests.
    fn look(&mut self) -> Result<()> {
        self.has_ended |= !self.requests.look()?;
        for number in self.requests.take_withdrawn() {
            self.push(Kind::Cancelled, number);
        }
        for number in self.requests.take_cancelled() {
            // One that has just ended is answered as it has.
            self.running.drop_one(|it| it.number == number);
        }
        Ok(())
    }

    /// A call has ended.
    fn answer(&mut self, running: Running, ended: Ended<Answer>) {
        let Running { number, terms } = running;
        let answer = match ended {
            Ended::Returned(answer) => answer,
            Ended::Panicked(panic) => beside::broken(panic),
            Ended::Dropped => return self.push(Kind::Cancelled, number),
        };
        self.leaves |= answer.leaves(&terms);
        if self.leaves {
            // The caller may be looking for what the function has printed.
            frame::flush_at_exit();
        }
        self.writer.push(answer.into_frame(number, self.leaves));
    }

    fn push(&mut self, kind: Kind, number: u64) {
        let frame = Outgoing::new(kind, number, self.leaves, "", Payload::default());
        self.writer.push(frame);
    }
}
