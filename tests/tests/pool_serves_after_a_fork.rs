//! A process that the program has forked uses the program's pool with workers of its own, and
//! touches none of the program's.

use anyfork::{ErrorKind, Pool, Process};
use anyfork_tests::{bounded, until};
use std::fs;
use std::time::Duration;

#[anyfork::early]
fn preload() {}

#[anyfork::call]
fn whoami() -> u32 {
    std::process::id()
}

#[anyfork::call]
fn edition() -> Option<String> {
    std::env::var("EDITION").ok()
}

/// The names of this process's threads.
fn threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|it| fs::read_to_string(it.ok()?.path().join("comm")).ok());
    names.map(|name| name.trim().to_owned()).collect()
}

fn watchers() -> usize {
    let threads = threads();
    threads.iter().filter(|it| *it == "anyfork-pool").count()
}

#[test]
fn a_fork_has_workers_of_its_own_and_one_watcher() {
    let pool = Pool::builder(Process::new().unwrap())
        .max(1)
        .build()
        .unwrap();
    let other = Pool::builder(Process::new().unwrap())
        .max(1)
        .build()
        .unwrap();
    let renewed = Process::new().unwrap().env("EDITION", "2");
    bounded("a renewal", || pool.renew(renewed).blocking()).unwrap();
    let worker = bounded("a call", || whoami::call(&pool).blocking()).unwrap();
    bounded("a call", || whoami::call(&other).blocking()).unwrap();
    let mut lease = bounded("a lease", || other.lease().blocking()).unwrap();
    let waits = other.lease();
    assert_eq!(watchers(), 1);
    // SAFETY: the other threads of this process wait in system calls, without a lock.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            assert_eq!(watchers(), 0);
            let first = whoami::call(&pool).blocking().unwrap();
            assert_ne!(first, worker);
            assert_eq!(whoami::call(&pool).blocking().unwrap(), first);
            assert_eq!(edition::call(&pool).blocking().unwrap().unwrap(), "2");
            assert_eq!(watchers(), 1);
            pool.clone().shutdown(Duration::ZERO).blocking().unwrap();
            let error = whoami::call(&mut lease).blocking().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
            let error = waits.blocking().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
            drop((lease, other));
        }));
        // SAFETY: takes a number.
        unsafe { libc::_exit(result.is_err().into()) };
    }
    let mut status = 0;
    bounded("the fork", || {
        // SAFETY: writes a number to a local.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
    });
    assert_eq!(status, 0);
    assert_eq!(
        bounded("a call", || whoami::call(&pool).blocking()).unwrap(),
        worker
    );
    let leased = bounded("a call", || whoami::call(&mut lease).blocking()).unwrap();
    assert_eq!(leased, lease.pid());
    drop(lease);
    let next = bounded("a lease", || waits.blocking()).unwrap();
    assert_eq!(next.pid(), leased);
    drop((next, pool, other));
    until("the watcher is gone", || watchers() == 0);
}
