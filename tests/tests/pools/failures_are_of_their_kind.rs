//! Each way in which a call of a pool can fail has its kind, leaves or replaces its worker, and
//! is not felt by the next call.

use std::io::{PipeReader, Read};
use std::process;
use std::time::{Duration, Instant};

use anyfork::{Error, ErrorKind, Pool};
use anyfork_tests::picky::Picky;
use anyfork_tests::{bounded, has_ended, runtime, until};

use crate::{assert_stats_add_up, builder, end, entered, fail, gate, kill, pool_of, whoami};

fn pid_of(pool: &Pool) -> u32 {
    bounded("a call", || whoami::call(pool).blocking()).unwrap()
}

/// What becomes of the worker.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Worker {
    Stays,
    Leaves,
}

/// Fails a call of a worker by `call`, blocking and awaited.
fn assert_fails<R: Send + 'static>(
    call: impl Fn(&Pool) -> anyfork::Call<R>,
    worker: Worker,
    test: impl Fn(&Error, u32),
) {
    let pool = pool_of(1);
    for awaits in [false, true] {
        let before = pid_of(&pool);
        let call = call(&pool);
        let result = bounded("a call", || match awaits {
            true => runtime().block_on(call),
            false => call.blocking(),
        });
        let error = result.map(drop).unwrap_err();
        test(&error, before);
        match worker {
            Worker::Stays => assert_eq!(pid_of(&pool), before, "{error}"),
            Worker::Leaves => {
                assert_ne!(pid_of(&pool), before, "{error}");
                until("it leaves", || has_ended(before));
            }
        }
        assert_stats_add_up(&pool);
    }
    end(pool);
}

#[anyfork::call]
fn refuse(text: String) -> Result<u32, String> {
    Err(text)
}

#[test]
fn an_error_of_the_function_is_its_result() {
    let pool = pool_of(1);
    let before = pid_of(&pool);
    let result = bounded("a call", || refuse::call(&pool, "no".into()).blocking());
    assert_eq!(result.unwrap(), Err("no".to_owned()));
    assert_eq!(pid_of(&pool), before);
    assert_eq!(pool.stats().returned, 3);
    end(pool);
}

#[anyfork::call]
fn leave(code: i32) {
    process::exit(code);
}

#[anyfork::call]
fn abort() {
    process::abort();
}

extern "C" fn cannot_unwind() {
    panic!("through the wall");
}

#[anyfork::call]
fn panic_without_unwinding() {
    cannot_unwind();
}

#[test]
fn an_exit_an_abort_and_a_panic_cost_their_worker() {
    let assert_died = |error: &Error, pid: u32, name: &str, what: &str| {
        assert_eq!(error.kind(), ErrorKind::Died, "{error}");
        let text = error.to_string();
        for part in [name, &pid.to_string(), what] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!error.never_entered());
    };
    assert_fails(
        |pool| leave::call(pool, 3),
        Worker::Leaves,
        |error, pid| {
            assert_died(error, pid, leave::NAME, "3");
            assert_eq!(error.exit().unwrap().code(), Some(3));
        },
    );
    assert_fails(
        |pool| abort::call(pool),
        Worker::Leaves,
        |error, pid| {
            assert_died(error, pid, abort::NAME, "SIGABRT");
            assert_eq!(error.exit().unwrap().signal(), Some(libc::SIGABRT));
        },
    );
    for message in ["unwound", "through the wall"] {
        assert_fails(
            |pool| match message {
                "unwound" => fail::call(pool, message.to_owned()),
                _ => panic_without_unwinding::call(pool),
            },
            Worker::Leaves,
            |error, _| {
                assert_eq!(error.kind(), ErrorKind::Panicked, "{error}");
                assert!(error.failure().unwrap().location().is_some());
                assert!(!error.never_entered());
            },
        );
    }
}

#[anyfork::call]
fn pick(_fine: u8, picky: Picky, result: u8) -> Picky {
    assert_eq!(picky.0, 0);
    Picky(result)
}

#[test]
fn values_that_do_not_cross_are_named() {
    for argument in [1, 2] {
        assert_fails(
            |pool| pick::call(pool, 7, Picky(argument), 0),
            Worker::Stays,
            |error, _| {
                assert_eq!(error.kind(), ErrorKind::BadArgument, "{error}");
                let start = format!("parameter `picky` (Picky) of `{}`", pick::NAME);
                assert!(error.to_string().contains(&start), "{error}");
                assert!(error.never_entered());
            },
        );
    }
    // One does not encode, the other does not decode.
    for result in [1, 2] {
        assert_fails(
            |pool| pick::call(pool, 7, Picky(0), result),
            Worker::Leaves,
            |error, _| {
                assert_eq!(error.kind(), ErrorKind::BadResult, "{error}");
                assert!(!error.never_entered());
            },
        );
    }
}

