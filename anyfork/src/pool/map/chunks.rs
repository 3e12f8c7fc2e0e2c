//! [`Chunks`]: the calls of a map that are under way, and the results that have come.
//! RUNS IN: caller
//!
//! Each call is for one item, or for several that follow each other: a chunk. Of a chunk
//! whose worker has left before the end, the items that were not entered are sent again.

use std::collections::VecDeque;
use std::iter::Fuse;
#[cfg(feature = "tokio")]
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::pool::callee::Callee;
use crate::pool::decode::result_of;
use crate::pool::handle::Pool;
use crate::pool::map::pace::{Pace, Plan};
use crate::pool::over::Next;
use crate::pool::pooled::PoolCall;
use crate::pool::prepared::{Prepared, next_number};
use crate::protocol::call::{Payload, items};

/// Number of bytes above which a chunk takes no more items.
const MAX_CHUNK_LEN: u64 = 256 * 1024;

/// Number of blobs above which a chunk takes no more items: each may have as many as a frame
/// may have beside these.
const MAX_CHUNK_BLOBS: usize = 64;

/// Maximum number of workers that may leave before they have entered the next item.
const MAXIMUM_RESENT: u32 = 50;

/// The calls of a map that are under way, and the results that nobody has taken.
pub(crate) struct Chunks<I: Iterator, R> {
    items: Fuse<I>,
    callee: Callee<I::Item, R>,
    pool: Pool,
    pace: Pace,
    /// What holds until the next message was answered.
    plan: Option<Plan>,
    timeout: Option<Duration>,
    /// Number of items that were taken.
    taken: usize,
    /// Number of results that were given.
    given: usize,
    /// By the numbers of their items.
    chunks: VecDeque<Chunk>,
    results: VecDeque<(usize, Result<R>)>,
    /// An argument that ends a chunk, and comes with the next one.
    held: Option<Result<Payload>>,
}

/// A call for items that follow each other.
pub(crate) struct Chunk {
    call: Result<PoolCall>,
    /// The number of the item whose result is next.
    next: usize,
    /// Number of items that have no result.
    left: usize,
    /// Number of its items that had a result before its request was joined.
    answered: usize,
    resent: u32,
}

impl Chunk {
    pub(crate) fn blocking(&mut self) -> Next {
        match &mut self.call {
            Ok(call) => call.blocking_next(),
            Err(error) => Next::Last(Err(error.clone()), None),
        }
    }

    /// The next result, if it is there; otherwise this thread is woken when it is.
    pub(crate) fn watch(&mut self) -> Option<Next> {
        match &mut self.call {
            Ok(call) => call.watch_next(),
            Err(error) => Some(Next::Last(Err(error.clone()), None)),
        }
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        match &mut self.call {
            Ok(call) => call.poll_next(context),
            Err(error) => Poll::Ready(Next::Last(Err(error.clone()), None)),
        }
    }

    fn decoded<A, R>(&self, callee: &Callee<A, R>, result: Result<Payload>) -> Result<R> {
        match &self.call {
            Ok(call) => result_of(call, callee.name, callee.decode, result),
            Err(error) => Err(error.clone()),
        }
    }
}

impl<I: Iterator, R> Chunks<I, R> {
    pub(crate) fn new(pool: Pool, items: I, callee: Callee<I::Item, R>) -> Chunks<I, R> {
        Chunks {
            items: items.fuse(),
            callee,
            pool,
            pace: Pace::default(),
            plan: None,
            timeout: None,
            taken: 0,
            given: 0,
            chunks: VecDeque::new(),
            results: VecDeque::new(),
            held: None,
        }
    }

    pub(crate) fn set_in_flight(&mut self, items: usize) {
        self.pace.set_in_flight(items);
    }

    pub(crate) fn set_chunk(&mut self, items: usize) {
        self.pace.set_chunk(items);
    }

    pub(crate) fn set_timeout(&mut self, limit: Duration) {
        self.timeout = Some(limit);
    }

    /// Number of calls under way.
    pub(crate) fn len(&self) -> usize {
        self.chunks.len()
    }

    pub(crate) fn first(&mut self) -> Option<&mut Chunk> {
        self.chunks.front_mut()
    }

    pub(crate) fn at(&mut self, at: usize) -> &mut Chunk {
        &mut self.chunks[at]
    }

    /// Takes items as long as there is room.
    pub(crate) fn fill(&mut self) {
        let Plan { window, chunk } = self.plan();
        while self.taken - self.given + chunk <= window {
            let items = self.gather(chunk);
            if items.is_empty() {
                return;
            }
            let (first, count) = (self.taken - usize::from(self.held.is_some()), items.len());
            let first = first - count;
            let started = self.start(items, first, 0, 0);
            self.chunks.push_back(started);
        }
    }

    fn plan(&mut self) -> Plan {
        if let Some(plan) = self.plan {
            return plan;
        }
        let pool = self.pool.shared().ok();
        let pool = pool.as_ref();
        if self.timeout.is_some() || pool.is_some_and(|pool| pool.options.timeout.is_some()) {
            self.pace.set_single();
        }
        let workers = pool.map_or(1, |pool| pool.lock().state.max());
        let plan = self.pace.plan(workers);
        self.plan = Some(plan);
        plan
    }

