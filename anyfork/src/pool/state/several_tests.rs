//! Several calls on one worker, in every interleaving, against a model of workers.
//! RUNS IN: caller

use crate::pool::limits::Limits;
use crate::pool::state::event::{Answer, CallId, Event, Then, To};
use crate::pool::state::world::{SECOND, World, limits};

#[derive(Clone, Copy, Debug)]
enum Fault {
    Enter,
    Answer(u64),
    Panic(u64),
    Death,
    Deadline,
    Drop(u64),
    Obey,
    Call,
    Lease,
    Shutdown,
    Renew,
    Start,
    Collect,
}

const FAULTS: [Fault; 17] = [
    Fault::Enter,
    Fault::Answer(1),
    Fault::Answer(2),
    Fault::Answer(3),
    Fault::Panic(1),
    Fault::Panic(2),
    Fault::Death,
    Fault::Deadline,
    Fault::Drop(1),
    Fault::Drop(2),
    Fault::Obey,
    Fault::Call,
    Fault::Lease,
    Fault::Shutdown,
    Fault::Renew,
    Fault::Start,
    Fault::Collect,
];

fn apply(world: &mut World, fault: Fault, is_async: bool) {
    match fault {
        Fault::Enter => {
            for worker in world.live.keys().copied().collect::<Vec<_>>() {
                world.enter(worker);
            }
        }
        Fault::Answer(call) | Fault::Panic(call) => {
            let call = CallId(call);
            if let Some(worker) = world.worker_of(call)
                && world.can_enter(worker, call)
            {
                world.enter(worker);
                let (answer, then) = match fault {
                    Fault::Panic(_) => (Answer::Panicked, Then::Leave),
                    _ => (Answer::Returned, Then::Stay),
                };
                world.answer_call(worker, call, answer, then);
            }
        }
        Fault::Death => {
            if let Some(worker) = world.live.keys().next().copied() {
                world.die(worker);
            }
        }
        Fault::Deadline => world.pass(SECOND),
        Fault::Drop(call) => world.drop_call(CallId(call)),
        Fault::Obey => world.obey(),
        Fault::Call => {
            world.call_of(To::Any, None, is_async);
        }
        Fault::Lease => {
            world.lease();
        }
        Fault::Shutdown => world.tell(Event::Shutdown(SECOND)),
        Fault::Renew => world.tell(Event::Renew),
        Fault::Start => world.start_all(),
        Fault::Collect => {
            for worker in world.doomed.clone() {
                if world.live.contains_key(&worker) {
                    world.die(worker);
                }
            }
        }
    }
}

/// Three calls on one worker, of which the first two have deadlines.
fn scene(limits: Limits, are_async: [bool; 3]) -> World {
    let mut world = World::new(limits);
    let [one, two, three] = are_async;
    world.call_of(To::Any, Some(SECOND), one);
    world.call_of(To::Any, Some(SECOND), two);
    world.call_of(To::Any, None, three);
    world.start_all();
    world
}

fn every_interleaving(limits: &Limits, are_async: [bool; 3], depth: usize) {
    let count = FAULTS.len().pow(depth as u32);
    for number in 0..count {
        let mut world = scene(limits.clone(), are_async);
        let mut rest = number;
        for _ in 0..depth {
            apply(&mut world, FAULTS[rest % FAULTS.len()], are_async[0]);
            rest /= FAULTS.len();
        }
        world.settle();
    }
}

fn load(calls: usize) -> Limits {
    Limits {
        load: calls,
        ..limits(1)
    }
}

fn concurrency(calls: usize) -> Limits {
    Limits {
        concurrency: calls,
        ..limits(1)
    }
}

#[test]
fn each_call_ends_once_in_every_interleaving() {
    every_interleaving(&load(2), [false; 3], 4);
    every_interleaving(&concurrency(2), [true; 3], 4);
    let both = Limits {
        load: 3,
        concurrency: 2,
        ..limits(1)
    };
    every_interleaving(&both, [true, true, false], 3);
    every_interleaving(&both, [false, true, true], 3);
    let graceful = Limits {
        grace: SECOND * 3,
        ..both
    };
    every_interleaving(&graceful, [true, false, true], 3);
    let retiring = Limits {
        retire_after: Some(2),
        idle: 1,
        ..graceful
    };
    every_interleaving(&retiring, [true; 3], 3);
}

#[test]
fn what_was_sent_ahead_goes_elsewhere_at_a_death() {
    let mut world = scene(load(3), [false; 3]);
    let worker = world.worker_of(CallId(1)).unwrap();
    assert_eq!(world.live[&worker].len(), 3);
    world.enter(worker);
    world.die(worker);
    assert!(world.end_of(CallId(1)).starts_with("Died"));
    assert_eq!(world.ends.len(), 1);
    world.start_one();
    let worker = world.worker_of(CallId(2)).unwrap();
    assert_eq!(world.live[&worker], [CallId(2), CallId(3)], "in order");
    world.settle();
    assert_eq!(world.end_of(CallId(2)), "Answered");
    assert_eq!(world.state().stats().resent, 2);
}

