//! The death of a worker costs the one call that it had entered, and nobody else anything.

use std::time::Duration;

use anyfork::{ErrorKind, Pool, Process};
use anyfork_tests::{bounded, has_ended, runtime, stat, until};

use crate::{
    assert_stats_add_up, builder, die, end, entered, fail, kill, pool_of, process, square, whoami,
};

#[test]
fn one_of_two_hundred_calls_dies() {
    let pool = pool_of(4);
    let (mut calls, mut fatal) = (Vec::new(), None);
    for n in 0..200 {
        match n {
            100 => fatal = Some(die::call(&pool, libc::SIGSEGV)),
            n => calls.push((n, square::call(&pool, n))),
        }
    }
    for (n, call) in calls {
        assert_eq!(bounded("a call", || call.blocking()).unwrap(), n * n);
    }
    let error = bounded("a call", || fatal.unwrap().blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Died, "{error}");
    assert_eq!(error.exit().unwrap().signal(), Some(libc::SIGSEGV));
    let text = error.to_string();
    assert!(
        text.contains(die::NAME) && text.contains("SIGSEGV"),
        "{text}"
    );
    assert!(!error.never_entered());
    let stats = pool.stats();
    assert_eq!((stats.returned, stats.died), (199, 1));
    end(pool);
}

#[test]
fn a_death_is_told_to_a_task() {
    let pool = pool_of(1);
    bounded("calls", || {
        runtime().block_on(async {
            let error = die::call(&pool, libc::SIGKILL).await.unwrap_err();
            assert_eq!(
                error.exit().unwrap().signal(),
                Some(libc::SIGKILL),
                "{error}"
            );
            assert_eq!(square::call(&pool, 2).await.unwrap(), 4);
        });
    });
    end(pool);
}

#[test]
fn a_panic_is_reported_and_its_worker_replaced() {
    let pool = pool_of(1);
    let before = whoami::call(&pool).blocking().unwrap();
    let error = bounded("a call", || fail::call(&pool, "no luck".into()).blocking());
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Panicked, "{error}");
    assert_eq!(error.failure().unwrap().message(), "no luck");
    let after = bounded("a call", || whoami::call(&pool).blocking()).unwrap();
    assert_ne!(before, after);
    until("it is gone", || has_ended(before));
    assert_eq!(pool.stats().panicked, 1);
    end(pool);

    let pool = builder().max(1).keep_after_panic(true).build().unwrap();
    let before = whoami::call(&pool).blocking().unwrap();
    let error = fail::call(&pool, "no luck".into()).blocking().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Panicked, "{error}");
    assert_eq!(whoami::call(&pool).blocking().unwrap(), before);
    end(pool);
}

#[test]
fn the_death_of_an_idle_worker_is_not_felt() {
    let pool = pool_of(1);
    for n in 0..100 {
        let pid = bounded("a call", || whoami::call(&pool).blocking()).unwrap();
        kill(pid);
        assert_eq!(
            bounded("a call", || square::call(&pool, n).blocking()).unwrap(),
            n * n
        );
    }
    let stats = pool.stats();
    assert_eq!((stats.returned, stats.died), (200, 0), "{stats:?}");
    end(pool);
}

#[test]
fn calls_of_a_killed_worker_that_wait_are_served_by_the_next() {
    let pool = pool_of(1);
    let (running, _writer) = entered(&pool);
    let waiting: Vec<_> = (0..5).map(|n| square::call(&pool, n)).collect();
    kill(running.pid().unwrap());
    for (n, call) in (0..).zip(waiting) {
        assert_eq!(bounded("a call", || call.blocking()).unwrap(), n * n);
    }
    let error = bounded("a call", || running.blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Died, "{error}");
    assert_stats_add_up(&pool);
    end(pool);
}

#[test]
fn a_template_that_is_gone_is_made_again() {
    let exec = || Process::new_exec().and_then(|it| it.prepare().blocking());
    let pool = Pool::builder(exec().unwrap())
        .max(2)
        .remake(exec)
        .build()
        .unwrap();
    let first = bounded("a call", || whoami::call(&pool).blocking()).unwrap();
    let (_, template) = stat(first).unwrap();
    kill(template);
    until("the template is gone", || has_ended(template));
    // The worker that lives serves on.
    assert_eq!(
        bounded("a call", || whoami::call(&pool).blocking()).unwrap(),
        first
    );
    kill(first);
    let second = bounded("a call", || whoami::call(&pool).blocking()).unwrap();
    assert_ne!(stat(second).unwrap().1, template);
    end(pool);
}