    /// Arguments of the next items, of one that goes alone, or why the next does not go.
    fn gather(&mut self, chunk: usize) -> Vec<Result<Payload>> {
        let mut gathered = Vec::new();
        let (mut len, mut blobs) = (0, 0);
        while gathered.len() < chunk {
            let item = match self.held.take() {
                Some(item) => item,
                None => {
                    let Some(item) = self.items.next() else {
                        break;
                    };
                    self.taken += 1;
                    (self.callee.encode)(item).into_payload()
                }
            };
            let goes_alone = item.as_ref().map_or(true, |it| !it.fds.is_empty());
            if goes_alone && !gathered.is_empty() {
                self.held = Some(item);
                break;
            }
            if let Ok(item) = &item {
                len += item.len();
                blobs += item.blobs.len();
            }
            gathered.push(item);
            if goes_alone || len > MAX_CHUNK_LEN || blobs > MAX_CHUNK_BLOBS {
                break;
            }
        }
        gathered
    }

    /// Puts items under way, of which the first has this number.
    fn start(
        &self,
        items: Vec<Result<Payload>>,
        first: usize,
        answered: usize,
        resent: u32,
    ) -> Chunk {
        let left = items.len();
        let items: Result<Vec<Payload>> = items.into_iter().collect();
        let call = items.and_then(|mut items| {
            let shared = self.pool.shared()?;
            let (arguments, count) = match items.len() {
                1 => (items.remove(0), None),
                count => (items::join(items), Some(count as u32)),
            };
            let mut call = PoolCall::start(
                shared,
                Prepared {
                    number: next_number(),
                    name: self.callee.name,
                    fingerprint: self.callee.fingerprint,
                    is_async: self.callee.is_async,
                    arguments,
                    items: count,
                },
            );
            if let Some(limit) = self.timeout {
                call.set_timeout(limit);
            }
            Ok(call)
        });
        Chunk {
            call: call.map_err(|error| error.before_entry()),
            next: first,
            left,
            answered,
            resent,
        }
    }

    /// Takes in what the chunk at this place has given.
    pub(crate) fn take_in(&mut self, at: usize, next: Next) {
        let chunk = &mut self.chunks[at];
        let (result, rest) = match next {
            // An event: the worker lies, for the last item's result comes last, and none has events.
            Next::More(_) if chunk.left == 1 => return,
            Next::More(result) => {
                let number = chunk.next;
                chunk.next += 1;
                chunk.left -= 1;
                chunk.answered += 1;
                chunk.resent = 0;
                let result = chunk.decoded(&self.callee, result);
                self.results.push_back((number, result));
                return;
            }
            Next::Last(result, rest) => (result, rest),
        };
        let Some(mut chunk) = self.chunks.remove(at) else {
            return;
        };
        self.pace.answered(chunk.answered + 1, Instant::now());
        self.plan = None;
        // An error of a chunk that no item was entered for is the next item's only if that
        // item is to blame.
        let is_unentered = matches!(&result, Err(error) if error.never_entered());
        let error = result.as_ref().err().cloned();
        let is_refused = is_unentered && !matches!(kind_of(&error), Some(ErrorKind::BadArgument));
        let has_died = matches!(kind_of(&error), Some(ErrorKind::Died));
        let is_sent_again = has_died && is_unentered && chunk.resent < MAXIMUM_RESENT;
        if !is_refused || chunk.left == 1 {
            let result = chunk.decoded(&self.callee, result);
            self.results.push_back((chunk.next, result));
            chunk.next += 1;
            chunk.left -= 1;
            chunk.answered += 1;
            chunk.resent = 0;
        }
        if chunk.left == 0 {
            return;
        }
        let rest = match is_refused && !is_sent_again {
            true => None,
            false => rest.and_then(|rest| items::split(rest, 0).ok()),
        };
        match rest {
            Some(mut rest) => {
                rest.drain(..chunk.answered.min(rest.len()));
                let rest = rest.into_iter().map(Ok).collect();
                let again = self.start(rest, chunk.next, 0, chunk.resent + 1);
                self.chunks.insert(at, again);
            }
            None => {
                let error = error.unwrap_or_else(|| {
                    let message = format!("`{}` was not called: its worker left", self.callee.name);
                    Error::new(ErrorKind::Closed, message).before_entry()
                });
                for number in chunk.next..chunk.next + chunk.left {
                    self.results.push_back((number, Err(error.clone())));
                }
            }
        }
    }

    /// Gives the first result in the order of the items, if it has come.
    pub(crate) fn take_first(&mut self) -> Option<Result<R>> {
        // Only the first chunk is taken in here, so that results come in order.
        self.take_any().map(|(_, result)| result)
    }

    /// Gives a result that has come.
    pub(crate) fn take_any(&mut self) -> Option<(usize, Result<R>)> {
        let result = self.results.pop_front()?;
        self.given += 1;
        Some(result)
    }
}

fn kind_of(error: &Option<Error>) -> Option<ErrorKind> {
    error.as_ref().map(Error::kind)
}
