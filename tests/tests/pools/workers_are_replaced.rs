//! Workers are prepared before their first call, and replaced when they have served long
//! enough, without a call being lost.

use std::collections::HashSet;
use std::fs;
use std::sync::OnceLock;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyfork::ErrorKind;
use anyfork_tests::{bounded, has_ended, stat, until};

use crate::{builder, end, gate, pool_of, process, square, stay, whoami};

static GREETING: OnceLock<String> = OnceLock::new();

#[anyfork::init]
fn greet(greeting: String) {
    GREETING.set(greeting).expect("once in each worker");
}

#[anyfork::call]
fn greeting() -> Option<String> {
    GREETING.get().cloned()
}

#[anyfork::call]
fn leave_after_this() -> u32 {
    anyfork::retire();
    std::process::id()
}

#[anyfork::call]
pub fn variable(name: String) -> Option<String> {
    std::env::var(name).ok()
}

#[anyfork::call]
fn leak(bytes: usize) -> u32 {
    let bytes = std::hint::black_box(vec![1u8; bytes]);
    std::mem::forget(bytes);
    std::process::id()
}

#[test]
fn each_worker_is_prepared_before_its_first_call() {
    let pool = builder()
        .max(2)
        .init(greet::NAME, anyfork::args!["hello"])
        .retire_after(1)
        .build()
        .unwrap();
    for _ in 0..10 {
        let greeting = bounded("a call", || greeting::call(&pool).blocking()).unwrap();
        assert_eq!(greeting.as_deref(), Some("hello"));
    }
    end(pool);
}

#[test]
fn a_worker_is_replaced_after_its_last_call() {
    let pool = builder().max(1).retire_after(1).build().unwrap();
    let mut pids = HashSet::new();
    for _ in 0..100 {
        let pid = bounded("a call", || whoami::call(&pool).blocking()).unwrap();
        assert!(pids.insert(pid), "a fresh worker for each call");
    }
    until("all but one are gone", || pool.stats().workers <= 1);
    let stats = pool.stats();
    assert_eq!((stats.returned, stats.died), (100, 0), "{stats:?}");
    end(pool);
    assert!(pids.into_iter().all(has_ended));
}

#[test]
fn a_worker_is_replaced_at_its_age() {
    let age = Duration::from_millis(20);
    let pool = builder().max(1).retire_age(age).stop(Duration::MAX);
    let pool = pool.build().unwrap();
    let first = bounded("a call", || whoami::call(&pool).blocking()).unwrap();
    until("another one is there", || {
        let workers = pool.workers();
        workers.iter().any(|it| it.pid() != first) && has_ended(first)
    });
    // One with a call finishes it.
    let (reader, writer) = gate();
    let running = stay::call(&pool, reader);
    until("its replacement is there", || pool.stats().idle == 1);
    drop(writer);
    let second = bounded("a call", || running.blocking()).unwrap();
    assert_ne!(
        bounded("a call", || whoami::call(&pool).blocking()).unwrap(),
        second
    );
    assert!(pool.stats().retired >= 2);
    end(pool);
}

#[test]
fn replacements_leave_when_nobody_calls() {
    let age = Duration::from_millis(20);
    let pool = builder().max(1).retire_age(age).stop(5 * age);
    let pool = pool.build().unwrap();
    bounded("a call", || whoami::call(&pool).blocking()).unwrap();
    until("none is left", || {
        let stats = pool.stats();
        stats.workers + stats.starting == 0
    });
    assert!(pool.stats().started > 1);
    end(pool);
}

#[test]
fn a_worker_leaves_at_its_own_wish() {
    let pool = pool_of(1);
    let before = bounded("a call", || whoami::call(&pool).blocking()).unwrap();
    assert_eq!(leave_after_this::call(&pool).blocking().unwrap(), before);
    let after = bounded("a call", || whoami::call(&pool).blocking()).unwrap();
    assert_ne!(before, after);
    end(pool);
}

#[test]
fn a_worker_that_grows_is_replaced() {
    let pool = builder().max(1).retire_growth(4 << 20).build().unwrap();
    let pid = bounded("a call", || leak::call(&pool, 1000).blocking()).unwrap();
    assert_eq!(leak::call(&pool, 16 << 20).blocking().unwrap(), pid);
    let after = bounded("a call", || whoami::call(&pool).blocking()).unwrap();
    assert_ne!(after, pid);
    end(pool);
}

#[test]
fn new_workers_are_forks_of_a_new_base() {
    let pool = crate::Pool::builder(process().env("EDITION", "1"))
        .max(2)
        .build()
        .unwrap();
    let edition = || {
        let call = variable::call(&pool, "EDITION".into());
        bounded("a call", || call.blocking()).unwrap()
    };
    assert_eq!(edition().as_deref(), Some("1"));
    let (reader, writer) = gate();
    let running = stay::call(&pool, reader);
    bounded("a renewal", || {
        pool.renew(process().env("EDITION", "2")).blocking()
    })
    .unwrap();
    assert_eq!(edition().as_deref(), Some("2"));
    drop(writer);
    let old = bounded("a call", || running.blocking()).unwrap();
    until("the old one leaves", || has_ended(old));

    let broken = process().init("no such", anyfork::args![]);
    let error = bounded("a renewal", || pool.renew(broken).blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownWorker, "{error}");
    assert_eq!(edition().as_deref(), Some("2"));
    end(pool);
}

#[test]
fn nothing_is_left_of_an_old_base() {
    let prepared = |edition| {
        let process = process().env("EDITION", edition).prepare();
        process.blocking().unwrap()
    };
    let pool = crate::Pool::builder(prepared("1")).max(1).build().unwrap();
    let template = || {
        let worker = bounded("a call", || whoami::call(&pool).blocking()).unwrap();
        stat(worker).unwrap().1
    };
    let first = template();
    for edition in ["2", "3"] {
        let before = template();
        bounded("a renewal", || pool.renew(prepared(edition)).blocking()).unwrap();
        until("the old template ends", || has_ended(before));
    }
    assert!(has_ended(first) && !has_ended(template()));
    end(pool);
}

#[test]
fn the_program_is_told_of_each_worker_that_leaves() {
    let left = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&left);
    let pool = builder()
        .max(1)
        .on_exit(move |it| {
            told.lock().unwrap().push(it.clone());
            panic!("nobody is hurt by this");
        })
        .build()
        .unwrap();
    let pid = bounded("a call", || whoami::call(&pool).blocking()).unwrap();
    assert_eq!(square::call(&pool, 2).blocking().unwrap(), 4);
    end(pool);
    let left = left.lock().unwrap_or_else(PoisonError::into_inner);
    let [it] = &left[..] else {
        panic!("{left:?}");
    };
    assert_eq!((it.pid(), it.calls()), (pid, 2));
    assert_eq!(it.reason(), anyfork::pool::Reason::ShutDown);
}

#[test]
fn workers_have_a_title() {
    let pool = pool_of(1);
    let pid = bounded("a call", || whoami::call(&pool).blocking()).unwrap();
    let title = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    let program = std::process::id();
    assert!(
        title.starts_with(&format!("anyfork: pool of {program} (")),
        "{title}"
    );
    end(pool);
}