#[test]
fn a_worker_leaves_after_a_result_of_many_that_does_not_decode() {
    let pool = pool_of(1);
    let results = |way: &str| -> Vec<_> {
        let items = || [0, 2, 0].map(|result| (7, Picky(0), result));
        match way {
            "map" => pick::map(&pool, items()).blocking().collect(),
            "chunk" => pick::map(&pool, items()).chunk(3).blocking().collect(),
            _ => pick::each(&pool, 7, Picky(0), 2).blocking().collect(),
        }
    };
    for way in ["map", "chunk", "each"] {
        let before = pid_of(&pool);
        let results = bounded("the results", || results(way));
        let bad = results.iter().filter_map(|it| it.as_ref().err());
        let kinds: Vec<_> = bad.map(Error::kind).collect();
        assert_eq!(kinds, [ErrorKind::BadResult], "{way}");
        assert_ne!(pid_of(&pool), before, "{way}");
        until("it leaves", || has_ended(before));
        assert_stats_add_up(&pool);
    }
    end(pool);
}

/// Exits, and leaves a process behind that has the worker's socket, until the gate is closed.
#[anyfork::call]
fn leave_another_behind(mut gate: PipeReader) {
    // SAFETY: this process has one thread.
    if unsafe { libc::fork() } == 0 {
        let _ = gate.read(&mut [0]);
    }
    // SAFETY: takes a number.
    unsafe { libc::_exit(7) };
}

#[test]
fn a_process_left_behind_hides_no_exit() {
    let gates = std::sync::Mutex::new(Vec::new());
    assert_fails(
        |pool| {
            let (reader, writer) = gate();
            gates.lock().unwrap().push(writer);
            leave_another_behind::call(pool, reader)
        },
        Worker::Leaves,
        |error, _| {
            assert_eq!(error.kind(), ErrorKind::Died, "{error}");
            assert_eq!(error.exit().unwrap().code(), Some(7));
        },
    );
}

#[test]
fn a_call_that_is_late_is_replaced_at_the_kill() {
    // It takes its whole grace to exit, and the next call does not wait for that.
    let pool = builder().max(1).grace(Duration::from_secs(3600));
    let pool = pool.build().unwrap();
    let (mut told, tell) = gate();
    let (reader, writer) = gate();
    let late = stay_deaf::call(&pool, tell, reader);
    bounded("its begin", || told.read_exact(&mut [0])).unwrap();
    let pid = late.pid().unwrap();
    let late = late.timeout(Duration::from_millis(10));
    let next = pid_of(&pool);
    assert_ne!(next, pid);
    assert!(!late.is_finished() && !has_ended(pid));
    drop(writer);
    let error = bounded("a call", || late.blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(has_ended(pid), "it is gone before that is told");
    assert_stats_add_up(&pool);
    end(pool);
}

/// Ignores SIGTERM, tells that it does, and exits when the gate is closed.
#[anyfork::call]
fn stay_deaf(mut told: std::io::PipeWriter, mut gate: PipeReader) {
    // SAFETY: the action runs no code.
    unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
    std::io::Write::write_all(&mut told, b"!").expect("a pipe");
    gate.read_to_end(&mut Vec::new()).expect("a pipe");
    // SAFETY: takes a number.
    unsafe { libc::_exit(1) };
}

#[test]
fn a_worker_that_dies_idle_is_replaced_if_it_is_needed() {
    let pool = builder().max(2).idle(1).build().unwrap();
    bounded("a preparation", || pool.prepare().blocking()).unwrap();
    let before = pool.workers()[0].pid();
    kill(before);
    until("another one is there", || {
        pool.workers().iter().any(|it| it.pid() != before)
    });
    assert_eq!((pool.stats().calls, pool.stats().died), (0, 0));

    let (running, gate) = entered(&pool);
    kill(running.pid().unwrap());
    let error = bounded("a call", || running.blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Died, "{error}");
    drop(gate);
    until("one waits", || pool.stats().idle == 1);
    end(pool);
}

#[test]
fn workers_that_die_before_a_call_are_started_more_and_more_rarely() {
    let pool = builder().max(1).idle(1).build().unwrap();
    let begun = Instant::now();
    let mut killed = Vec::new();
    for _ in 0..7 {
        until("the next one waits", || {
            let mut workers = pool.workers().into_iter().map(|it| it.pid());
            let next = workers.find(|it| !killed.contains(it));
            killed.extend(next);
            next.is_some()
        });
        kill(*killed.last().unwrap());
    }
    // Five at once, the sixth after 100 ms, and the seventh after 200 ms more.
    assert!(begun.elapsed() >= Duration::from_millis(300));
    // A call does not wait for that.
    assert!(!killed.contains(&pid_of(&pool)));
    end(pool);
}
