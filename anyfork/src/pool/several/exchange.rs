//! What workers send that may have several calls, and what becomes of the calls at their exit.
//! RUNS IN: caller

use std::net::Shutdown;
use std::sync::Arc;
use std::time::Instant;

use crate::error::Error;
use crate::pool::connection::arriving::nonsense;
use crate::pool::connection::several::{Told, What};
use crate::pool::connection::{Outcome, Progress};
use crate::pool::core::Shared;
use crate::pool::exchange::Stepped;
use crate::pool::failed;
use crate::pool::inner::{Inner, Trash};
use crate::pool::live::{Line, READABLE};
use crate::pool::request::Request;
use crate::pool::several::Given;
use crate::pool::state::event::{Answer, CallId, Entered, Event, Then, WorkerId};

impl Shared {
    /// Puts a connection back, with what came of it.
    pub(crate) fn put_back_several(
        &self,
        inner: &mut Inner,
        worker: WorkerId,
        line: Box<Line>,
        stepped: Stepped,
    ) {
        let Stepped {
            progress,
            told,
            has_grown,
            ..
        } = stepped;
        inner.return_line(worker, line, READABLE);
        self.on_told(inner, worker, told, has_grown);
        match progress {
            Ok(Progress::Ended) => {
                if let Some(up) = inner.up(worker) {
                    up.ended.get_or_insert_with(Instant::now);
                }
                inner.watcher.is_wanted = true;
            }
            Ok(_) => {}
            Err(error) => self.on_nonsense_of_several(inner, worker, None, &error),
        }
        match inner.up(worker).is_some_and(|up| up.exit.is_some()) {
            true => self.on_death(inner, worker),
            false => self.pass_on(inner, worker),
        }
    }

    /// Takes in what a worker has sent.
    fn on_told(&self, inner: &mut Inner, worker: WorkerId, all: Vec<Told>, has_grown: bool) {
        for told in all {
            let several = inner.up(worker).and_then(|up| up.several.as_ref());
            if several.is_none_or(|it| it.is_broken) {
                return;
            }
            let number = told.number;
            if let Err(error) = self.take_in(inner, worker, told, has_grown) {
                self.on_nonsense_of_several(inner, worker, Some(number), &error);
            }
        }
    }

    fn take_in(
        &self,
        inner: &mut Inner,
        worker: WorkerId,
        told: Told,
        has_grown: bool,
    ) -> Result<(), Error> {
        let Told {
            number,
            what,
            retires,
        } = told;
        let up = inner.up(worker);
        let Some((several, has_exited)) =
            up.and_then(|up| Some((up.several.as_mut()?, up.exit.is_some())))
        else {
            return Ok(());
        };
        let is_event = matches!(what, What::Event(_));
        let is_its = |it: &Given| match is_event {
            true => it.number == number,
            false => it.next() == number,
        };
        let Some(at) = several.given.iter().position(is_its) else {
            let is_cancelled = matches!(what, What::Cancelled);
            return match is_cancelled && several.taken.remove(&number) {
                true => Ok(()),
                false => Err(nonsense("it answers a call that it does not have")),
            };
        };
        let given = &mut several.given[at];
        let call = given.call;
        let (answer, outcome) = match what {
            What::Event(_) if given.items.is_some() => {
                return Err(nonsense("an item has events"));
            }
            What::Event(event) => {
                several.has_arrivals = true;
                inner.on_event(call, event);
                return Ok(());
            }
            What::Cancelled if !given.is_cancelled => {
                return Err(nonsense("it was not asked to drop a call"));
            }
            What::Cancelled => (Answer::Cancelled, None),
            What::Answer(outcome) => {
                given.answered += 1;
                let is_last = given.items.is_none_or(|items| given.answered >= items);
                if !is_last && !retires {
                    several.has_arrivals = true;
                    inner.on_event(call, outcome);
                    return Ok(());
                }
                (Answer::of(&outcome), Some(outcome))
            }
        };
        let Some(given) = several.given.remove(at) else {
            return Ok(());
        };
        let Some(sent) = several.outbox.answered(given.number) else {
            several.given.insert(at, given);
            return Err(nonsense("it answers a call before it was sent"));
        };
        let is_free = several.given.is_empty();
        let is_whole = given.items.is_none_or(|items| given.answered >= items);
        match is_whole && answer != Answer::Cancelled {
            true => inner.todo.trash.push(Trash::Sent(Box::new(sent))),
            // Not all was called: for its owner, or for another worker.
            false => {
                if let Some(entry) = inner.calls.get_mut(&call) {
                    entry.worker = None;
                    entry.request = sent.into_request();
                }
            }
        }
        inner.end_output(worker, Some(call));
        if let Some(entry) = inner.calls.get_mut(&call)
            && let Some(outcome) = outcome
        {
            entry.result = Some(failed::result(entry.name, outcome));
        }
        let then = match retires || has_exited {
            true => Then::Leave,
            false if has_grown && is_free => Then::Retire,
            false if has_grown => Then::Drain,
            false => Then::Stay,
        };
        self.answered(inner, worker, call, answer, then);
        if then == Then::Leave {
            self.take_unentered(inner, worker);
        }
        Ok(())
    }

