//! The limits of a pool hold: for calls that wait, for calls that run, and for workers that
//! have nothing to do.

use std::time::Duration;

use anyfork::ErrorKind;
use anyfork_tests::{bounded, has_ended, runtime, until};

use crate::{assert_stats_add_up, builder, end, entered, gate, pool_of, square, stay, whoami};

const SHORT: Duration = Duration::from_millis(20);

#[test]
fn a_full_queue_refuses() {
    let pool = builder().max(1).queue(2).build().unwrap();
    let (reader, writer) = gate();
    let running = stay::call(&pool, reader);
    let waiting = [square::call(&pool, 2), square::call(&pool, 3)];
    let error = bounded("a call", || square::call(&pool, 4).blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    assert!(error.never_entered());
    drop(writer);
    running.blocking().unwrap();
    for (call, square) in waiting.into_iter().zip([4, 9]) {
        assert_eq!(bounded("a call", || call.blocking()).unwrap(), square);
    }
    assert_eq!(pool.stats().refused, 1);
    assert_stats_add_up(&pool);
    end(pool);
}

#[test]
fn a_call_waits_no_longer_than_it_may() {
    let pool = builder().max(1).queue_timeout(SHORT).build().unwrap();
    let (reader, writer) = gate();
    let running = stay::call(&pool, reader).queue_timeout(Duration::from_secs(60));
    until("it runs", || running.pid().is_some());
    let late = square::call(&pool, 2);
    let error = bounded("a call", || late.blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(error.to_string().contains("queue_timeout"), "{error}");
    assert!(error.never_entered());
    let patient = square::call(&pool, 2).queue_timeout(Duration::from_secs(60));
    drop(writer);
    assert_eq!(bounded("a call", || patient.blocking()).unwrap(), 4);
    running.blocking().unwrap();
    end(pool);
}

#[test]
fn a_call_that_takes_too_long_is_killed_and_the_next_is_served() {
    let pool = pool_of(1);
    for _ in 0..3 {
        let (call, _writer) = entered(&pool);
        let pid = call.pid().unwrap();
        let error = bounded("a call", || call.timeout(SHORT).blocking()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        assert!(!error.never_entered());
        assert!(has_ended(pid), "it is gone before it is told");
        assert_eq!(
            bounded("a call", || square::call(&pool, 3).blocking()).unwrap(),
            9
        );
    }
    runtime().block_on(async {
        let (reader, _writer) = gate();
        let error = stay::call(&pool, reader).timeout(SHORT).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        assert_eq!(square::call(&pool, 3).await.unwrap(), 9);
    });
    assert_eq!(pool.stats().timed_out, 4);
    end(pool);
}

#[test]
fn an_answer_in_time_wins_although_nobody_reads_it_in_time() {
    let pool = pool_of(1);
    pool.prepare().blocking().unwrap();
    let call = square::call(&pool, 3).timeout(Duration::from_secs(2));
    std::thread::sleep(Duration::from_millis(2200));
    assert_eq!(bounded("a call", || call.blocking()).unwrap(), 9);
    end(pool);
}

#[test]
fn a_call_that_is_dropped_in_the_queue_never_runs() {
    let pool = pool_of(1);
    let (reader, writer) = gate();
    let running = stay::call(&pool, reader);
    let (pipe, witness) = gate();
    let waiting = stay::call(&pool, pipe);
    drop(waiting);
    drop(witness);
    drop(writer);
    running.blocking().unwrap();
    let stats = pool.stats();
    assert_eq!((stats.cancelled, stats.returned), (1, 1));
    end(pool);
}

#[test]
fn a_call_that_is_dropped_takes_its_worker_along() {
    let pool = pool_of(1);
    let (call, writer) = entered(&pool);
    let pid = call.pid().unwrap();
    drop(call);
    let other = bounded("a call", || whoami::call(&pool).blocking()).unwrap();
    assert_ne!(other, pid);
    until("it is gone", || has_ended(pid));
    drop(writer);
    assert_eq!(pool.stats().cancelled, 1);
    assert_stats_add_up(&pool);
    end(pool);
}

#[test]
fn an_answered_call_that_is_dropped_leaves_its_worker() {
    let pool = pool_of(1);
    let pid = whoami::call(&pool).blocking().unwrap();
    let call = whoami::call(&pool);
    until("it is finished", || call.is_finished());
    drop(call);
    assert_eq!(
        bounded("a call", || whoami::call(&pool).blocking()).unwrap(),
        pid
    );
    end(pool);
}

#[test]
fn idle_workers_are_there_ahead_and_others_leave() {
    let pool = builder()
        .max(3)
        .idle(1)
        .stop(Duration::from_millis(50))
        .build()
        .unwrap();
    bounded("workers", || pool.prepare().blocking()).unwrap();
    assert_eq!(pool.stats().idle, 1);
    let (reader, writer) = gate();
    let calls: Vec<_> = (0..3)
        .map(|_| stay::call(&pool, reader.try_clone().unwrap()))
        .collect();
    drop(reader);
    until("three are busy", || pool.stats().busy == 3);
    drop(writer);
    for call in calls {
        bounded("a call", || call.blocking()).unwrap();
    }
    until("one is left", || pool.stats().workers == 1);
    assert_eq!(pool.stats().idle, 1);
    end(pool);
}

#[test]
fn the_number_of_workers_changes() {
    let pool = pool_of(1);
    let (reader, writer) = gate();
    let calls: Vec<_> = (0..3)
        .map(|_| stay::call(&pool, reader.try_clone().unwrap()))
        .collect();
    drop(reader);
    until("one is busy", || pool.stats().busy == 1);
    pool.set_max(3);
    until("three are busy", || pool.stats().busy == 3);
    pool.set_max(1);
    drop(writer);
    for call in calls {
        bounded("a call", || call.blocking()).unwrap();
    }
    until("one is left", || pool.stats().workers == 1);
    end(pool);
}

#[test]
fn a_result_that_is_too_large_is_refused() {
    let pool = builder().max(1).max_result(1000).build().unwrap();
    let pid = whoami::call(&pool).blocking().unwrap();
    let call = crate::echo::call(&pool, vec![1; 2000]);
    let error = bounded("a call", || call.blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    assert_eq!(whoami::call(&pool).blocking().unwrap(), pid);
    assert_eq!(pool.stats().other, 1);
    end(pool);
}
