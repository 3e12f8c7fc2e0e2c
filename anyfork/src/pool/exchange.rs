//! The conversation with workers: requests go out, and answers come in.
//! RUNS IN: caller
//!
//! A worker's [`Line`] is taken out of the table by the one thread that sends or reads, and
//! put back under the lock. What has to be done with it meanwhile is done then.

use std::time::Instant;

use crate::error::Result;
use crate::pool::connection::several::{Told, What};
use crate::pool::connection::{Outcome, Progress, Reply};
use crate::pool::core::Shared;
use crate::pool::failed;
use crate::pool::inner::{Inner, Sending, Trash};
use crate::pool::live::{Line, Live, READABLE};
use crate::pool::memory;
use crate::pool::state::event::{Answer, CallId, Entered, Event, Then, WorkerId};
use crate::sys::socket::Wait;

/// Who puts a connection back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// The owner of the call.
    Owner,
    /// Another thread: the owner may wait for the connection.
    Other,
}

/// The result of a step, and what becomes of the worker.
pub(crate) struct Stepped {
    pub(super) progress: Result<Progress>,
    /// Events, and answers before the last one.
    arrived: Vec<Outcome>,
    /// What a worker with several calls has sent.
    pub(super) told: Vec<Told>,
    /// It has grown too much.
    pub(super) has_grown: bool,
}

impl Line {
    /// Sends and receives as much as possible, without waiting.
    pub(crate) fn step(&mut self, shared: &Shared) -> Stepped {
        if shared.options.gives_several {
            return self.receive_several(shared, Wait::No);
        }
        let progress = self.connection.step();
        self.stepped(progress, shared)
    }

    /// Sends the rest and waits for the answer, or the end.
    pub(crate) fn wait(&mut self, shared: &Shared) -> Stepped {
        if shared.options.gives_several {
            return self.receive_several(shared, Wait::Yes);
        }
        let progress = self.connection.wait();
        self.stepped(progress, shared)
    }

    fn stepped(&mut self, progress: Result<Progress>, shared: &Shared) -> Stepped {
        let has_ended = matches!(progress, Ok(Progress::Reply(_)));
        Stepped {
            has_grown: has_ended && self.has_grown(shared),
            progress,
            arrived: self.connection.take_arrived(),
            told: Vec::new(),
        }
    }

    /// Whether the worker has grown too much.
    fn has_grown(&self, shared: &Shared) -> bool {
        shared.options.retire_growth.is_some_and(|limit| {
            let now = memory::private_of(self.pid).unwrap_or_default();
            now.saturating_sub(self.memory) > limit
        })
    }

    fn receive_several(&mut self, shared: &Shared, wait: Wait) -> Stepped {
        let (progress, told) = match self.connection.receive_several(wait) {
            Ok((progress, told)) => (Ok(progress), told),
            Err(error) => (Err(error), Vec::new()),
        };
        let has_ended = told.iter().any(|it| matches!(it.what, What::Answer(_)));
        Stepped {
            progress,
            arrived: Vec::new(),
            told,
            has_grown: has_ended && self.has_grown(shared),
        }
    }
}

impl Answer {
    /// The answer that has this outcome.
    pub(super) fn of(outcome: &Outcome) -> Answer {
        match outcome {
            Outcome::Returned(_) => Answer::Returned,
            Outcome::Panicked(_) => Answer::Panicked,
            _ => Answer::Other,
        }
    }
}

impl Stepped {
    /// Whether more may have arrived.
    pub(crate) fn has_more(&self) -> bool {
        matches!(self.progress, Ok(Progress::Arrived(_)))
    }
}

impl Shared {
    /// Sends a request, or as much as there is room for.
    pub(crate) fn send(&self, sending: Sending) {
        let Sending {
            worker,
            mut line,
            request,
        } = sending;
        line.connection.start(request);
        // A failure shows again when the answer is read.
        let wait = line.connection.send_step().ok().flatten();
        let mut inner = self.lock();
        inner.return_line(worker, line, wait.unwrap_or(READABLE));
        self.turn_over(&mut inner, worker, By::Other);
        inner.watcher.is_wanted |= wait.is_some();
        self.finish(inner);
    }

