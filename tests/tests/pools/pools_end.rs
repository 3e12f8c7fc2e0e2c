//! A pool ends as its program asks, and nothing of it is left.

use std::time::Duration;

use anyfork::ErrorKind;
use anyfork_tests::{bounded, has_ended, runtime, until};

use crate::{assert_stats_add_up, end, entered, gate, pool_of, square, stay, whoami};

#[test]
fn a_shutdown_drains_the_queue() {
    let pool = pool_of(2);
    let calls: Vec<_> = (0..50).map(|n| square::call(&pool, n)).collect();
    let shutdown = pool.shutdown(Duration::from_secs(60));
    let error = bounded("a call", || square::call(&pool, 1).blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    assert!(error.never_entered());
    bounded("a shutdown", || shutdown.blocking()).unwrap();
    for (n, call) in (0..).zip(calls) {
        assert_eq!(bounded("a call", || call.blocking()).unwrap(), n * n);
    }
    assert_eq!(pool.stats().workers, 0);
    assert_stats_add_up(&pool);
}

#[test]
fn a_shutdown_kills_what_does_not_end() {
    let pool = pool_of(1);
    let (running, _writer) = entered(&pool);
    let waiting = square::call(&pool, 2);
    let pid = running.pid().unwrap();
    let shutdown = pool.shutdown(Duration::from_millis(20));
    bounded("a shutdown", || {
        runtime().block_on(async { shutdown.await.unwrap() });
    });
    assert!(has_ended(pid));
    let error = bounded("a call", || waiting.blocking()).unwrap_err();
    assert_eq!(
        (error.kind(), error.never_entered()),
        (ErrorKind::Closed, true)
    );
    let error = bounded("a call", || running.blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    assert_stats_add_up(&pool);
}

#[test]
fn a_pool_is_killed() {
    let pool = pool_of(2);
    let (reader, _writer) = gate();
    let calls: Vec<_> = (0..4)
        .map(|_| stay::call(&pool, reader.try_clone().unwrap()))
        .collect();
    until("two are busy", || pool.stats().busy == 2);
    let pids: Vec<u32> = pool.workers().iter().map(|it| it.pid()).collect();
    pool.kill();
    for call in calls {
        let error = bounded("a call", || call.blocking()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    }
    until("all are gone", || pids.iter().all(|pid| has_ended(*pid)));
    end(pool);
}

#[test]
fn idle_workers_end_with_the_last_handle_and_calls_finish() {
    let pool = pool_of(2);
    let (running, writer) = entered(&pool);
    let idle = bounded("a call", || whoami::call(&pool).blocking()).unwrap();
    let other = pool.clone();
    drop(pool);
    assert!(!has_ended(idle));
    let waiting: Vec<_> = (0..5).map(|n| square::call(&other, n)).collect();
    drop(other);
    for (n, call) in (0..).zip(waiting) {
        assert_eq!(bounded("a call", || call.blocking()).unwrap(), n * n);
    }
    until("the idle one ends", || has_ended(idle));
    drop(writer);
    let pid = bounded("a call", || running.blocking()).unwrap();
    until("it ends", || has_ended(pid));
}

#[test]
fn a_call_may_be_taken_after_its_pool_has_ended() {
    let pool = pool_of(1);
    let call = square::call(&pool, 3);
    until("it is finished", || call.is_finished());
    end(pool);
    assert_eq!(bounded("a call", || call.blocking()).unwrap(), 9);
}

#[test]
fn a_pool_that_never_served_ends() {
    let pool = pool_of(1);
    end(pool);
}

#[test]
fn a_pool_whose_workers_are_all_gone_ends() {
    for _ in 0..20 {
        let pool = pool_of(1);
        let pid = bounded("a call", || whoami::call(&pool).blocking()).unwrap();
        crate::kill(pid);
        until("its exit is known", || pool.stats().workers == 0);
        end(pool);
    }
}
