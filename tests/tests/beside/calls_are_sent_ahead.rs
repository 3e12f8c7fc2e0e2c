//! With `load`, a busy worker has the next calls already, and what becomes of it is no harm to
//! those that it has not entered.

use std::io::PipeWriter;
use std::io::Write;
use std::time::{Duration, Instant};

use anyfork::{ErrorKind, Pool, Sender, pool};
use anyfork_tests::runtime;
use anyfork_tests::{bounded, until};

use crate::{
    builder, echo, end, entered, fail, failed, gate, kill, load, rest, served, square, whoami,
};

/// Tells that it is entered.
#[anyfork::call]
fn tell(mut told: PipeWriter) {
    told.write_all(b"entered").expect("a pipe");
}

#[test]
fn a_worker_has_as_many_calls_as_load_allows() {
    let pool = load(3);
    let (running, gate) = entered(&pool);
    let calls: Vec<_> = (0..4).map(|n| square::call(&pool, n)).collect();
    let stats = pool.stats();
    assert_eq!((stats.busy, stats.queued, stats.workers), (3, 2, 1));
    let [worker] = &pool.workers()[..] else {
        panic!("one worker");
    };
    assert_eq!(worker.state(), pool::WorkerState::Busy);
    assert_eq!(
        worker.function(),
        Some(crate::tell_and_stay::NAME),
        "the oldest"
    );
    assert!(calls.iter().all(|it| !it.is_finished()));
    drop(gate);
    served(running);
    for (n, call) in (0..).zip(calls) {
        assert_eq!(served(call), n * n);
    }
    assert_eq!(pool.stats().started, 1);
    end(pool);
}

#[test]
fn nothing_is_sent_ahead_while_a_worker_may_be_started() {
    let pool = builder().max(2).load(10).build().unwrap();
    let (one, _one) = entered(&pool);
    let (two, _two) = entered(&pool);
    assert_ne!(one.pid(), two.pid());
    let ahead: Vec<_> = (0..4).map(|n| square::call(&pool, n)).collect();
    let on = |pid| ahead.iter().filter(|it| it.pid() == pid).count();
    assert_eq!(
        (on(one.pid()), on(two.pid())),
        (2, 2),
        "the least loaded first"
    );
    drop((_one, _two));
    for call in ahead {
        served(call);
    }
    served(one);
    served(two);
    end(pool);
}

#[test]
fn what_was_sent_ahead_survives_a_death() {
    let pool = load(3);
    let (running, _gate) = entered(&pool);
    let ahead = [whoami::call(&pool), whoami::call(&pool)];
    let pid = running.pid().unwrap();
    assert_eq!(ahead[1].pid(), Some(pid));
    kill(pid);
    for call in ahead {
        assert_ne!(served(call), pid);
    }
    let error = failed(running);
    assert_eq!(error.kind(), ErrorKind::Died, "{error}");
    assert!(!error.to_string().contains("other calls"), "{error}");
    let stats = pool.stats();
    assert_eq!((stats.returned, stats.died, stats.resent), (2, 1, 2));
    end(pool);
}

#[test]
fn what_was_sent_ahead_survives_a_deadline_a_drop_and_a_panic() {
    let pool = load(3);
    let (running, _gate) = entered(&pool);
    let ahead = [whoami::call(&pool), whoami::call(&pool)];
    let error = failed(running.timeout(Duration::from_millis(10)));
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert_eq!(ahead.map(served).len(), 2);

    let (running, _gate) = entered(&pool);
    let pid = running.pid().unwrap();
    let ahead = [whoami::call(&pool), whoami::call(&pool)];
    drop(running);
    assert!(ahead.map(served).iter().all(|it| *it != pid));

    let (running, gate) = entered(&pool);
    let failing = fail::call(&pool, "no luck".into());
    let behind = whoami::call(&pool);
    let pid = running.pid().unwrap();
    assert_eq!(behind.pid(), Some(pid));
    drop(gate);
    assert_eq!(failed(failing).kind(), ErrorKind::Panicked);
    assert_ne!(served(behind), pid);
    served(running);
    assert_eq!(pool.stats().died, 0);
    end(pool);
}

