//! A model of a pool's workers, for the tests of its state.
//! RUNS IN: caller

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};
use crate::pool::limits::Limits;
use crate::pool::state::State;
use crate::pool::state::event::{
    Action, Answer, CallId, Entered, Event, Return, Then, To, WorkerId,
};

/// A state, and what its actions have made of the world.
#[derive(Default)]
pub(super) struct World {
    state: Option<State>,
    pub(super) now: Option<Instant>,
    pub(super) starting: BTreeSet<WorkerId>,
    /// Workers that live, and the calls that each has and has not answered, in order.
    pub(super) live: BTreeMap<WorkerId, Vec<CallId>>,
    /// Told to exit, and not collected yet.
    pub(super) doomed: BTreeSet<WorkerId>,
    entered: BTreeSet<CallId>,
    /// Those that their workers were asked to undo.
    pub(super) cancelled: BTreeSet<CallId>,
    /// Those of `async fn`s.
    asyncs: BTreeSet<CallId>,
    load: usize,
    concurrency: usize,
    /// How calls, and leases that have waited, have ended.
    pub(super) ends: BTreeMap<CallId, Vec<String>>,
    dropped: BTreeSet<CallId>,
    pub(super) calls: BTreeMap<CallId, To>,
    /// The leases that have a worker.
    pub(super) leases: BTreeMap<CallId, WorkerId>,
    /// The leases that wait.
    pub(super) waiting: BTreeSet<CallId>,
    /// The leases that have lost their workers.
    pub(super) lost: BTreeSet<CallId>,
    number: u64,
    pub(super) renewed: Vec<bool>,
}

pub(super) const SECOND: Duration = Duration::from_secs(1);

impl World {
    pub(super) fn new(limits: Limits) -> World {
        let now = Instant::now();
        let mut world = World {
            load: limits.load,
            concurrency: limits.concurrency,
            state: Some(State::new(limits, now, 7)),
            now: Some(now),
            ..World::default()
        };
        world.tell(Event::Tick);
        world
    }

    pub(super) fn state(&self) -> &State {
        self.state.as_ref().unwrap()
    }

    pub(super) fn tell(&mut self, event: Event) {
        let mut actions = Vec::new();
        let now = self.now.unwrap();
        self.state
            .as_mut()
            .unwrap()
            .handle(now, event, &mut actions);
        for action in actions {
            self.carry_out(action);
        }
        self.check();
    }

    pub(super) fn carry_out(&mut self, action: Action) {
        match action {
            Action::Start { worker, .. } => assert!(self.starting.insert(worker)),
            Action::Send {
                worker,
                call,
                is_ahead,
            } => {
                assert!(!self.doomed.contains(&worker), "no call for who leaves");
                let has = self.live.get_mut(&worker).expect("it lives");
                let is_async = |it: &CallId| self.asyncs.contains(it);
                let limit = match is_async(&call) && has.iter().all(is_async) {
                    true => self.load.max(self.concurrency),
                    false => self.load,
                };
                assert!(
                    has.is_empty() || has.len() < limit,
                    "no more than it may have"
                );
                match self.calls[&call] {
                    To::Any => {
                        let is_lent = self.leases.values().any(|it| *it == worker);
                        assert!(!is_lent, "a lease has it alone");
                    }
                    To::Lease(_, of) | To::Worker(of) => assert_eq!(of, worker),
                }
                assert!(
                    !self.entered.contains(&call),
                    "no entered call is sent again"
                );
                has.push(call);
                self.cancelled.remove(&call);
                assert_eq!(is_ahead, !self.can_enter(worker, call), "the rule is known");
            }
            Action::Run { call } => assert!(self.worker_of(call).is_some()),
            Action::Cancel { worker, call } => {
                assert!(self.live[&worker].contains(&call), "it has it");
                assert!(self.cancelled.insert(call), "asked once");
            }
            Action::Close { worker } => {
                assert!(self.live[&worker].is_empty(), "closed between calls");
                self.doomed.insert(worker);
            }
            Action::Terminate { worker } | Action::Kill { worker } => {
                self.doomed.insert(worker);
            }
            Action::Lend { worker, lease } => {
                assert!(self.waiting.remove(&lease), "it waits");
                assert!(!self.doomed.contains(&worker), "nobody gets who leaves");
                assert!(self.live[&worker].is_empty(), "nobody gets who is busy");
                assert!(!self.leases.values().any(|it| *it == worker));
                self.leases.insert(lease, worker);
            }
            Action::LeaseLost { lease, .. } => {
                self.leases.remove(&lease).expect("it has one");
                self.lost.insert(lease);
            }
            Action::End { call, end } => {
                self.waiting.remove(&call);
                self.ends.entry(call).or_default().push(format!("{end:?}"));
            }
            Action::Left { .. } => {}
            Action::Renewed(_, result) => self.renewed.push(result.is_ok()),
        }
    }

