//! Whoever waits for a pool to be prepared, ready or renewed is told the outcome, whatever
//! happens to the pool meanwhile.

use std::time::Duration;

use anyfork::pool::Wait;
use anyfork::{ErrorKind, Pool};
use anyfork_tests::{bounded, has_ended, until};

use crate::{builder, end, entered, pool_of, process, square, whoami};

/// A pool whose workers leave as soon as they have nothing to do.
fn impatient() -> Pool {
    let builder = builder().max(2).stop(Duration::ZERO);
    builder.build().unwrap()
}

#[test]
fn a_preparation_counts_although_its_worker_has_left() {
    let pool = impatient();
    let prepared = pool.prepare();
    until("the worker has come and gone", || {
        let stats = pool.stats();
        stats.started == 1 && stats.workers == 0
    });
    bounded("a preparation", || prepared.blocking()).unwrap();

    // It was prepared when it was asked.
    let (running, gate) = entered(&pool);
    let idle = builder().max(2).build().unwrap();
    let pid = whoami::call(&idle).blocking().unwrap();
    let prepared = idle.prepare();
    crate::kill(pid);
    until("it is gone", || has_ended(pid) && idle.stats().workers == 0);
    bounded("a preparation", || prepared.blocking()).unwrap();
    drop(gate);
    bounded("a call", || running.blocking()).unwrap();
    end(idle);
    end(pool);
}

#[test]
fn a_preparation_starts_another_worker_than_one_that_leaves() {
    let pool = impatient();
    for _ in 0..20 {
        let started = pool.stats().started;
        bounded("a preparation", || pool.prepare().blocking()).unwrap();
        assert!(pool.stats().started > started, "{:?}", pool.stats());
    }
    end(pool);
}

/// The new worker may have been there before the end.
fn assert_done_or_closed(wait: Wait) {
    if let Err(error) = bounded("an end", || wait.blocking()) {
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    }
}

#[test]
fn who_waits_is_told_that_the_pool_was_shut_down() {
    for _ in 0..20 {
        let pool = pool_of(2);
        let prepared = pool.prepare();
        let renewals = [(); 2].map(|()| pool.renew(process()));
        let shutdown = pool.shutdown(Duration::ZERO);
        let late = [pool.ready(), pool.prepare(), pool.renew(process())];
        bounded("a shutdown", || shutdown.blocking()).unwrap();
        renewals.into_iter().for_each(assert_done_or_closed);
        for wait in late.into_iter().chain([prepared]) {
            let error = bounded("an end", || wait.blocking()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        }
        assert_eq!(pool.stats().workers, 0);
    }
}

#[test]
fn who_waits_is_told_that_the_handles_are_gone() {
    for _ in 0..20 {
        let pool = pool_of(1);
        let (running, gate) = entered(&pool);
        let renewed = pool.renew(process());
        let room = pool.ready();
        let never_prepared = pool_of(2);
        let prepared = never_prepared.prepare();
        drop((pool, never_prepared));
        assert_done_or_closed(renewed);
        for wait in [room, prepared] {
            let error = bounded("an end", || wait.blocking()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        }
        drop(gate);
        bounded("a call", || running.blocking()).unwrap();
    }
}

#[test]
fn the_only_worker_goes_on_until_the_renewed_one_is_there() {
    let pool = pool_of(1);
    let old = bounded("a call", || whoami::call(&pool).blocking()).unwrap();
    let broken = process().init("no such", anyfork::args![]);
    let error = bounded("a renewal", || pool.renew(broken).blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownWorker, "{error}");
    let now = bounded("a call", || whoami::call(&pool).blocking()).unwrap();
    assert_eq!(now, old, "on failure the old ones go on");

    let renewed = pool.renew(process());
    assert_eq!(
        bounded("a call", || square::call(&pool, 3).blocking()).unwrap(),
        9
    );
    bounded("a renewal", || renewed.blocking()).unwrap();
    until("the old one leaves", || has_ended(old));
    assert_ne!(
        bounded("a call", || whoami::call(&pool).blocking()).unwrap(),
        old
    );
    end(pool);
}