#[test]
fn a_call_that_is_dropped_before_its_turn_never_runs() {
    for _ in 0..20 {
        let pool = load(3);
        let (running, gate) = entered(&pool);
        let (told, tell_it) = crate::gate();
        let dropped = tell::call(&pool, tell_it);
        let behind = whoami::call(&pool);
        let pid = running.pid();
        assert_eq!(dropped.pid(), pid);
        drop(dropped);
        assert_eq!(pool.stats().cancelled, 1);
        drop(gate);
        served(running);
        assert_eq!(Some(served(behind)), pid, "nothing was killed");
        assert_eq!(rest(told), "");
        until("its place is free", || idle(&pool) != Some(false));
        assert_eq!(pool.workers().first().map(|it| Some(it.pid())), Some(pid));
        end(pool);
    }
}

/// Whether the worker of a pool is idle.
fn idle(pool: &Pool) -> Option<bool> {
    let workers = pool.workers();
    let state = workers.first()?.state();
    Some(state == pool::WorkerState::Idle)
}

/// Its worker is asked to drop it after it has begun it, which its caller cannot know.
#[test]
fn a_call_that_has_begun_when_it_is_dropped_is_no_harm_to_its_worker() {
    let pool = load(2);
    let first = whoami::call(&pool);
    let (begun, gate) = entered(&pool);
    let pid = begun.pid();
    drop(begun);
    drop(gate);
    assert_eq!(Some(served(first)), pid);
    assert_eq!(Some(served(whoami::call(&pool))), pid);
    assert_eq!(Some(served(whoami::call(&pool))), pid);
    end(pool);
}

#[test]
fn the_time_of_a_call_begins_when_it_runs() {
    const LIMIT: Duration = Duration::from_secs(1);
    let pool = load(2);
    let (running, gate) = entered(&pool);
    let begun = Instant::now();
    let ahead = square::call(&pool, 3).timeout(LIMIT);
    until("its time would be over", || begun.elapsed() > LIMIT * 3 / 2);
    assert!(!ahead.is_finished());
    drop(gate);
    served(running);
    assert_eq!(served(ahead), 9);

    // In the queue of a worker, the time to wait counts.
    let (running, gate) = entered(&pool);
    let (told, tell_it) = crate::gate();
    let late = tell::call(&pool, tell_it).queue_timeout(Duration::from_millis(10));
    let error = failed(late);
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    drop(gate);
    served(running);
    assert_eq!(rest(told), "");
    served(whoami::call(&pool));
    end(pool);
}

#[test]
fn delivered_descriptors_are_not_sent_again() {
    let pool = load(2);
    let (running, _gate) = entered(&pool);
    let (told, tell_it) = gate();
    let ahead = tell::call(&pool, tell_it);
    kill(running.pid().unwrap());
    let error = failed(ahead);
    assert_eq!(error.kind(), ErrorKind::Died, "{error}");
    assert!(error.never_entered());
    assert_eq!(rest(told), "");
    failed(running);
    end(pool);
}

#[test]
fn requests_of_any_size_are_sent_ahead() {
    let pool = load(4);
    let (running, gate) = entered(&pool);
    let bytes: Vec<u8> = (0..3 << 20).map(|n| (n % 251) as u8).collect();
    let calls: Vec<_> = (0..5).map(|_| echo::call(&pool, bytes.clone())).collect();
    drop(gate);
    served(running);
    for call in calls {
        assert!(served(call) == bytes);
    }
    let calls: Vec<_> = (0..5).map(|_| echo::call(&pool, bytes.clone())).collect();
    bounded("calls", || {
        runtime().block_on(async {
            for call in calls {
                assert!(call.await.unwrap() == bytes);
            }
        });
    });
    end(pool);
}

#[anyfork::call]
fn count(to: u32, told: Sender<u32>) -> u32 {
    for n in 0..to {
        told.send(n).blocking().expect("somebody reads");
    }
    to
}

