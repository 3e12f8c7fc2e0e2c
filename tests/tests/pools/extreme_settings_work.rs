//! The smallest and the largest values of each setting mean what they say.

use std::time::Duration;

use anyfork::{ErrorKind, Pool};
use anyfork_tests::{bounded, has_ended, runtime, until};

use crate::{assert_stats_add_up, builder, end, entered, square, whoami};

/// Calls one after the other, several at once, by a task and in a lease.
fn assert_serves(pool: &Pool) {
    for n in 0..3 {
        let call = square::call(pool, n);
        assert_eq!(bounded("a call", || call.blocking()).unwrap(), n * n);
    }
    let calls: Vec<_> = (0..10).map(|n| square::call(pool, n)).collect();
    for (n, call) in (0..).zip(calls) {
        assert_eq!(bounded("a call", || call.blocking()).unwrap(), n * n);
    }
    let squares = square::map(pool, 0..10).blocking();
    let squares: Result<Vec<_>, _> = bounded("a map", || squares.collect());
    assert_eq!(squares.unwrap().len(), 10);
    bounded("tasks", || {
        runtime().block_on(async {
            assert_eq!(square::call(pool, 5).await.unwrap(), 25);
            let mut lease = pool.lease().await.unwrap();
            assert_eq!(whoami::call(&mut lease).await.unwrap(), lease.pid());
            assert_eq!(whoami::call(&mut lease).await.unwrap(), lease.pid());
        });
    });
    assert_stats_add_up(pool);
}

#[test]
fn all_that_is_largest() {
    for _ in 0..4 {
        let pool = builder()
            .max(2)
            .idle(usize::MAX)
            .load(usize::MAX)
            .concurrency(usize::MAX)
            .stop(Duration::MAX)
            .queue(usize::MAX)
            .queue_timeout(Duration::MAX)
            .timeout(Duration::MAX)
            .grace(Duration::MAX)
            .retire_after(u64::MAX)
            .retire_age(Duration::MAX)
            .retire_growth(u64::MAX)
            .max_result(u64::MAX)
            .build()
            .unwrap();
        bounded("a preparation", || pool.prepare().blocking()).unwrap();
        assert_eq!(pool.stats().workers, 2);
        assert_serves(&pool);
        let call = square::call(&pool, 3);
        let call = call.timeout(Duration::MAX).queue_timeout(Duration::MAX);
        assert_eq!(bounded("a call", || call.blocking()).unwrap(), 9);
        bounded("a shutdown", || pool.shutdown(Duration::MAX).blocking()).unwrap();
    }
}

#[test]
fn as_many_workers_as_calls() {
    let pool = builder().max(usize::MAX).build().unwrap();
    assert_serves(&pool);
    pool.set_max(1);
    until("the others leave", || pool.stats().workers == 1);
    pool.set_max(usize::MAX);
    assert_serves(&pool);
    end(pool);
}

#[test]
fn one_start_for_ever() {
    let pool = builder().max(4).start(Duration::MAX).build().unwrap();
    let (running, gate) = entered(&pool);
    let waiting: Vec<_> = (0..5).map(|n| square::call(&pool, n)).collect();
    assert_eq!(pool.stats().workers + pool.stats().starting, 1);
    drop(gate);
    bounded("a call", || running.blocking()).unwrap();
    for (n, call) in (0..).zip(waiting) {
        assert_eq!(bounded("a call", || call.blocking()).unwrap(), n * n);
    }
    assert_eq!(pool.stats().started, 1);
    end(pool);
}

#[test]
fn all_that_is_smallest() {
    let pool = builder()
        .max(0)
        .idle(0)
        .load(0)
        .concurrency(0)
        .start(Duration::ZERO)
        .stop(Duration::ZERO)
        .grace(Duration::ZERO)
        .retire_after(0)
        .retire_age(Duration::ZERO)
        .retire_growth(0)
        .build()
        .unwrap();
    assert_serves(&pool);
    bounded("a preparation", || pool.prepare().blocking()).unwrap();
    bounded("room", || pool.ready().blocking()).unwrap();
    pool.set_max(0);
    assert_serves(&pool);
    end(pool);
}

#[test]
fn no_time_at_all() {
    let pool = builder().max(1).timeout(Duration::ZERO).build().unwrap();
    let (reader, _writer) = crate::gate();
    let error = bounded("a call", || crate::stay::call(&pool, reader).blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert_stats_add_up(&pool);
    end(pool);

    let pool = crate::pool_of(1);
    let (reader, writer) = crate::gate();
    let running = crate::stay::call(&pool, reader);
    let waits = square::call(&pool, 3).queue_timeout(Duration::ZERO);
    let error = bounded("a call", || waits.blocking()).unwrap_err();
    assert_eq!(
        (error.kind(), error.never_entered()),
        (ErrorKind::TimedOut, true),
        "{error}"
    );
    drop(writer);
    bounded("a call", || running.blocking()).unwrap();
    assert_stats_add_up(&pool);
    end(pool);
}

#[test]
fn no_room_at_all() {
    let pool = builder().max(1).queue(0).build().unwrap();
    let (running, gate) = entered(&pool);
    for _ in 0..3 {
        let error = bounded("a call", || square::call(&pool, 3).blocking()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    }
    drop(gate);
    let pid = bounded("a call", || running.blocking()).unwrap();
    // A call that finds a free worker, or may start one, does not wait behind others.
    assert_eq!(
        bounded("a call", || whoami::call(&pool).blocking()).unwrap(),
        pid
    );
    crate::kill(pid);
    until("it is gone", || has_ended(pid));
    assert_eq!(
        bounded("a call", || square::call(&pool, 3).blocking()).unwrap(),
        9
    );
    assert_stats_add_up(&pool);
    end(pool);
}

#[test]
fn no_result_at_all() {
    let pool = builder().max(1).max_result(0).build().unwrap();
    let error = bounded("a call", || square::call(&pool, 3).blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    let error = bounded("a call", || whoami::call(&pool).blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    assert_eq!(pool.stats().started, 1, "the worker stays");
    end(pool);
}