    /// Takes the connection of a worker whose call has not been answered. That of an idle
    /// worker stays: a request may be given to it at any time, with its connection.
    pub(crate) fn take_line(&self, inner: &mut Inner, worker: WorkerId) -> Option<Box<Line>> {
        let up = inner.up(worker)?;
        let is_broken = up.several.as_ref().is_some_and(|it| it.is_broken);
        match up.has_calls() && !is_broken {
            true => up.line.take(),
            false => None,
        }
    }

    /// Puts a connection back, with what came of it.
    pub(crate) fn put_back(
        &self,
        inner: &mut Inner,
        worker: WorkerId,
        mut line: Box<Line>,
        stepped: Stepped,
        by: By,
    ) {
        if self.options.gives_several {
            return self.put_back_several(inner, worker, line, stepped);
        }
        let is_usable = line.connection.is_usable();
        let Stepped {
            progress,
            arrived,
            has_grown,
            ..
        } = stepped;
        self.on_arrived(inner, worker, arrived, by);
        let wait = match &progress {
            Ok(Progress::WaitFor(wait) | Progress::Arrived(wait)) => *wait,
            _ => READABLE,
        };
        let rest = line.connection.take_rest();
        inner.return_line(worker, line, wait);
        inner.keep_rest(worker, rest);
        match progress {
            Ok(Progress::WaitFor(_) | Progress::Arrived(_)) => {}
            Ok(Progress::Ended) => {
                if let Some(up) = inner.up(worker) {
                    up.ended.get_or_insert_with(Instant::now);
                }
                inner.watcher.is_wanted = true;
            }
            Ok(Progress::Reply(reply)) => {
                let has_exited = inner.up(worker).is_none_or(|up| up.exit.is_some());
                let then = match reply.retires || !is_usable || has_exited {
                    true => Then::Leave,
                    false if has_grown => Then::Retire,
                    false => Then::Stay,
                };
                self.on_reply(inner, worker, reply, then);
            }
            Err(error) => self.on_nonsense(inner, worker, &error),
        }
        self.turn_over(inner, worker, by);
    }

    /// The connection is back: others may have waited for that.
    fn turn_over(&self, inner: &mut Inner, worker: WorkerId, by: By) {
        let Some(up) = inner.up(worker) else {
            return;
        };
        // It is out again, with the next request.
        if up.line.is_none() {
            return;
        }
        if up.exit.is_some() {
            return self.on_death(inner, worker);
        }
        let (call, can_read) = (up.call, !up.is_unsent() && up.ended.is_none());
        if by == By::Other
            && can_read
            && let Some(entry) = call.and_then(|call| inner.calls.get_mut(&call))
            && let Some(wake) = entry.owner.hand_over()
        {
            inner.todo.wakes.push(wake);
        }
    }

    /// Events, or answers before the last one.
    fn on_arrived(&self, inner: &mut Inner, worker: WorkerId, arrived: Vec<Outcome>, by: By) {
        if arrived.is_empty() {
            return;
        }
        let call = inner.up(worker).and_then(|up| up.call);
        let entry = call.and_then(|call| inner.calls.get_mut(&call));
        let unwanted = match entry {
            None => arrived,
            Some(entry) => {
                let unwanted = entry.arrivals.extend(entry.name, arrived);
                if unwanted.is_empty()
                    && by == By::Other
                    && let Some(wake) = entry.owner.wake()
                {
                    inner.todo.wakes.push(wake);
                }
                unwanted
            }
        };
        inner.todo.trash.push(Trash::Arrived(unwanted));
    }

    fn on_reply(&self, inner: &mut Inner, worker: WorkerId, reply: Reply, then: Then) {
        let Some(call) = inner.up(worker).and_then(|up| up.call.take()) else {
            return;
        };
        inner.end_output(worker, Some(call));
        let answer = Answer::of(&reply.outcome);
        if let Some(entry) = inner.calls.get_mut(&call) {
            entry.result = Some(failed::result(entry.name, reply.outcome));
        }
        self.answered(inner, worker, call, answer, then);
    }

