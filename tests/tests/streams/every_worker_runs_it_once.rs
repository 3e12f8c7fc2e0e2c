//! A call of `each` runs once in every worker that lives, in turn with their calls.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{PipeWriter, Read, Write};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use anyfork::pool::Each;
use anyfork::{Call, ErrorKind, Pool, Process};
use anyfork_tests::{bounded, has_ended, runtime, until};
use futures_core::Stream;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::{end, gate, pool_of, process, stay, whoami};

static RUNS: AtomicU32 = AtomicU32::new(0);

/// How often it has run in its process, which it names.
#[anyfork::call]
fn count() -> (u32, u32) {
    let runs = RUNS.fetch_add(1, Ordering::Relaxed) + 1;
    (std::process::id(), runs)
}

/// Ends one process, and leaves the others.
#[anyfork::call]
fn die_if(pid: u32) -> u32 {
    if std::process::id() == pid {
        std::process::abort();
    }
    std::process::id()
}

#[anyfork::call]
fn sign(mut into: PipeWriter, text: String) {
    let line = format!("{text} {}\n", std::process::id());
    // In one piece: others write to the same pipe.
    into.write_all(line.as_bytes()).expect("a pipe");
}

/// What cannot be sent.
#[derive(serde::Deserialize)]
struct Unsendable;

impl serde::Serialize for Unsendable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it is not to be sent"))
    }
}

#[anyfork::call]
fn take(_it: Unsendable) {}

/// A pool with so many workers, all idle.
fn pool_with(workers: usize) -> Pool {
    let pool = Pool::builder(process()).max(workers).idle(workers);
    let pool = pool.build().expect("a pool");
    bounded("workers", || pool.prepare().blocking()).expect("workers");
    until("they are there", || pool.stats().idle == workers as u64);
    pool
}

/// A worker that has a call, and what that waits for.
fn busy(pool: &Pool) -> (Call<u32>, PipeWriter) {
    let (reader, writer) = gate();
    let call = stay::call(pool, reader);
    assert!(call.pid().is_some(), "a worker was free");
    (call, writer)
}

fn results<R>(each: Each<R>) -> Vec<anyfork::Result<R>> {
    bounded("a call in each worker", || each.blocking().collect())
}

fn pids(pool: &Pool) -> BTreeSet<u32> {
    pool.workers()
        .iter()
        .map(anyfork::pool::Worker::pid)
        .collect()
}

#[test]
fn every_worker_runs_it_while_four_threads_call_beside_it() {
    let pool = pool_with(4);
    let workers = pids(&pool);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let call = || {
            let mut calls = 0;
            while !is_over.load(Ordering::Relaxed) || calls == 0 {
                let pid = bounded("a call", || whoami::call(&pool).blocking()).unwrap();
                assert!(workers.contains(&pid));
                calls += 1;
            }
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(call)).collect();
        for round in 1..=50 {
            let each = count::each(&pool);
            let expected: Vec<_> = each.pids().into_iter().map(|pid| (pid, round)).collect();
            let results = results(each).into_iter().map(Result::unwrap);
            assert_eq!(results.collect::<Vec<_>>(), expected);
            let run: BTreeSet<u32> = expected.into_iter().map(|(pid, _)| pid).collect();
            assert_eq!(run, workers);
        }
        is_over.store(true, Ordering::Relaxed);
        threads.into_iter().for_each(|it| it.join().unwrap());
    });
    end(pool);
}

#[test]
fn it_takes_its_turn_behind_calls_and_before_those_that_wait() {
    let pool = pool_with(2);
    let mut lease = bounded("a lease", || pool.lease().blocking()).unwrap();
    let (running, writer) = busy(&pool);
    let waits = whoami::call(&pool);
    let (reader, leased_writer) = gate();
    let on_lease = stay::call(&mut lease, reader);
    let each = count::each(&pool);
    assert_eq!((pool.stats().busy, pool.stats().queued), (2, 3));
    drop((writer, leased_writer));
    for result in results(each) {
        assert_eq!(result.unwrap().1, 1);
    }
    let pid = bounded("a call", || running.blocking()).unwrap();
    assert_eq!(bounded("a call", || waits.blocking()).unwrap(), pid);
    assert_eq!(
        bounded("a call", || on_lease.blocking()).unwrap(),
        lease.pid()
    );
    assert_eq!(pool.stats().leased, 1);
    end(pool);
}

#[test]
fn a_worker_that_dies_has_died_and_nobody_runs_it_instead() {
    let pool = pool_with(3);
    let (running, writer) = busy(&pool);
    let victim = running.pid().unwrap();
    let each = count::each(&pool);
    let order = each.pids();
    // SAFETY: takes two numbers.
    unsafe { libc::kill(victim as i32, libc::SIGKILL) };
    for (pid, result) in order.into_iter().zip(results(each)) {
        match result {
            Ok(counted) => assert_eq!(counted, (pid, 1)),
            Err(error) => {
                assert_eq!((error.kind(), pid), (ErrorKind::Died, victim), "{error}");
                assert!(error.never_entered());
                assert!(error.to_string().contains(&victim.to_string()), "{error}");
            }
        }
    }
    drop((writer, running));

    let pool = pool_with(3);
    let each = die_if::each(&pool, *pids(&pool).first().unwrap());
    let results = results(each);
    let failed: Vec<_> = results.iter().filter_map(|it| it.as_ref().err()).collect();
    assert_eq!((results.len(), failed.len()), (3, 1));
    assert!(!failed[0].never_entered());
    end(pool);
}

