//! A leased worker serves one caller, keeps what its calls leave there, and is given back.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use anyfork::pool::{Lease, WorkerState};
use anyfork::{ErrorKind, Pool};
use anyfork_tests::{bounded, has_ended, runtime, until};

use crate::{end, gate, pool_of, process, stay, whoami};

static NOTES: Mutex<Vec<u64>> = Mutex::new(Vec::new());

/// Keeps a number in its process, and gives all that are there.
#[anyfork::call]
fn note(n: u64) -> Vec<u64> {
    let mut notes = NOTES.lock().unwrap();
    notes.push(n);
    notes.clone()
}

#[anyfork::call]
fn die(signal: i32) {
    // SAFETY: takes a number.
    unsafe { libc::raise(signal) };
}

#[anyfork::call]
fn fail() {
    panic!("on purpose");
}

#[anyfork::call]
fn leave() -> u32 {
    anyfork::retire();
    std::process::id()
}

fn lease(pool: &Pool) -> Lease {
    bounded("a lease", || pool.lease().blocking()).expect("a worker")
}

fn pid_of(pool: &Pool) -> u32 {
    bounded("a call", || whoami::call(pool).blocking()).expect("a worker")
}

fn assert_stats_add_up(pool: &Pool) {
    let it = pool.stats();
    let outcomes =
        it.returned + it.panicked + it.died + it.timed_out + it.cancelled + it.refused + it.other;
    assert_eq!(it.calls, outcomes + it.queued + it.busy, "{it:?}");
}

/// Asserts that a further call says that the lease has no worker.
fn assert_lost(lease: &mut Lease, text: &str) {
    let pid = lease.pid();
    let error = bounded("a call", || whoami::call(lease).blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Died, "{error}");
    assert!(error.never_entered());
    let said = error.to_string();
    assert!(
        said.contains(text) && said.contains(&pid.to_string()),
        "{said}"
    );
}

#[test]
fn sessions_stick_while_four_threads_call_beside_them() {
    let pool = pool_of(4);
    let is_over = AtomicBool::new(false);
    let mut leases = [lease(&pool), lease(&pool)];
    let leased = [leases[0].pid(), leases[1].pid()];
    assert_eq!(pool.stats().leased, 2);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut calls = 0;
                    while !is_over.load(Ordering::Relaxed) || calls == 0 {
                        assert!(!leased.contains(&pid_of(&pool)), "a lease has it alone");
                        calls += 1;
                    }
                    calls
                })
            })
            .collect();
        for n in 0..200 {
            for (lease, first) in leases.iter_mut().zip([0, 1000]) {
                let notes = bounded("a call", || note::call(&mut *lease, first + n).blocking());
                let expected: Vec<u64> = (first..=first + n).collect();
                assert_eq!(notes.unwrap(), expected);
                let pid = bounded("a call", || whoami::call(&mut *lease).blocking());
                assert!(leased.contains(&pid.unwrap()));
            }
        }
        is_over.store(true, Ordering::Relaxed);
        for thread in threads {
            assert!(thread.join().unwrap() > 0);
        }
    });
    drop(leases);
    assert_eq!((pool.stats().leased, pool.stats().busy), (0, 0));
    assert_stats_add_up(&pool);
    end(pool);
}

#[test]
fn a_worker_goes_back_or_retires() {
    let pool = pool_of(1);
    let mut first = lease(&pool);
    let pid = first.pid();
    bounded("a call", || note::call(&mut first, 1).blocking()).unwrap();
    let workers = pool.workers();
    assert_eq!(
        (workers[0].pid(), workers[0].state()),
        (pid, WorkerState::Leased)
    );
    drop(first);
    assert_eq!(pool.workers()[0].state(), WorkerState::Idle);
    assert_eq!(pid_of(&pool), pid);

    let mut second = lease(&pool);
    assert_eq!(second.pid(), pid);
    let notes = bounded("a call", || note::call(&mut second, 2).blocking());
    assert_eq!(notes.unwrap(), [1, 2]);
    let call = whoami::call(&mut second);
    second.retire();
    assert_eq!(bounded("a call", || call.blocking()).unwrap(), pid);
    assert_ne!(pid_of(&pool), pid);
    until("it ends", || has_ended(pid));
    end(pool);
}

