//! Leases and calls for one worker in every interleaving, against a model of workers.
//! RUNS IN: caller

use crate::error::ErrorKind;
use crate::pool::limits::Limits;
use crate::pool::state::event::{CallId, Event, Then, To, WorkerId};
use crate::pool::state::world::{SECOND, World, limits};

#[derive(Clone, Copy, Debug)]
enum Fault {
    Start,
    /// Whoever has a call enters it, or answers it.
    Enter,
    Answer(Then),
    /// The worker of the first lease dies, or another one.
    Death,
    OtherDeath,
    /// A call with the first lease.
    CallOnLease,
    CallToEach,
    DropCalls,
    Detach,
    Lease,
    GiveBack,
    Retire,
    Deadline,
    SetMax(usize),
    Renew,
    NewRights,
    Shutdown,
    LastHandle,
    Collect,
}

const FAULTS: [Fault; 20] = [
    Fault::Start,
    Fault::Enter,
    Fault::Answer(Then::Stay),
    Fault::Answer(Then::Leave),
    Fault::Death,
    Fault::OtherDeath,
    Fault::CallOnLease,
    Fault::CallToEach,
    Fault::DropCalls,
    Fault::Detach,
    Fault::Lease,
    Fault::GiveBack,
    Fault::Retire,
    Fault::Deadline,
    Fault::SetMax(1),
    Fault::Renew,
    Fault::NewRights,
    Fault::Shutdown,
    Fault::LastHandle,
    Fault::Collect,
];

/// No worker of these tests.
const NOBODY: WorkerId = WorkerId(u64::MAX);

fn first_lease(world: &World) -> Option<(CallId, WorkerId)> {
    let mut leases = world.leases.iter();
    leases.next().map(|(lease, worker)| (*lease, *worker))
}

fn apply(world: &mut World, fault: Fault) {
    let busy = |it: &World| {
        let mut live = it.live.iter();
        live.find(|(_, has)| !has.is_empty()).map(|(id, _)| *id)
    };
    match fault {
        Fault::Start => world.start_all(),
        Fault::Enter => {
            for worker in world.live.keys().copied().collect::<Vec<_>>() {
                world.enter(worker);
            }
        }
        Fault::Answer(then) => {
            if let Some(worker) = busy(world) {
                world.enter(worker);
                world.answer(worker, then);
                if then == Then::Leave && world.live.contains_key(&worker) {
                    world.die(worker);
                }
            }
        }
        Fault::Death => {
            if let Some((_, worker)) = first_lease(world) {
                world.die(worker);
            }
        }
        Fault::OtherDeath => {
            let lent = first_lease(world).map(|(_, worker)| worker);
            let other = world.live.keys().find(|it| Some(**it) != lent).copied();
            if let Some(worker) = other {
                world.die(worker);
            }
        }
        Fault::CallOnLease => {
            if let Some((lease, worker)) = first_lease(world) {
                world.call_on(lease, worker);
            }
        }
        Fault::CallToEach => {
            for worker in world.state().serving().collect::<Vec<_>>() {
                world.call_to(To::Worker(worker), None);
            }
        }
        Fault::DropCalls => {
            if let Some((&call, _)) = world.calls.iter().find(|it| !world.ends.contains_key(it.0)) {
                world.drop_call(call);
            }
        }
        Fault::Detach => {
            for call in world.calls.keys().copied().collect::<Vec<_>>() {
                world.tell(Event::Detach(call));
            }
        }
        Fault::Lease => {
            world.lease();
        }
        Fault::GiveBack | Fault::Retire => {
            if let Some((lease, _)) = first_lease(world) {
                world.give_back(lease, matches!(fault, Fault::Retire));
            }
        }
        Fault::Deadline => world.pass(2 * SECOND),
        Fault::SetMax(max) => world.tell(Event::SetMax(max)),
        Fault::Renew => world.tell(Event::Renew),
        Fault::NewRights => {
            let new = world.starting.last().copied();
            world.tell(Event::NewRights(new.unwrap_or(NOBODY)));
        }
        Fault::Shutdown => world.tell(Event::Shutdown(SECOND)),
        Fault::LastHandle => world.tell(Event::LastHandle),
        Fault::Collect => {
            for worker in world.doomed.clone() {
                if world.live.contains_key(&worker) {
                    world.die(worker);
                }
            }
        }
    }
}