#[test]
fn calls_are_sent_ahead_only_where_no_worker_is_to_be_had() {
    let mut world = World::new(Limits {
        load: 2,
        ..limits(2)
    });
    let calls = [(); 5].map(|()| world.call(None));
    assert_eq!(world.starting.len(), 2);
    world.start_one();
    // One waits for the other worker.
    assert!(calls[..3].iter().all(|it| world.worker_of(*it).is_some()) || world.live.len() == 1);
    world.start_one();
    let loads: Vec<_> = world.live.values().map(Vec::len).collect();
    assert_eq!(loads, [2, 2]);
    assert_eq!(world.worker_of(calls[4]), None);
    world.settle();
}

#[test]
fn the_time_of_a_call_begins_when_it_runs() {
    let mut world = scene(load(2), [false; 3]);
    let worker = world.worker_of(CallId(2)).unwrap();
    world.pass(SECOND / 2);
    world.answer(worker, Then::Stay);
    world.pass(SECOND * 3 / 4);
    assert!(world.doomed.is_empty());
    world.enter(worker);
    world.pass(SECOND / 4);
    assert!(world.doomed.contains(&worker));
    world.settle();
    assert!(world.end_of(CallId(2)).starts_with("TimedOut("));
    assert_eq!(world.end_of(CallId(3)), "Answered");
}

#[test]
fn one_of_several_is_undone_there_or_its_worker_is_killed() {
    let mut world = scene(concurrency(3), [true; 3]);
    let worker = world.worker_of(CallId(1)).unwrap();
    world.enter(worker);
    world.drop_call(CallId(3));
    assert!(world.cancelled.contains(&CallId(3)));
    world.obey();
    world.pass(SECOND);
    assert!(world.doomed.is_empty(), "a deadline costs no worker");
    assert!(!world.ends.contains_key(&CallId(1)), "told once it is gone");
    world.obey();
    assert!(world.end_of(CallId(1)).starts_with("TimedOutThere"));
    world.settle();

    let mut world = scene(concurrency(3), [true; 3]);
    let worker = world.worker_of(CallId(1)).unwrap();
    world.enter(worker);
    world.drop_call(CallId(2));
    world.pass(SECOND * 2);
    assert!(world.doomed.contains(&worker), "it does not obey");
    world.die(worker);
    assert!(world.end_of(CallId(1)).starts_with("TimedOut("));
    assert!(world.end_of(CallId(3)).starts_with("Died"));
    assert_eq!(world.end_of(CallId(2)), "Cancelled");
    world.settle();
}

#[test]
fn one_that_runs_alone_is_undone_by_a_kill_at_once() {
    for limits in [limits(1), load(3), concurrency(3)] {
        let mut world = scene(limits, [false; 3]);
        let worker = world.worker_of(CallId(1)).unwrap();
        world.enter(worker);
        world.drop_call(CallId(1));
        assert!(world.doomed.contains(&worker));
        world.settle();
    }
}

#[test]
fn a_worker_that_has_time_to_exit_begins_no_more() {
    let grace = Limits {
        grace: 60 * SECOND,
        ..load(3)
    };
    let mut world = scene(grace, [false; 3]);
    let worker = world.worker_of(CallId(1)).unwrap();
    world.enter(worker);
    world.pass(SECOND);
    assert!(world.doomed.contains(&worker));
    assert!(world.cancelled.contains(&CallId(2)) && world.cancelled.contains(&CallId(3)));
    world.obey();
    assert!(!world.ends.contains_key(&CallId(3)), "it goes elsewhere");
    world.settle();
    assert!(world.end_of(CallId(1)).starts_with("TimedOut("));
    assert_eq!(world.end_of(CallId(3)), "Answered");
}

#[test]
fn a_function_that_is_not_async_runs_alone() {
    let both = Limits {
        concurrency: 3,
        ..limits(1)
    };
    let mut world = scene(both, [true, false, true]);
    let worker = world.worker_of(CallId(1)).unwrap();
    assert_eq!(world.live[&worker], [CallId(1)], "in turn");
    world.answer(worker, Then::Stay);
    assert_eq!(world.live[&worker], [CallId(2)]);
    world.answer(worker, Then::Stay);
    assert_eq!(world.live[&worker], [CallId(3)]);
    world.settle();
}

#[test]
fn a_worker_that_has_grown_gets_no_more_before_it_is_looked_at() {
    let mut world = scene(load(2), [false; 3]);
    let worker = world.worker_of(CallId(1)).unwrap();
    world.answer(worker, Then::Drain);
    assert_eq!(world.live[&worker], [CallId(2)]);
    world.answer(worker, Then::Retire);
    assert_eq!(world.worker_of(CallId(3)), None);
    world.settle();
    assert_eq!(world.state().stats().retired, 1);
}