#[test]
fn events_come_to_the_call_that_runs() {
    let pool = load(3);
    let mut calls = [10, 1000, 20].map(|to| (to, count::call(&pool, to)));
    for (to, call) in &mut calls {
        for n in 0..*to {
            let event = bounded("an event", || call.recv().blocking());
            assert_eq!(event, Some(n));
        }
    }
    for (to, call) in calls {
        assert_eq!(served(call), to);
    }
    end(pool);
}

#[test]
fn many_tasks_and_threads_share_few_workers() {
    let pool = builder().max(2).load(8).build().unwrap();
    bounded("calls", || {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in 0..300 {
                        assert_eq!(square::call(&pool, n).blocking().unwrap(), n * n);
                    }
                });
            }
            runtime().block_on(async {
                let mut tasks = tokio::task::JoinSet::new();
                for n in 0..300 {
                    let call = square::call(&pool, n);
                    tasks.spawn(async move { assert_eq!(call.await.unwrap(), n * n) });
                }
                while let Some(done) = tasks.join_next().await {
                    done.unwrap();
                }
            });
        });
    });
    assert_eq!(pool.stats().returned, 1500);
    end(pool);
}

#[test]
fn a_shutdown_ends_all_that_a_worker_has() {
    let pool = load(3);
    let (running, _gate) = entered(&pool);
    let ahead = square::call(&pool, 2);
    let ended = pool.shutdown(Duration::ZERO);
    bounded("a shutdown", || ended.blocking()).unwrap();
    let errors = [failed(running), failed(ahead)];
    assert!(errors.iter().all(|it| it.kind() == ErrorKind::Closed));
    assert!(errors[1].never_entered(), "{}", errors[1]);

    let pool = load(3);
    let (running, gate) = entered(&pool);
    let ahead = square::call(&pool, 2);
    let ended = pool.shutdown(Duration::from_secs(60));
    drop(gate);
    served(running);
    assert_eq!(served(ahead), 4);
    bounded("a shutdown", || ended.blocking()).unwrap();
}

#[test]
fn leases_each_and_maps_are_served() {
    let pool = builder().max(2).load(4).build().unwrap();
    let mut lease = bounded("a lease", || pool.lease().blocking()).unwrap();
    let calls = [(); 3].map(|()| whoami::call(&mut lease));
    let others: Vec<_> = (0..20).map(|n| square::call(&pool, n)).collect();
    assert!(calls.map(served).iter().all(|it| *it == lease.pid()));
    let each = whoami::each(&pool);
    let pids = each.pids();
    assert!(pids.contains(&lease.pid()));
    let answered = bounded("each", || {
        each.blocking().collect::<anyfork::Result<Vec<_>>>()
    });
    assert_eq!(answered.unwrap(), pids);
    drop(lease);
    for call in others {
        served(call);
    }
    let squares = bounded("a map", || {
        let squares = square::map(&pool, 0..2000).blocking();
        squares.collect::<anyfork::Result<Vec<_>>>()
    });
    assert_eq!(
        squares.unwrap(),
        (0..2000).map(|n| n * n).collect::<Vec<_>>()
    );
    end(pool);
}

#[test]
fn workers_retire_and_are_renewed_between_calls() {
    let pool = builder().max(2).load(4).retire_after(3).build().unwrap();
    let calls: Vec<_> = (0..100).map(|n| (n, square::call(&pool, n))).collect();
    for (n, call) in calls {
        assert_eq!(served(call), n * n);
    }
    let calls: Vec<_> = (0..50).map(|n| (n, square::call(&pool, n))).collect();
    let renewal = pool.renew(anyfork::Process::new().unwrap());
    bounded("a renewal", || renewal.blocking()).unwrap();
    for (n, call) in calls {
        assert_eq!(served(call), n * n);
    }
    assert!(pool.stats().retired > 10);
    assert_eq!(pool.stats().died, 0);
    end(pool);
}