#[test]
fn calls_of_a_lease_take_turns() {
    let pool = pool_of(1);
    let mut lease = lease(&pool);
    let (reader, writer) = gate();
    let first = stay::call(&mut lease, reader);
    let second = whoami::call(&mut lease);
    assert_eq!((pool.stats().busy, pool.stats().queued), (1, 1));
    assert_eq!(pool.workers()[0].function(), Some(stay::NAME));
    drop(writer);
    // Nobody reads the first one's answer.
    assert_eq!(
        bounded("a call", || second.blocking()).unwrap(),
        lease.pid()
    );
    assert_eq!(bounded("a call", || first.blocking()).unwrap(), lease.pid());
    end(pool);
}

#[test]
fn a_lease_that_is_lost_says_so() {
    let pool = pool_of(1);
    let mut idle = lease(&pool);
    idle.blocking_child().start_kill().unwrap();
    until("it is seen", || pool.stats().leased == 0);
    assert_lost(&mut idle, "SIGKILL");

    let mut busy = lease(&pool);
    let dies = die::call(&mut busy, libc::SIGKILL);
    let waits = whoami::call(&mut busy);
    let error = bounded("a call", || dies.blocking()).unwrap_err();
    assert_eq!(
        (error.kind(), error.never_entered()),
        (ErrorKind::Died, false)
    );
    let error = bounded("a call", || waits.blocking()).unwrap_err();
    assert_eq!(
        (error.kind(), error.never_entered()),
        (ErrorKind::Died, true)
    );
    assert_eq!(error.exit().and_then(|it| it.signal()), Some(9));
    assert_lost(&mut busy, "has exited");

    let mut late = lease(&pool);
    let (reader, _writer) = gate();
    let call = stay::call(&mut late, reader).timeout(Duration::from_millis(10));
    let error = bounded("a call", || call.blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(has_ended(late.pid()));
    assert_lost(&mut late, "took too long");

    let mut dropped = lease(&pool);
    let (reader, _writer) = gate();
    drop(stay::call(&mut dropped, reader));
    assert_lost(&mut dropped, "a call was dropped");

    let mut panicked = lease(&pool);
    let error = bounded("a call", || fail::call(&mut panicked).blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Panicked);
    assert_lost(&mut panicked, "has retired");

    let mut left = lease(&pool);
    bounded("a call", || leave::call(&mut left).blocking()).unwrap();
    assert_lost(&mut left, "has retired");
    assert_stats_add_up(&pool);
    end(pool);
}

#[test]
fn a_lease_dropped_in_a_call_kills_its_worker() {
    let pool = pool_of(1);
    let mut first = lease(&pool);
    let pid = first.pid();
    let (reader, _writer) = gate();
    let call = stay::call(&mut first, reader);
    drop(first);
    let error = bounded("a call", || call.blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    until("it ends", || has_ended(pid));

    let mut second = lease(&pool);
    let pid = second.pid();
    let (reader, writer) = gate();
    stay::call(&mut second, reader).detach();
    drop(second);
    // The first one may not be collected yet.
    let workers = pool.workers();
    let second = workers.iter().find(|it| it.pid() == pid);
    assert_eq!(second.map(|it| it.state()), Some(WorkerState::Busy));
    drop(writer);
    assert_eq!(pid_of(&pool), pid, "a detached call goes on");
    assert_stats_add_up(&pool);
    end(pool);
}

#[test]
fn a_lease_waits_its_turn() {
    let pool = pool_of(1);
    let first = lease(&pool);
    let [second, third] = [pool.lease(), pool.lease()];
    let call = whoami::call(&pool);
    assert_eq!((pool.stats().leased, pool.stats().queued), (1, 1));
    let error = bounded("a lease", || {
        pool.lease()
            .queue_timeout(Duration::from_millis(5))
            .blocking()
    });
    let error = error.unwrap_err();
    assert_eq!(
        (error.kind(), error.never_entered()),
        (ErrorKind::TimedOut, true)
    );
    drop(second);
    let pid = first.pid();
    drop(first);
    let third = bounded("a lease", || third.blocking()).unwrap();
    assert_eq!((third.pid(), call.is_finished()), (pid, false));
    drop(third);
    assert_eq!(bounded("a call", || call.blocking()).unwrap(), pid);
    // One that has its worker, and is dropped before anybody has seen it.
    drop(pool.lease());
    assert_eq!(pid_of(&pool), pid);
    end(pool);
}

#[test]
fn a_full_queue_refuses_leases() {
    let pool = Pool::builder(process()).max(1).queue(1).build().unwrap();
    let _lease = lease(&pool);
    let waits = pool.lease();
    let error = bounded("a lease", || pool.lease().blocking()).unwrap_err();
    assert_eq!(
        (error.kind(), error.never_entered()),
        (ErrorKind::Full, true)
    );
    drop(waits);
    end(pool);
}

#[test]
fn a_lease_waits_no_longer_than_a_call() {
    let pool = Pool::builder(process()).max(1).idle(1);
    let pool = pool
        .queue_timeout(Duration::from_millis(1))
        .build()
        .unwrap();
    bounded("a worker", || pool.prepare().blocking()).unwrap();
    let _lease = lease(&pool);
    let error = bounded("a lease", || pool.lease().blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    end(pool);
}

#[test]
fn leases_are_for_tasks_too() {
    let pool = pool_of(1);
    bounded("leases", || {
        runtime().block_on(async {
            let mut first = pool.lease().await.unwrap();
            let pid = whoami::call(&mut first).await.unwrap();
            assert_eq!(first.child().pid(), pid);
            let mut second = pin!(pool.lease());
            let is_pending = poll_fn(|context| {
                let polled = second.as_mut().poll(context);
                Poll::Ready(polled.is_pending())
            });
            assert!(is_pending.await);
            let (second, ()) = tokio::join!(second, async { drop(first) });
            assert_eq!(second.unwrap().pid(), pid);
        });
    });
    end(pool);
}

#[test]
fn what_ends_a_pool_ends_its_leases() {
    let pool = pool_of(3);
    let [mut idle, mut busy] = [lease(&pool), lease(&pool)];
    let (reader, writer) = gate();
    let running = stay::call(&mut busy, reader);
    let shutdown = pool.shutdown(Duration::from_secs(60));
    for lease in [&mut idle, &mut busy] {
        let error = bounded("a call", || whoami::call(lease).blocking()).unwrap_err();
        assert_eq!(
            (error.kind(), error.never_entered()),
            (ErrorKind::Closed, true)
        );
    }
    let error = bounded("a lease", || pool.lease().blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    until("the idle one ends", || has_ended(idle.pid()));
    drop(writer);
    assert_eq!(
        bounded("a call", || running.blocking()).unwrap(),
        busy.pid()
    );
    bounded("a shutdown", || shutdown.blocking()).unwrap();

    let pool = pool_of(1);
    let held = lease(&pool);
    let waits = pool.lease();
    pool.kill();
    until("it ends", || has_ended(held.pid()));
    let error = bounded("a lease", || waits.blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");

    let pool = pool_of(1);
    let mut last = lease(&pool);
    drop(pool);
    let pid = bounded("a call", || whoami::call(&mut last).blocking()).unwrap();
    drop(last);
    until("it ends with its lease", || has_ended(pid));
}

#[test]
fn what_replaces_workers_waits_for_the_end_of_a_lease() {
    let pool = Pool::builder(process()).max(1).retire_after(1);
    let pool = pool.retire_growth(1).build().unwrap();
    let mut first = lease(&pool);
    let pid = first.pid();
    bounded("a renewal", || pool.renew(process()).blocking()).unwrap();
    pool.set_max(1);
    for n in 1..=5 {
        let notes = bounded("a call", || note::call(&mut first, n).blocking()).unwrap();
        assert_eq!(notes.len() as u64, n);
    }
    drop(first);
    assert_ne!(pid_of(&pool), pid);
    until("it ends", || has_ended(pid));
    assert_stats_add_up(&pool);
    end(pool);
}

#[test]
fn a_full_pool_is_not_ready_before_a_lease_ends() {
    let pool = pool_of(2);
    let [one, _two] = [lease(&pool), lease(&pool)];
    pool.set_max(1);
    let ready = pool.ready();
    drop(one);
    // One is idle, and one too many.
    until("it leaves", || pool.stats().workers == 1);
    pool.set_max(2);
    bounded("a place", || ready.blocking()).unwrap();
    end(pool);
}
