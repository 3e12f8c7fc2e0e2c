//! With `concurrency`, calls of `async fn`s run at once in one worker, and end there one by one.

use std::io::{PipeReader, PipeWriter, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyfork::{ErrorKind, Sender};
use anyfork_tests::{bounded, has_ended, until};
use anyfork_tests::{runtime, runtime_of_two};

use crate::{
    HERE, builder, concurrency, echo_async, end, failed, gate, held, kill, meet, rest, served,
    square, whoami_async,
};

#[test]
fn a_hundred_are_entered_before_one_has_ended() {
    let pool = concurrency(100);
    let calls: Vec<_> = (0..100).map(|_| meet::call(&pool, 100)).collect();
    let pid = served(whoami_async::call(&pool));
    assert!(calls.into_iter().all(|it| served(it) == pid));
    assert_eq!(pool.stats().started, 1);
    end(pool);

    for runtime in [runtime(), runtime_of_two()] {
        let pool = concurrency(100);
        bounded("calls", || {
            runtime.block_on(async {
                let mut tasks = tokio::task::JoinSet::new();
                for _ in 0..100 {
                    tasks.spawn(meet::call(&pool, 100));
                }
                while let Some(met) = tasks.join_next().await {
                    met.unwrap().unwrap();
                }
            });
        });
        end(pool);
    }
}

#[test]
fn one_that_is_dropped_is_dropped_there() {
    let pool = concurrency(3);
    let [(one, told), (two, others)] = [held(&pool), held(&pool)];
    assert_eq!(one.pid(), two.pid());
    drop(one);
    assert_eq!(rest(told), "dropped");
    assert_eq!(
        Some(served(whoami_async::call(&pool))),
        two.pid(),
        "it lives"
    );
    until("its place is free", || pool.stats().busy == 1);
    drop(two);
    assert_eq!(rest(others), "dropped");
    assert_eq!(pool.stats().cancelled, 2);
    served(whoami_async::call(&pool));
    assert_eq!(pool.stats().started, 1);
    end(pool);
}

#[test]
fn a_deadline_ends_one_there() {
    let pool = concurrency(2);
    let (held_one, told) = held(&pool);
    let error = failed(held_one.timeout(Duration::from_millis(10)));
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(!error.never_entered());
    // It is gone when that is told.
    assert_eq!(rest(told), "dropped");
    served(whoami_async::call(&pool));
    let stats = pool.stats();
    assert_eq!((stats.started, stats.timed_out), (1, 1));
    end(pool);
}

/// Lets nobody else run.
#[anyfork::call]
async fn block(mut told: PipeWriter) {
    told.write_all(b"!").expect("a pipe");
    loop {
        std::thread::park();
    }
}

#[test]
fn a_worker_that_drops_nothing_is_killed() {
    for has_deadline in [false, true] {
        let pool = concurrency(3);
        let (other, others) = held(&pool);
        let (told, tell) = gate();
        let blocking = block::call(&pool, tell);
        let pid = other.pid().unwrap();
        let mut told = told;
        bounded("a begin", || told.read_exact(&mut [0])).unwrap();
        match has_deadline {
            false => drop(blocking),
            true => {
                let error = failed(blocking.timeout(Duration::from_millis(10)));
                assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
                assert!(has_ended(pid));
            }
        }
        let error = failed(other);
        assert_eq!(error.kind(), ErrorKind::Died, "{error}");
        assert!(has_ended(pid));
        assert_eq!(rest(others), "");
        assert_ne!(served(whoami_async::call(&pool)), pid);
        end(pool);
    }
}

#[test]
fn a_death_takes_all_that_were_entered_and_says_so() {
    let pool = builder().max(1).concurrency(3).load(5).build().unwrap();
    let running = [(); 3].map(|()| held(&pool).0);
    let behind = [whoami_async::call(&pool), whoami_async::call(&pool)];
    let pid = running[0].pid().unwrap();
    assert_eq!(behind[1].pid(), Some(pid));
    kill(pid);
    for call in behind {
        assert_ne!(served(call), pid);
    }
    for call in running {
        let error = failed(call);
        assert_eq!(error.kind(), ErrorKind::Died, "{error}");
        assert!(error.to_string().contains("and 2 other calls"), "{error}");
        assert!(!error.never_entered());
    }
    let stats = pool.stats();
    assert_eq!((stats.died, stats.resent), (3, 2));
    end(pool);
}

/// How many calls of [`meet()`] have come.
#[anyfork::call]
fn here() -> usize {
    HERE.load(Ordering::Relaxed)
}

#[test]
fn a_function_that_is_not_async_runs_alone() {
    let pool = concurrency(10);
    let (holding, told) = held(&pool);
    let alone = here::call(&pool);
    // Nothing overtakes it.
    let behind = meet::call(&pool, 1);
    let stats = pool.stats();
    assert_eq!((stats.busy, stats.queued), (1, 2));
    drop(holding);
    assert_eq!(rest(told), "dropped");
    assert_eq!(served(alone), 0);
    served(behind);
    assert_eq!(served(here::call(&pool)), 1);
    assert_eq!(pool.stats().started, 1);
    end(pool);
}

#[anyfork::call]
async fn count(from: u64, to: u64, told: Sender<u64>) -> u64 {
    for n in from..to {
        told.send(n).await.expect("somebody reads");
    }
    to
}

#[test]
fn events_come_to_their_calls() {
    let pool = concurrency(8);
    let mut calls: Vec<_> = (0..8)
        .map(|n| (n, count::call(&pool, n, n + 500)))
        .collect();
    for at in 0..500 {
        for (n, call) in &mut calls {
            let event = bounded("an event", || call.recv().blocking());
            assert_eq!(event, Some(*n + at));
        }
    }
    for (n, mut call) in calls {
        assert_eq!(bounded("an event", || call.recv().blocking()), None);
        assert_eq!(served(call), n + 500);
    }
    end(pool);
}

#[test]
fn an_event_after_the_end_of_its_call_goes_nowhere() {
    /// Sends from a thread that outlives the call.
    #[anyfork::call]
    async fn leave_behind(told: Sender<u64>) {
        told.send(1).await.expect("somebody reads");
        std::thread::spawn(move || while told.send(2).blocking().is_ok() {});
        std::future::pending::<()>().await;
    }
    let pool = concurrency(2);
    for _ in 0..20 {
        let mut call = leave_behind::call(&pool);
        assert_eq!(bounded("an event", || call.recv().blocking()), Some(1));
        drop(call);
        served(whoami_async::call(&pool));
    }
    assert_eq!(pool.stats().started, 1);
    end(pool);
}

#[anyfork::call]
async fn fail_when_here(expected: usize) {
    while HERE.load(Ordering::Relaxed) < expected {
        tokio::task::yield_now().await;
    }
    panic!("no luck");
}

#[test]
fn a_panic_lets_the_others_finish() {
    let pool = concurrency(3);
    let (holding, told) = held(&pool);
    let failing = fail_when_here::call(&pool, 1);
    let waiting = meet::call(&pool, 1);
    let pid = holding.pid().unwrap();
    let error = failed(failing);
    assert_eq!(error.kind(), ErrorKind::Panicked, "{error}");
    assert_eq!(error.failure().unwrap().message(), "no luck");
    assert_eq!(served(waiting), pid);
    assert_ne!(served(whoami_async::call(&pool)), pid, "it takes no more");
    assert!(!has_ended(pid), "it finishes what it has");
    drop(holding);
    assert_eq!(rest(told), "dropped");
    until("it leaves", || has_ended(pid));
    end(pool);
}

static HAS_FAILED: AtomicBool = AtomicBool::new(false);

/// Lets nobody else run until the gate is opened, and panics.
#[anyfork::call]
async fn fail_at(mut told: PipeWriter, mut gate: PipeReader) {
    told.write_all(b"!").expect("a pipe");
    gate.read_to_end(&mut Vec::new()).expect("a pipe");
    HAS_FAILED.store(true, Ordering::Relaxed);
    panic!("no luck");
}

/// Ends when the worker has read all that came before the end of [`fail_at()`].
#[anyfork::call]
async fn outlast() -> u32 {
    let mut rounds = 0;
    while rounds < 20 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        rounds += usize::from(HAS_FAILED.load(Ordering::Relaxed));
    }
    std::process::id()
}