    /// What holds at every moment.
    pub(super) fn check(&self) {
        let stats = self.state().stats();
        let outcomes = stats.returned
            + stats.panicked
            + stats.died
            + stats.timed_out
            + stats.cancelled
            + stats.refused
            + stats.other;
        assert_eq!(
            stats.calls,
            outcomes + stats.queued + stats.busy,
            "{stats:?}"
        );
        assert_eq!(stats.calls, self.calls.len() as u64);
        assert_eq!(stats.leased, self.leases.len() as u64);
        for worker in self.leases.values() {
            let is_there = self.live.contains_key(worker) && !self.doomed.contains(worker);
            assert!(is_there, "a lease without its worker is told so");
        }
        for (call, ends) in &self.ends {
            assert_eq!(ends.len(), 1, "{call:?}: {ends:?}");
        }
    }

    pub(super) fn call(&mut self, timeout: Option<Duration>) -> CallId {
        self.call_to(To::Any, timeout)
    }

    pub(super) fn call_to(&mut self, to: To, timeout: Option<Duration>) -> CallId {
        self.call_of(to, timeout, false)
    }

    pub(super) fn call_of(&mut self, to: To, timeout: Option<Duration>, is_async: bool) -> CallId {
        let id = self.next();
        self.calls.insert(id, to);
        if is_async {
            self.asyncs.insert(id);
        }
        self.tell(Event::Call {
            id,
            to,
            is_async,
            queue_timeout: None,
            timeout,
        });
        id
    }

    fn next(&mut self) -> CallId {
        self.number += 1;
        CallId(self.number)
    }

    pub(super) fn lease(&mut self) -> CallId {
        let id = self.next();
        self.waiting.insert(id);
        self.tell(Event::Lease {
            id,
            queue_timeout: None,
        });
        id
    }

    /// A call on a lease that has had a worker.
    pub(super) fn call_on(&mut self, lease: CallId, worker: WorkerId) -> CallId {
        self.call_to(To::Lease(lease, worker), None)
    }

    /// The owner of a lease drops it, however far it is, or has its worker retire.
    pub(super) fn give_back(&mut self, lease: CallId, retires: bool) {
        if self.waiting.contains(&lease) {
            return self.tell(Event::Drop(lease));
        }
        if let Some(worker) = self.leases.remove(&lease) {
            self.tell(Event::Return(Return {
                lease,
                worker,
                retires,
            }));
        }
    }

    pub(super) fn start_all(&mut self) {
        while !self.starting.is_empty() {
            self.start_one();
        }
    }

    pub(super) fn start_one(&mut self) {
        let worker = self.starting.pop_first().expect("one is started");
        if self.doomed.remove(&worker) {
            let error = Error::new(ErrorKind::Died, "killed");
            self.tell(Event::StartFailed(worker, error));
        } else {
            self.live.insert(worker, Vec::new());
            self.tell(Event::Ready(worker));
        }
    }

    pub(super) fn fail_start(&mut self, kind: ErrorKind) {
        let worker = self.starting.pop_first().expect("one is started");
        self.tell(Event::StartFailed(worker, Error::new(kind, "no")));
    }

    /// The worker answers the first call that it has.
    pub(super) fn answer(&mut self, worker: WorkerId, then: Then) {
        let call = self.live[&worker][0];
        self.answer_call(worker, call, Answer::Returned, then);
    }