    /// A worker begins no more: what it has not entered goes elsewhere.
    fn take_unentered(&self, inner: &mut Inner, worker: WorkerId) {
        while let Some(up) = inner.up(worker)
            && let Some(several) = &mut up.several
            && let Some(last) = several.given.back()
            && !up.page.has_entered(last.next())
        {
            let Some(given) = several.given.pop_back() else {
                return;
            };
            if given.is_cancelled {
                several.taken.insert(given.number);
            }
            let request = several.outbox.take_back(given.number);
            inner.end_output(worker, Some(given.call));
            let entered = inner.take_request(&given, request);
            let call = given.call;
            self.tell(
                inner,
                Event::Unentered {
                    worker,
                    call,
                    entered,
                },
            );
        }
    }

    /// A worker has sent what makes no sense, for the call of this number if it has that.
    fn on_nonsense_of_several(
        &self,
        inner: &mut Inner,
        worker: WorkerId,
        number: Option<u64>,
        error: &Error,
    ) {
        let Some(up) = inner.up(worker) else {
            return;
        };
        let _ = up.socket.shutdown(Shutdown::Both);
        // Nobody reads any more.
        up.ended.get_or_insert_with(Instant::now);
        let Some(several) = &mut up.several else {
            return;
        };
        several.is_broken = true;
        let is_its = |it: &Given| Some(it.number) == number;
        let at = several.given.iter().position(is_its).unwrap_or(0);
        let Some(given) = several.given.remove(at) else {
            let _ = up.watch.kill();
            return;
        };
        drop(several.outbox.answered(given.number));
        let call = given.call;
        inner.end_output(worker, Some(call));
        if let Some(entry) = inner.calls.get_mut(&call) {
            let error = error.during(format_args!("call `{}`", entry.name));
            entry.result = Some(Err(error));
        }
        self.answered(inner, worker, call, Answer::Other, Then::Kill);
    }

    /// A worker has exited, and its connection is here. What it has answered counts.
    pub(crate) fn on_death_of_several(&self, inner: &mut Inner, worker: WorkerId) {
        while let Some(up) = inner.up(worker)
            && up.has_calls()
            && up.several.as_ref().is_some_and(|it| !it.is_broken)
            && let Some(mut line) = up.line.take()
        {
            let Stepped { progress, told, .. } = line.step(self);
            inner.return_line(worker, line, READABLE);
            let goes_on = !told.is_empty();
            self.on_told(inner, worker, told, false);
            if let Err(error) = progress {
                self.on_nonsense_of_several(inner, worker, None, &error);
            }
            if !goes_on {
                break;
            }
        }
        let Some(up) = inner.up(worker) else {
            return;
        };
        let Some(several) = &mut up.several else {
            return;
        };
        several.outbox.close();
        let given = std::mem::take(&mut several.given);
        let outbox = Arc::clone(&several.outbox);
        let is_entered: Vec<bool> = given
            .iter()
            .map(|it| up.page.has_entered(it.next()))
            .collect();
        let others = is_entered
            .iter()
            .filter(|it| **it)
            .count()
            .saturating_sub(1);
        let mut entered = Vec::new();
        for (given, is_entered) in given.into_iter().zip(is_entered) {
            let request = outbox.take_back(given.number);
            let unentered = inner.take_request(&given, request);
            entered.push((
                given.call,
                match is_entered {
                    true => Entered::Yes,
                    false => unentered,
                },
            ));
            if let Some(entry) = inner.calls.get_mut(&given.call) {
                entry.has_entered = is_entered;
                entry.others = others;
            }
        }
        self.tell(inner, Event::Died { worker, entered });
    }
}

impl Inner {
    /// An event of a call, or the answer to one of its items before the last.
    fn on_event(&mut self, call: CallId, outcome: Outcome) {
        let Some(entry) = self.calls.get_mut(&call) else {
            return self.todo.trash.push(Trash::Arrived(vec![outcome]));
        };
        let unwanted = entry.arrivals.extend(entry.name, vec![outcome]);
        match unwanted.is_empty() {
            true => self.todo.wakes.extend(entry.owner.arrived()),
            false => self.todo.trash.push(Trash::Arrived(unwanted)),
        }
    }

    /// A worker will not enter a call: its request is there for another one, or not.
    fn take_request(&mut self, given: &Given, request: Option<Request>) -> Entered {
        let Some(entry) = self.calls.get_mut(&given.call) else {
            return Entered::NoAndSpent;
        };
        entry.worker = None;
        let has_request = request.is_some();
        entry.request = request;
        // What was answered is not to be called again.
        match has_request && given.answered == 0 {
            true => Entered::No,
            false => Entered::NoAndSpent,
        }
    }
}