/// The worker says that it has not begun the dropped one after it has said that it leaves.
#[test]
fn one_that_is_dropped_behind_a_panic_is_no_harm_to_others() {
    let pool = builder().max(1).concurrency(2).load(3).build().unwrap();
    let outlasting = outlast::call(&pool);
    let [(mut told, tell), (reader, gate)] = [crate::gate(), crate::gate()];
    let failing = fail_at::call(&pool, tell, reader);
    bounded("a begin", || told.read_exact(&mut [0])).unwrap();
    let behind = whoami_async::call(&pool);
    let pid = behind.pid();
    assert_eq!(pid, outlasting.pid());
    drop(behind);
    drop(gate);
    let error = failed(failing);
    assert_eq!(error.kind(), ErrorKind::Panicked, "{error}");
    assert_eq!(Some(served(outlasting)), pid);
    end(pool);
}

#[test]
fn values_of_any_size_cross_beside_each_other() {
    let pool = concurrency(16);
    let bytes: Vec<u8> = (0..2 << 20).map(|n| (n % 251) as u8).collect();
    let calls: Vec<_> = (0..40)
        .map(|n| echo_async::call(&pool, bytes[..bytes.len() / (n + 1)].to_vec()))
        .collect();
    for (n, call) in calls.into_iter().enumerate() {
        assert!(served(call) == bytes[..bytes.len() / (n + 1)]);
    }
    end(pool);
}

#[test]
fn a_lease_has_several_at_once_if_they_are_async() {
    let pool = builder().max(2).concurrency(5).build().unwrap();
    let mut lease = bounded("a lease", || pool.lease().blocking()).unwrap();
    let calls = [(); 5].map(|()| meet::call(&mut lease, 5));
    assert!(calls.map(served).iter().all(|it| *it == lease.pid()));
    let (told, tell) = gate();
    let holding = crate::hold::call(&mut lease, tell);
    let each = whoami_async::each(&pool);
    let pids = each.blocking().map(Result::unwrap).collect::<Vec<_>>();
    assert_eq!(pids, [lease.pid()]);
    drop(holding);
    drop(told);
    drop(lease);
    assert_eq!(served(square::call(&pool, 3)), 9);
    end(pool);
}
