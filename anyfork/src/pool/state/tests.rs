//! The pool's state in every interleaving, against a model of workers.
//! RUNS IN: caller

use crate::error::ErrorKind;
use crate::pool::limits::Limits;
use crate::pool::state::event::{CallId, Event, Then, WorkerId};
use crate::pool::state::world::{SECOND, World, limits};

#[derive(Clone, Copy, Debug)]
enum Fault {
    Enter(u64),
    Answer(u64),
    Death(u64),
    Deadline,
    Drop(u64),
    Shutdown,
    Start,
    Collect,
}

const FAULTS: [Fault; 12] = [
    Fault::Enter(1),
    Fault::Enter(2),
    Fault::Answer(1),
    Fault::Answer(2),
    Fault::Death(1),
    Fault::Death(2),
    Fault::Deadline,
    Fault::Drop(1),
    Fault::Drop(2),
    Fault::Shutdown,
    Fault::Start,
    Fault::Collect,
];

fn apply(world: &mut World, fault: Fault) {
    match fault {
        Fault::Enter(call) => {
            if let Some(worker) = world.worker_of(CallId(call)) {
                world.enter(worker);
            }
        }
        Fault::Answer(call) => {
            if let Some(worker) = world.worker_of(CallId(call)) {
                world.enter(worker);
                world.answer(worker, Then::Stay);
            }
        }
        Fault::Death(call) => {
            if let Some(worker) = world.worker_of(CallId(call)) {
                world.die(worker);
            }
        }
        Fault::Deadline => world.pass(2 * SECOND),
        Fault::Drop(call) => world.drop_call(CallId(call)),
        Fault::Shutdown => world.tell(Event::Shutdown(SECOND)),
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

/// Two calls on one or two workers, the first call with a deadline.
fn scene(limits: Limits) -> World {
    let mut world = World::new(limits);
    world.call(Some(SECOND));
    world.call(None);
    world.start_all();
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
fn each_call_ends_once_in_every_interleaving() {
    every_interleaving(&limits(2), 4);
    every_interleaving(&limits(1), 3);
    let retiring = Limits {
        retire_after: Some(1),
        idle: 1,
        ..limits(2)
    };
    every_interleaving(&retiring, 3);
    let graceful = Limits {
        grace: SECOND / 2,
        ..limits(2)
    };
    every_interleaving(&graceful, 3);
}

#[test]
fn an_entered_call_dies_with_its_worker_and_another_goes_elsewhere() {
    let mut world = scene(limits(2));
    let (one, two) = (CallId(1), CallId(2));
    let (first, second) = (world.worker_of(one).unwrap(), world.worker_of(two).unwrap());
    world.enter(first);
    world.die(first);
    assert!(world.end_of(one).starts_with("Died"));
    world.die(second);
    assert!(!world.ends.contains_key(&two));
    world.settle();
    assert_eq!(world.end_of(two), "Answered");
    assert_eq!(world.state().stats().resent, 1);
}

#[test]
fn an_answer_wins_over_the_deadline_and_the_killed_worker_gets_no_other_call() {
    let mut world = scene(limits(1));
    let worker = world.worker_of(CallId(1)).unwrap();
    world.pass(2 * SECOND);
    assert!(world.doomed.contains(&worker));
    world.answer(worker, Then::Stay);
    assert_eq!(world.end_of(CallId(1)), "Answered");
    assert_eq!(world.worker_of(CallId(2)), None);
    world.settle();
    assert_eq!(world.end_of(CallId(2)), "Answered");
}

#[test]
fn a_deadline_is_told_when_the_worker_is_gone() {
    let mut world = scene(limits(2));
    let worker = world.worker_of(CallId(1)).unwrap();
    world.enter(worker);
    world.pass(2 * SECOND);
    assert!(!world.ends.contains_key(&CallId(1)));
    assert_eq!(world.starting.len(), 1, "replaced at the kill");
    world.die(worker);
    assert!(world.end_of(CallId(1)).starts_with("TimedOut("));
    world.settle();
}

#[test]
fn failing_starts_back_off_and_heal() {
    let mut world = World::new(limits(2));
    let mut tries = 0;
    for _ in 0..500 {
        world.call(None);
        while !world.starting.is_empty() {
            tries += 1;
            world.fail_start(ErrorKind::InitFailed);
        }
        world.pass(SECOND / 100);
    }
    assert!((6..=20).contains(&tries), "{tries} tries in 5 s");
    world.pass(20 * SECOND);
    let call = world.call(None);
    world.settle();
    assert_eq!(world.end_of(call), "Answered");
}

#[test]
fn a_refused_fork_waits_for_who_lives() {
    let mut world = scene(limits(3));
    let waiting = world.call(None);
    world.fail_start(ErrorKind::ForkFailed);
    assert!(!world.ends.contains_key(&waiting));
    let worker = world.worker_of(CallId(2)).unwrap();
    world.answer(worker, Then::Stay);
    assert_eq!(world.worker_of(waiting), Some(worker));
    world.settle();
}

#[test]
fn the_replacement_is_there_before_the_old_one_leaves() {
    let limits = Limits {
        retire_after: Some(1),
        ..limits(1)
    };
    let mut world = World::new(limits);
    let one = world.call(None);
    world.start_one();
    let old = world.worker_of(one).unwrap();
    assert_eq!(world.starting.len(), 1);
    world.answer(old, Then::Stay);
    assert!(!world.doomed.contains(&old));
    world.start_one();
    assert!(world.doomed.contains(&old));
    let two = world.call(None);
    assert!(world.worker_of(two).is_some_and(|it| it != old));
    world.settle();
}

#[test]
fn idle_workers_leave_and_the_floor_stays() {
    let limits = Limits {
        idle: 1,
        ..limits(3)
    };
    let mut world = World::new(limits);
    for _ in 0..3 {
        world.call(None);
    }
    world.settle();
    assert_eq!(world.live.len(), 3);
    assert_eq!(
        world.state().next_time(),
        world.now.map(|now| now + 10 * SECOND)
    );
    world.pass(11 * SECOND);
    assert_eq!(world.doomed.len(), 2);
    world.settle();
    assert_eq!(world.live.len(), 1);
}

#[test]
fn a_full_queue_refuses() {
    let limits = Limits {
        queue: Some(1),
        ..limits(1)
    };
    let mut world = World::new(limits);
    let calls = [world.call(None), world.call(None), world.call(None)];
    assert_eq!(world.end_of(calls[2]), "Full");
    world.settle();
    assert_eq!(world.end_of(calls[1]), "Answered");
}

#[test]
fn shutdown_drains_and_then_kills() {
    let mut world = scene(limits(1));
    world.tell(Event::Shutdown(SECOND / 2));
    let late = world.call(None);
    assert!(world.end_of(late).starts_with("Closed"));
    world.enter(world.worker_of(CallId(1)).unwrap());
    world.pass(SECOND / 2);
    world.settle();
    assert!(world.end_of(CallId(1)).starts_with("Closed"));
    assert!(world.state().is_over());
}

#[test]
fn a_new_base_comes_first_and_its_failure_changes_nothing() {
    let mut world = World::new(limits(2));
    world.call(None);
    world.settle();
    world.tell(Event::Renew);
    world.fail_start(ErrorKind::InitFailed);
    assert_eq!(world.renewed, [false]);
    assert!(world.doomed.is_empty());
    world.tell(Event::Renew);
    world.start_all();
    assert_eq!(world.renewed, [false, true]);
    assert_eq!(world.doomed.len(), 1);
    world.call(None);
    world.settle();
}

/// What a start was asked for before comes up with the rights from before.
#[test]
fn with_new_rights_no_worker_from_before_serves() {
    let mut world = World::new(limits(3));
    let idle = world.call(None);
    let busy = world.call(None);
    world.start_all();
    let [idle_worker, busy_worker] = [idle, busy].map(|it| world.worker_of(it).unwrap());
    world.answer(idle_worker, Then::Stay);
    let taken = world.call(None);
    assert_eq!(world.worker_of(taken), Some(idle_worker));
    world.call(None);
    let old = *world.starting.first().unwrap();
    world.answer(idle_worker, Then::Stay);
    assert_eq!(world.live[&idle_worker], [CallId(4)]);
    world.answer(idle_worker, Then::Stay);
    let new = WorkerId(old.0 + 1);
    world.tell(Event::NewRights(new));
    assert!(world.doomed.contains(&idle_worker));
    let next = world.call(None);
    assert!(world.starting.contains(&new));
    world.start_one();
    assert!(world.doomed.contains(&old));
    assert_eq!(world.worker_of(next), None);
    world.start_one();
    assert_eq!(world.worker_of(next), Some(new));
    world.answer(busy_worker, Then::Stay);
    assert!(world.doomed.contains(&busy_worker));
    assert!(!world.doomed.contains(&new));
    world.settle();
}

#[test]
fn starts_for_waiting_calls_keep_their_interval() {
    for idle in [0, 1] {
        let limits = Limits {
            start: SECOND,
            idle,
            ..limits(4)
        };
        let mut world = World::new(limits);
        world.start_all();
        for _ in 0..9 {
            world.call(None);
        }
        // One for the calls, and one in place of the worker that waited.
        assert_eq!(world.starting.len(), 1 + idle);
        assert_eq!(world.state().next_time(), world.now.map(|now| now + SECOND));
        world.pass(SECOND / 2);
        assert_eq!(world.starting.len(), 1 + idle);
        world.pass(SECOND / 2);
        assert_eq!(world.starting.len(), 2 + idle);
        world.settle();
    }
}

#[test]
fn a_call_that_finds_no_worker_does_not_wait_for_the_interval() {
    let limits = Limits {
        start: 60 * SECOND,
        ..limits(4)
    };
    let mut world = World::new(limits);
    world.call(None);
    world.settle();
    world.pass(11 * SECOND);
    world.settle();
    assert_eq!(world.live.len(), 0, "the only worker was idle for too long");
    world.call(None);
    assert_eq!(world.starting.len(), 1);
    world.settle();
}

#[test]
fn a_shutdown_waits_for_no_start_that_nobody_needs() {
    let mut world = World::new(limits(1));
    let call = world.call(None);
    world.drop_call(call);
    let starting = world.starting.first().copied().unwrap();
    world.tell(Event::Shutdown(60 * SECOND));
    assert!(world.doomed.contains(&starting));
    world.settle();
}

#[test]
fn a_later_shutdown_gives_no_more_time() {
    let mut world = World::new(limits(1));
    let call = world.call(None);
    world.start_all();
    let worker = world.worker_of(call).unwrap();
    world.tell(Event::Shutdown(SECOND));
    world.tell(Event::Shutdown(60 * SECOND));
    world.pass(SECOND);
    assert!(world.doomed.contains(&worker));
    world.settle();
}

#[test]
fn of_too_many_the_idle_ones_leave() {
    let mut world = World::new(limits(4));
    let calls = [(); 4].map(|()| world.call(None));
    world.start_all();
    let workers = calls.map(|it| world.worker_of(it).unwrap());
    world.answer(workers[0], Then::Stay);
    world.answer(workers[1], Then::Stay);
    world.tell(Event::SetMax(2));
    world.answer(workers[2], Then::Stay);
    world.answer(workers[3], Then::Stay);
    assert_eq!(
        world.doomed.iter().collect::<Vec<_>>(),
        [&workers[0], &workers[1]]
    );
    world.settle();
}