    fn on_nonsense(&self, inner: &mut Inner, worker: WorkerId, error: &crate::error::Error) {
        let Some(up) = inner.up(worker) else {
            return;
        };
        let _ = up.socket.shutdown(std::net::Shutdown::Both);
        let Some(call) = up.call.take() else {
            let _ = up.watch.kill();
            return;
        };
        if let Some(entry) = inner.calls.get_mut(&call) {
            let error = error.during(format_args!("call `{}`", entry.name));
            entry.result = Some(Err(error));
        }
        self.answered(inner, worker, call, Answer::Other, Then::Kill);
    }

    pub(super) fn answered(
        &self,
        inner: &mut Inner,
        worker: WorkerId,
        call: CallId,
        answer: Answer,
        then: Then,
    ) {
        let event = Event::Answer {
            worker,
            call,
            answer,
            then,
        };
        self.tell(inner, event);
    }

    /// A worker's exit is known.
    pub(crate) fn on_exit(&self, inner: &mut Inner, worker: WorkerId, exit: crate::exit::Exit) {
        let Some(up) = inner.up(worker) else {
            return;
        };
        up.exit = Some(exit);
        match up.line.is_some() {
            true => self.on_death(inner, worker),
            // Others may hold its end of the socket: whoever reads is woken so, and receives
            // what has arrived.
            false => {
                let _ = up.socket.shutdown(std::net::Shutdown::Both);
            }
        }
    }

    /// A worker has exited, and its connection is here. What it has answered counts.
    pub(super) fn on_death(&self, inner: &mut Inner, worker: WorkerId) {
        inner.end_output(worker, None);
        if self.options.gives_several {
            return self.on_death_of_several(inner, worker);
        }
        while let Some(up) = inner.up(worker)
            && up.call.is_some()
            && let Some(mut line) = up.line.take()
        {
            let progress = line.connection.step();
            let goes_on = matches!(progress, Ok(Progress::Reply(_) | Progress::Arrived(_)));
            let arrived = line.connection.take_arrived();
            self.on_arrived(inner, worker, arrived, By::Other);
            inner.keep_rest(worker, line.connection.take_rest());
            inner.return_line(worker, line, READABLE);
            match progress {
                Ok(Progress::Reply(reply)) => self.on_reply(inner, worker, reply, Then::Leave),
                Err(error) => self.on_nonsense(inner, worker, &error),
                _ => {}
            }
            if !goes_on {
                break;
            }
        }
        let Some(Live::Up(up)) = inner.workers.get_mut(&worker) else {
            return;
        };
        let mut of_calls = Vec::new();
        if let Some(call) = up.call.take()
            && let Some(entry) = inner.calls.get_mut(&call)
        {
            let answered = entry.arrivals.answered;
            let mut entered = Entered::No;
            if up.page.has_entered(entry.number + answered) {
                entered = Entered::Yes;
            }
            entry.has_entered = entered == Entered::Yes;
            let line = up.line.as_mut();
            match line.and_then(|line| line.connection.take_back()) {
                Some(request) => {
                    entry.request = Some(request);
                    // What was answered is not to be called again.
                    if answered > 0 && entered == Entered::No {
                        entered = Entered::NoAndSpent;
                    }
                }
                None if entered == Entered::No => entered = Entered::NoAndSpent,
                None => {}
            }
            of_calls.push((call, entered));
            entry.worker = None;
            // The runtime forgets who waits for a socket that is dropped.
            if let Some(wake) = entry.owner.lose_worker() {
                inner.todo.wakes.push(wake);
            }
        }
        self.tell(
            inner,
            Event::Died {
                worker,
                entered: of_calls,
            },
        );
    }

    /// Reads in the owner's place.
    pub(crate) fn read_for_owner(&self, worker: WorkerId) {
        // The answer may be behind as many events as a socket holds.
        const MAXIMUM_STEPS: u32 = 64;
        for _ in 0..MAXIMUM_STEPS {
            let mut inner = self.lock();
            let is_full = match inner.workers.get(&worker) {
                Some(Live::Up(up)) => inner.is_any_full(up),
                _ => false,
            };
            let mut goes_on = false;
            if !is_full && let Some(mut line) = self.take_line(&mut inner, worker) {
                drop(inner);
                let stepped = line.step(self);
                goes_on = stepped.has_more();
                inner = self.lock();
                self.put_back(&mut inner, worker, line, stepped, By::Other);
            }
            self.finish(inner);
            if !goes_on {
                return;
            }
        }
    }
}