/// A lease with a call, a call of somebody else's with a deadline, and a second lease.
fn scene(limits: Limits) -> World {
    let mut world = World::new(limits);
    let lease = world.lease();
    world.start_one();
    let worker = world.leases[&lease];
    world.call_on(lease, worker);
    world.call(Some(SECOND));
    world.lease();
    world
}

fn every_interleaving(limits: &Limits, depth: usize) {
    let count = FAULTS.len().pow(depth as u32);
    for number in 0..count {
        let mut world = scene(limits.clone());
        let mut rest = number;
        for _ in 0..depth {
            apply(&mut world, FAULTS[rest % FAULTS.len()]);
            rest /= FAULTS.len();
        }
        world.settle();
    }
}

#[test]
fn a_lease_has_its_worker_alone_in_every_interleaving() {
    every_interleaving(&limits(2), 3);
    every_interleaving(&limits(1), 3);
    every_interleaving(&limits(3), 3);
    let retiring = Limits {
        retire_after: Some(1),
        retire_age: Some(SECOND),
        idle: 1,
        ..limits(2)
    };
    every_interleaving(&retiring, 3);
    let graceful = Limits {
        grace: SECOND / 2,
        queue: Some(1),
        ..limits(2)
    };
    every_interleaving(&graceful, 3);
}

#[test]
#[ignore = "takes half a minute"]
fn a_lease_has_its_worker_alone_in_every_longer_interleaving() {
    every_interleaving(&limits(2), 4);
}

/// A lease that has its worker.
fn leased(world: &mut World) -> (CallId, WorkerId) {
    let lease = world.lease();
    world.start_all();
    (lease, world.leases[&lease])
}

#[test]
fn calls_of_a_lease_wait_for_each_other_and_others_for_its_end() {
    let mut world = World::new(limits(1));
    let (lease, worker) = leased(&mut world);
    let [one, two] = [world.call_on(lease, worker), world.call_on(lease, worker)];
    let other = world.call(None);
    assert_eq!(world.state().stats().queued, 2);
    world.answer(worker, Then::Stay);
    assert_eq!(world.end_of(one), "Answered");
    assert_eq!(world.worker_of(two), Some(worker));
    world.answer(worker, Then::Stay);
    assert_eq!((world.worker_of(other), world.starting.len()), (None, 0));
    world.give_back(lease, false);
    assert_eq!(world.worker_of(other), Some(worker));
    world.settle();
}

#[test]
fn a_lease_dropped_in_a_call_kills_and_one_between_calls_gives_back() {
    let mut world = World::new(limits(1));
    let (lease, worker) = leased(&mut world);
    let [runs, waits] = [world.call_on(lease, worker), world.call_on(lease, worker)];
    world.enter(worker);
    world.give_back(lease, false);
    assert_eq!(world.end_of(runs), "LeaseDropped { was_sent: true }");
    assert_eq!(world.end_of(waits), "LeaseDropped { was_sent: false }");
    assert!(world.doomed.contains(&worker));
    world.die(worker);

    let (lease, worker) = leased(&mut world);
    let call = world.call_on(lease, worker);
    world.tell(Event::Detach(call));
    world.give_back(lease, false);
    assert!(!world.doomed.contains(&worker), "a detached call goes on");
    world.answer(worker, Then::Stay);
    assert_eq!(world.state().stats().idle, 1);
    world.settle();
}

#[test]
fn a_lost_lease_refuses_calls() {
    let mut world = World::new(limits(1));
    let (lease, worker) = leased(&mut world);
    let call = world.call_to(To::Lease(lease, worker), Some(SECOND));
    let waits = world.call_on(lease, worker);
    world.enter(worker);
    world.pass(2 * SECOND);
    assert!(world.lost.contains(&lease));
    assert_eq!(world.end_of(waits), "Gone");
    assert!(!world.ends.contains_key(&call));
    world.die(worker);
    assert!(world.end_of(call).starts_with("TimedOut("));
    let late = world.call_on(lease, worker);
    assert_eq!(world.end_of(late), "Gone");
    world.settle();
}