    pub(super) fn answer_call(
        &mut self,
        worker: WorkerId,
        call: CallId,
        answer: Answer,
        then: Then,
    ) {
        let has = self.live.get_mut(&worker).expect("it lives");
        let at = has.iter().position(|it| *it == call);
        has.remove(at.expect("it has the call"));
        self.tell(Event::Answer {
            worker,
            call,
            answer,
            then,
        });
        // Who leaves begins no more.
        if then == Then::Leave {
            for call in self.live.get(&worker).cloned().unwrap_or_default() {
                if !self.entered.contains(&call) {
                    self.live
                        .get_mut(&worker)
                        .expect("it lives")
                        .retain(|it| *it != call);
                    let entered = Entered::No;
                    self.tell(Event::Unentered {
                        worker,
                        call,
                        entered,
                    });
                }
            }
        }
    }

    /// Whether the worker may begin a call that it has, by its own rule.
    pub(super) fn can_enter(&self, worker: WorkerId, call: CallId) -> bool {
        let mut before = self.live[&worker].iter().take_while(|it| **it != call);
        let is_async = |it: &CallId| self.asyncs.contains(it);
        match self.live[&worker][0] == call {
            true => true,
            false => {
                let count = before.clone().count();
                is_async(&call) && before.all(is_async) && count < self.concurrency
            }
        }
    }

    /// The worker begins all that it may.
    pub(super) fn enter(&mut self, worker: WorkerId) {
        let calls = self.live[&worker].iter().copied();
        let calls = calls.filter(|call| self.can_enter(worker, *call));
        let calls: Vec<_> = calls
            .filter(|call| !self.cancelled.contains(call))
            .collect();
        self.entered.extend(calls);
    }

    /// The workers undo what they were asked to.
    pub(super) fn obey(&mut self) {
        for call in self.cancelled.clone() {
            if let Some(worker) = self.worker_of(call) {
                let undoes = self.asyncs.contains(&call) || !self.entered.contains(&call);
                if undoes {
                    self.entered.remove(&call);
                    self.answer_call(worker, call, Answer::Cancelled, Then::Stay);
                }
            }
        }
    }

    pub(super) fn die(&mut self, worker: WorkerId) {
        let calls = self.live.remove(&worker).expect("it lives");
        self.doomed.remove(&worker);
        let entered = |call: &CallId| match self.entered.contains(call) {
            true => Entered::Yes,
            false => Entered::No,
        };
        let entered = calls.iter().map(|call| (*call, entered(call))).collect();
        self.tell(Event::Died { worker, entered });
    }

    pub(super) fn drop_call(&mut self, call: CallId) {
        self.dropped.insert(call);
        self.tell(Event::Drop(call));
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now = Some(self.now.unwrap() + time);
        self.tell(Event::Tick);
    }

    pub(super) fn worker_of(&self, call: CallId) -> Option<WorkerId> {
        let mut live = self.live.iter();
        let found = live.find(|(_, has)| has.contains(&call));
        found.map(|(id, _)| *id)
    }

    /// Everybody does what is expected until all calls have ended.
    pub(super) fn settle(&mut self) {
        for lease in self.waiting.clone() {
            self.give_back(lease, false);
        }
        for lease in self.leases.keys().copied().collect::<Vec<_>>() {
            self.give_back(lease, true);
        }
        for _ in 0..100 {
            self.start_all();
            for worker in self.doomed.clone() {
                if self.live.contains_key(&worker) {
                    self.die(worker);
                }
            }
            self.obey();
            let busy = self.live.iter().find(|(_, has)| !has.is_empty());
            match busy {
                Some((&worker, _)) => {
                    self.enter(worker);
                    self.answer(worker, Then::Stay);
                }
                None if self.starting.is_empty() => break,
                None => {}
            }
        }
        assert_eq!(self.state().stats().queued + self.state().stats().busy, 0);
        let lacking = self.calls.keys().find(|id| !self.ends.contains_key(id));
        assert_eq!(lacking, None, "each call has ended");
        let stats = self.state().stats();
        assert_eq!((stats.queued, stats.leased), (0, 0));
    }

    pub(super) fn end_of(&self, call: CallId) -> &str {
        &self.ends[&call][0]
    }
}

pub(super) fn limits(max: usize) -> Limits {
    Limits {
        max,
        ..Limits::default()
    }
}