#[test]
fn a_process_without_descriptors_is_made_again_as_it_was() {
    let base = process().env("EDITION", "7").prepare().blocking().unwrap();
    let pool = Pool::builder(base).max(1).build().unwrap();
    let edition = || {
        let call = crate::workers_are_replaced::variable::call(&pool, "EDITION".into());
        bounded("a call", || call.blocking()).unwrap()
    };
    assert_eq!(edition().as_deref(), Some("7"));
    let first = bounded("a call", || whoami::call(&pool).blocking()).unwrap();
    let (_, template) = stat(first).unwrap();
    kill(template);
    until("the template is gone", || has_ended(template));
    kill(first);
    assert_eq!(edition().as_deref(), Some("7"));
    end(pool);
}

#[test]
fn a_renewed_process_is_made_again_as_it_was() {
    let exec = || Process::new_exec().and_then(|it| it.prepare().blocking());
    // The function makes the first process again, and no other.
    let builder = Pool::builder(process().env("EDITION", "1"));
    let pool = builder.max(1).remake(exec).build().unwrap();
    let renew = |process: Process| bounded("a renewal", || pool.renew(process).blocking());
    let edition = || {
        let call = crate::workers_are_replaced::variable::call(&pool, "EDITION".into());
        bounded("a call", || call.blocking())
    };
    let lose_the_template = || {
        let worker = bounded("a call", || whoami::call(&pool).blocking()).unwrap();
        let (_, template) = stat(worker).unwrap();
        kill(template);
        until("the template is gone", || has_ended(template));
        kill(worker);
        until("the worker is gone", || has_ended(worker));
    };
    for number in ["2", "3"] {
        let renewed = process().env("EDITION", number).prepare().blocking();
        renew(renewed.unwrap()).unwrap();
        assert_eq!(edition().unwrap().as_deref(), Some(number));
        lose_the_template();
        assert_eq!(edition().unwrap().as_deref(), Some(number));
    }

    // This one cannot be made again.
    renew(exec().unwrap()).unwrap();
    assert_eq!(edition().unwrap(), None);
    lose_the_template();
    let error = edition().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}");
    assert!(error.never_entered());
    end(pool);
}

#[test]
fn without_a_template_calls_fail_that_find_no_worker() {
    let process = Process::new_exec().and_then(|it| it.prepare().blocking());
    let pool = Pool::builder(process.unwrap()).max(1).build().unwrap();
    let first = bounded("a call", || whoami::call(&pool).blocking()).unwrap();
    let (_, template) = stat(first).unwrap();
    kill(template);
    until("the template is gone", || has_ended(template));
    assert_eq!(
        bounded("a call", || whoami::call(&pool).blocking()).unwrap(),
        first
    );
    kill(first);
    until("it is gone", || has_ended(first));
    let error = bounded("a call", || whoami::call(&pool).blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}");
    assert!(error.never_entered());
    end(pool);
}

#[anyfork::init]
fn refuse() -> Result<(), String> {
    Err("no entropy".to_owned())
}

#[test]
fn a_failing_init_fails_the_calls_at_once() {
    let pool = Pool::builder(process())
        .max(2)
        .init(refuse::NAME, anyfork::args![])
        .build()
        .unwrap();
    for _ in 0..10 {
        let error = bounded("a call", || square::call(&pool, 2).blocking()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InitFailed, "{error}");
        assert!(error.to_string().contains("no entropy"), "{error}");
        assert!(error.never_entered());
    }
    let error = bounded("workers", || pool.prepare().blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InitFailed, "{error}");
    let stats = pool.stats();
    assert_eq!(stats.refused, 10);
    assert!(stats.start_failures <= 7, "{stats:?}");
    bounded("a shutdown", || pool.shutdown(Duration::ZERO).blocking()).unwrap();
}