#[test]
fn what_replaces_a_worker_waits_for_the_end_of_its_lease() {
    let limits = Limits {
        retire_after: Some(1),
        retire_age: Some(SECOND),
        ..limits(1)
    };
    let mut world = World::new(limits);
    let (lease, worker) = leased(&mut world);
    for _ in 0..3 {
        world.call_on(lease, worker);
        world.answer(worker, Then::Retire);
    }
    world.pass(2 * SECOND);
    world.tell(Event::NewRights(NOBODY));
    world.tell(Event::Renew);
    world.start_all();
    assert_eq!(world.renewed, [true]);
    world.call_on(lease, worker);
    world.answer(worker, Then::Stay);
    assert!(!world.doomed.contains(&worker));
    world.give_back(lease, false);
    assert!(world.doomed.contains(&worker));
    world.settle();
}

#[test]
fn a_leased_worker_keeps_its_place_until_it_is_given_back() {
    let mut world = World::new(limits(1));
    let (lease, worker) = leased(&mut world);
    world.call_on(lease, worker);
    world.tell(Event::NewRights(NOBODY));
    let waits = world.call(None);
    assert!(world.starting.is_empty(), "one is the maximum");
    world.answer(worker, Then::Stay);
    world.give_back(lease, false);
    assert_eq!(world.starting.len(), 1, "none from before serves");
    world.start_all();
    assert!(world.worker_of(waits).is_some_and(|it| it != worker));
    world.settle();
}

#[test]
fn a_shutdown_ends_leases_between_calls_and_those_that_wait() {
    let mut world = World::new(limits(2));
    let (idle, busy) = (leased(&mut world), leased(&mut world));
    let call = world.call_on(busy.0, busy.1);
    let waits = world.lease();
    world.tell(Event::Shutdown(SECOND));
    assert!(world.end_of(waits).starts_with("Closed"));
    assert!(world.doomed.contains(&idle.1) && !world.doomed.contains(&busy.1));
    let late = world.call_on(busy.0, busy.1);
    assert!(world.end_of(late).starts_with("Closed"));
    world.answer(busy.1, Then::Stay);
    assert_eq!(world.end_of(call), "Answered");
    assert!(world.doomed.contains(&busy.1));
    world.settle();
    assert!(world.state().is_over());
}

#[test]
fn a_lease_that_waits_leaves_its_place_and_fails_with_the_starts() {
    let mut world = World::new(limits(1));
    let (lease, worker) = leased(&mut world);
    let [first, second] = [world.lease(), world.lease()];
    world.give_back(first, false);
    world.give_back(lease, false);
    assert_eq!(world.leases.get(&second), Some(&worker));
    assert_eq!(world.state().stats().calls, 0, "a lease is no call");
    world.settle();

    let mut world = World::new(limits(1));
    let lease = world.lease();
    world.fail_start(ErrorKind::InitFailed);
    assert!(world.end_of(lease).starts_with("NoWorker("));
}

#[test]
fn each_runs_once_in_every_worker_in_turn() {
    let mut world = World::new(limits(3));
    let (lease, leased) = leased(&mut world);
    let call = world.call(None);
    world.start_one();
    let busy = world.worker_of(call).unwrap();
    let on_lease = world.call_on(lease, leased);
    let serving: Vec<_> = world.state().serving().collect();
    assert_eq!(serving, [leased, busy]);
    let each = [leased, busy].map(|it| world.call_to(To::Worker(it), None));
    world.answer(leased, Then::Stay);
    world.die(busy);
    assert_eq!(world.end_of(on_lease), "Answered");
    assert_eq!(world.worker_of(each[0]), Some(leased));
    assert_eq!(world.end_of(each[1]), "Gone");
    world.settle();
}
