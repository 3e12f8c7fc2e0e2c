//! The runtime of calls that run beside each other: reads requests as they come.
//! RUNS IN: child

use std::collections::HashMap;
use std::future::poll_fn;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::{AbortHandle, Id, JoinSet, LocalSet};
use tokio::time::timeout;

use crate::child::calls::answer::{Answer, Served};
use crate::child::calls::beside;
use crate::child::calls::outlet::INTERVAL_IN_FLIGHT;
use crate::child::calls::requests::Requests;
use crate::child::calls::writer::{Sent, Writer};
use crate::child::frame;
use crate::entry::asynchronous::{Room, block_on_call};
use crate::error::{Error, Result};
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
    let local = LocalSet::new();
    block_on_call(local.run_until(async {
        let socket = requests.socket().try_clone_to_owned();
        let socket = socket.map_err(|error| Error::io("duplicate a worker's socket", error))?;
        #[allow(deprecated, reason = "as in `Room`")]
        let socket = AsyncFd::with_interest(socket, Interest::READABLE)
            .map_err(|error| Error::io("watch a worker's socket", error))?;
        let mut tasks = Tasks {
            requests,
            writer: &writer,
            socket,
            room: None,
            entered,
            mark,
            set: JoinSet::new(),
            running: HashMap::new(),
            leaves: false,
            has_ended: false,
        };
        tasks.serve().await
    }))
}

struct Tasks<'a> {
    requests: &'a mut Requests,
    writer: &'a Arc<Writer>,
    socket: AsyncFd<OwnedFd>,
    /// Tells when there is room again, once there was none.
    room: Option<Room>,
    entered: SharedNumber,
    mark: ForkMark,
    set: JoinSet<Answer>,
    running: HashMap<Id, Running>,
    /// It begins no more.
    leaves: bool,
    /// The caller has closed the socket.
    has_ended: bool,
}

/// A call that runs.
struct Running {
    number: u64,
    terms: Terms,
    task: AbortHandle,
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
            if self.running.is_empty() && sent == Sent::All {
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
                Sent::Crowded => timeout(INTERVAL_IN_FLIGHT, events)
                    .await
                    .unwrap_or(Ok(()))?,
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
            let task = self.set.spawn_local(call);
            let running = Running {
                number,
                terms,
                task,
            };
            self.running.insert(running.task.id(), running);
        }
        Ok(false)
    }

    /// Takes in what has happened. Pending: nothing has.
    fn poll(&mut self, context: &mut Context<'_>, is_full: bool) -> Poll<Result<()>> {
        let mut is_ready = false;
        while let Poll::Ready(Some(ended)) = self.set.poll_join_next_with_id(context) {
            is_ready = true;
            let (id, answer) = match ended {
                Ok((id, answer)) => (id, Some(answer)),
                Err(error) => {
                    let id = error.id();
                    let panic = error.try_into_panic();
                    (id, panic.ok().map(beside::broken))
                }
            };
            self.answer(id, answer);
        }
        while let Poll::Ready(readable) = self.socket.poll_read_ready(context) {
            is_ready = true;
            let mut readable = match readable {
                Ok(readable) => readable,
                Err(error) => {
                    return Poll::Ready(Err(Error::io("wait for a call", error)));
                }
            };
            readable.clear_ready();
            drop(readable);
            if let Err(error) = self.look() {
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
            if let Some(running) = self.running.values().find(|it| it.number == number) {
                running.task.abort();
            }
        }
        Ok(())
    }

    /// A call has ended. Without an answer: it was dropped.
    fn answer(&mut self, id: Id, answer: Option<Answer>) {
        let Some(running) = self.running.remove(&id) else {
            return;
        };
        let Running { number, terms, .. } = running;
        let Some(answer) = answer else {
            return self.push(Kind::Cancelled, number);
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