#[test]
fn exactly_those_that_live_run_it_while_workers_come_and_go() {
    let pool = Pool::builder(process()).max(4).retire_after(3);
    let pool = pool.build().unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let call = || {
            while !is_over.load(Ordering::Relaxed) {
                bounded("a call", || whoami::call(&pool).blocking()).unwrap();
            }
        };
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(call)).collect();
        for _ in 0..100 {
            let each = count::each(&pool);
            let order = each.pids();
            assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), order.len());
            let results = results(each);
            assert_eq!(results.len(), order.len());
            for (pid, result) in order.into_iter().zip(results) {
                match result {
                    Ok((of, _)) => assert_eq!(of, pid),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Died, "{error}"),
                }
            }
        }
        is_over.store(true, Ordering::Relaxed);
        threads.into_iter().for_each(|it| it.join().unwrap());
    });
    let it = pool.stats();
    let outcomes =
        it.returned + it.panicked + it.died + it.timed_out + it.cancelled + it.refused + it.other;
    assert_eq!(it.calls, outcomes + it.queued + it.busy, "{it:?}");
    end(pool);
}

#[test]
fn each_worker_has_its_copy_of_a_descriptor() {
    let pool = pool_with(3);
    let (mut reader, writer) = gate();
    for result in results(sign::each(&pool, writer, "pid".into())) {
        result.unwrap();
    }
    let mut text = String::new();
    bounded("the end", || reader.read_to_string(&mut text)).unwrap();
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    let mut expected: Vec<_> = pids(&pool).iter().map(|it| format!("pid {it}")).collect();
    expected.sort_unstable();
    assert_eq!(lines, expected);
    end(pool);
}

/// In a process of its own: without a descriptor to spare, no worker is called.
#[anyfork::call]
fn run_out() -> Option<i32> {
    let pool = pool_with(3);
    let (_reader, writer) = gate();
    let null = File::open("/dev/null").expect("a file");
    let next = std::os::fd::AsRawFd::as_raw_fd(&null) as u64;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    // Room for one copy.
    setrlimit(Resource::RLIMIT_NOFILE, next + 1, hard).expect("a lower limit");
    drop(null);
    let results = results(sign::each(&pool, writer, "pid".into()));
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).expect("the old limit");
    let [Err(error)] = &results[..] else {
        return None;
    };
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    assert!(error.never_entered());
    let calls = pool.stats().calls;
    end(pool);
    assert_eq!(calls, 0);
    error.raw_os_error()
}

#[test]
fn without_descriptors_nobody_runs_it() {
    let call = run_out::call(Process::new().unwrap());
    let errno = bounded("a process", || call.blocking()).unwrap();
    assert_eq!(errno, Some(libc::EMFILE));
}

#[test]
fn what_nobody_can_run_is_one_error() {
    let pool = pool_of(2);
    assert_eq!(results(count::each(&pool)).len(), 0);
    let failed = results(take::each(&pool, Unsendable));
    assert_eq!(failed.len(), 1);
    let error = failed[0].as_ref().unwrap_err();
    assert_eq!(
        (error.kind(), error.never_entered()),
        (ErrorKind::BadArgument, true)
    );
    let other = pool.clone();
    end(pool);
    let failed = results(count::each(&other));
    assert_eq!(failed.len(), 1);
    let error = failed[0].as_ref().unwrap_err();
    assert_eq!(
        (error.kind(), error.never_entered()),
        (ErrorKind::Closed, true)
    );
}

#[test]
fn it_has_its_time_and_is_undone_or_let_go() {
    let pool = pool_with(2);
    let (reader, _writer) = gate();
    let each = stay::each(&pool, reader).timeout(Duration::from_millis(10));
    for result in results(each) {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::TimedOut);
    }
    until("they are replaced", || pool.stats().idle == 2);
    let workers = pids(&pool);
    let (reader, _writer) = gate();
    drop(stay::each(&pool, reader));
    until("they end", || workers.iter().all(|it| has_ended(*it)));

    until("they are replaced", || pool.stats().idle == 2);
    let workers = pids(&pool);
    let (reader, writer) = gate();
    stay::each(&pool, reader).detach();
    assert_eq!(pool.stats().busy, 2);
    drop(writer);
    let pid = bounded("a call", || whoami::call(&pool).blocking()).unwrap();
    assert!(workers.contains(&pid), "it has finished");
    end(pool);
}

#[test]
fn its_results_are_a_stream() {
    let pool = pool_with(3);
    bounded("a stream", || {
        runtime().block_on(async {
            let mut each = count::each(&pool);
            let order = each.pids();
            assert_eq!(each.next().await.unwrap().unwrap(), (order[0], 1));
            let mut each = pin!(each);
            assert_eq!(each.as_ref().size_hint(), (2, Some(2)));
            for pid in &order[1..] {
                let next = std::future::poll_fn(|context| each.as_mut().poll_next(context));
                assert_eq!(next.await.unwrap().unwrap(), (*pid, 1));
            }
            assert!(each.next().await.is_none());
        });
    });
    end(pool);
}
