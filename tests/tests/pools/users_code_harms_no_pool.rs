//! What users' code does in a pool's callbacks, or with its values, harms no other call.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use anyfork::{ErrorKind, Pool, pool};
use anyfork_tests::{bounded, has_ended, runtime, until};

use crate::{assert_stats_add_up, builder, end, entered, gate, kill, pool_of, process};
use crate::{square, stay, whoami};

#[anyfork::call]
fn print(line: String) -> u32 {
    println!("{line}");
    std::process::id()
}

#[anyfork::init]
fn give_up() {
    panic!("no luck today");
}

fn assert_serves(pool: &Pool) {
    let call = square::call(pool, 7);
    assert_eq!(bounded("a call", || call.blocking()).unwrap(), 49);
    assert_stats_add_up(pool);
}

fn pid_of(pool: &Pool) -> u32 {
    bounded("a call", || whoami::call(pool).blocking()).unwrap()
}

/// A pool whose `on_exit` gets the pool itself, once it is there.
fn with_itself(on_exit: impl Fn(Pool, &pool::Left) + Send + Sync + 'static) -> Pool {
    let itself = Arc::new(Mutex::new(None::<Pool>));
    let given = Arc::clone(&itself);
    let builder = builder().max(1).on_exit(move |left| {
        let pool = given.lock().unwrap().take();
        if let Some(pool) = pool {
            on_exit(pool, left);
        }
    });
    let pool = builder.build().unwrap();
    *itself.lock().unwrap() = Some(pool.clone());
    pool
}

#[test]
fn a_pool_may_end_in_its_own_callback() {
    let pool = with_itself(|pool, _| drop(pool));
    let first = pid_of(&pool);
    drop(pool);
    // The callback has the last handle.
    kill(first);
    until("it is gone", || has_ended(first));
    assert_serves(&pool_of(1));

    let pool = with_itself(|pool, _| drop((pool.shutdown(Duration::ZERO), pool)));
    kill(pid_of(&pool));
    bounded("a shutdown", || pool.shutdown(Duration::MAX).blocking()).unwrap();
    let error = bounded("a call", || square::call(&pool, 2).blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
}

#[test]
fn a_callback_may_use_its_pool() {
    let (told, hears) = std::sync::mpsc::channel();
    let pool = with_itself(move |pool, left| {
        square::call(&pool, 2).detach();
        drop(square::call(&pool, 3));
        pool.set_max(2);
        let renewed = pool.renew(process());
        let stats = pool.stats();
        told.send((left.pid(), stats.calls, renewed)).unwrap();
    });
    let first = pid_of(&pool);
    kill(first);
    let (pid, calls, renewed) = bounded("a callback", || hears.recv()).unwrap();
    assert_eq!((pid, calls), (first, 3));
    bounded("a renewal", || renewed.blocking()).unwrap();
    assert_serves(&pool);
    end(pool);
}

#[test]
fn an_init_that_panics_is_reported() {
    let builder = builder().max(1).init(give_up::NAME, anyfork::args![]);
    let pool = builder.build().unwrap();
    let error = bounded("a call", || square::call(&pool, 2).blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InitFailed, "{error}");
    assert!(error.to_string().contains("no luck today"), "{error}");
    assert!(error.never_entered());
    assert_stats_add_up(&pool);
    end(pool);
}

#[test]
fn a_remake_that_panics_or_fails_is_reported_and_tried_again() {
    let tries = Arc::new(Mutex::new(0));
    let counts = Arc::clone(&tries);
    let prepared = || process().env("EDITION", "1").prepare().blocking();
    let builder = Pool::builder(prepared().unwrap()).max(1).remake(move || {
        let mut tries = counts.lock().unwrap_or_else(|it| it.into_inner());
        *tries += 1;
        match *tries {
            1 => panic!("not today"),
            2 => anyfork::Process::exec_program("/nowhere"),
            _ => prepared(),
        }
    });
    let pool = builder.build().unwrap();
    let worker = pid_of(&pool);
    let (_, template) = anyfork_tests::stat(worker).unwrap();
    kill(template);
    until("the template is gone", || has_ended(template));
    kill(worker);
    // Starts in place of the dead one are tried, too: what they find is told to calls.
    let served = bounded("calls", || {
        loop {
            match whoami::call(&pool).blocking() {
                Ok(pid) => return pid,
                Err(error) => {
                    assert!(error.never_entered(), "{error}");
                    assert!(error.to_string().contains("make a pool's base again"));
                }
            }
        }
    });
    assert_ne!(served, worker);
    assert_eq!(*tries.lock().unwrap_or_else(|it| it.into_inner()), 3);
    assert_stats_add_up(&pool);
    end(pool);
}

#[test]
fn a_reader_of_lines_that_panics_harms_nobody() {
    let builder = builder()
        .max(1)
        .stdout(|line| panic!("I cannot read {line}"));
    let pool = builder.build().unwrap();
    let first = bounded("a call", || print::call(&pool, "one".into()).blocking()).unwrap();
    let second = bounded("a call", || print::call(&pool, "two".into()).blocking()).unwrap();
    assert_eq!(first, second);
    assert_serves(&pool);
    end(pool);
}

#[test]
fn a_call_survives_its_runtime() {
    let pool = pool_of(1);
    for _ in 0..20 {
        let (reader, writer) = gate();
        let mut call = stay::call(&pool, reader);
        for _ in 0..3 {
            let poll_once = poll_fn(|context| {
                assert!(Pin::new(&mut call).poll(context).is_pending());
                Poll::Ready(())
            });
            // Gone after this, with all that was registered there.
            runtime().block_on(poll_once);
        }
        drop(writer);
        let pid = bounded("a call", || runtime().block_on(call)).unwrap();
        assert_eq!(pid, pid_of(&pool));

        let (reader, writer) = gate();
        let mut call = stay::call(&pool, reader);
        runtime().block_on(poll_fn(|context| {
            assert!(Pin::new(&mut call).poll(context).is_pending());
            Poll::Ready(())
        }));
        // Nobody polls it any more, and nobody is held up.
        let waits = whoami::call(&pool);
        drop(writer);
        assert_eq!(bounded("a call", || waits.blocking()).unwrap(), pid);
        assert_eq!(bounded("a call", || call.blocking()).unwrap(), pid);
    }
    assert_stats_add_up(&pool);
    end(pool);
}

#[test]
fn what_is_forgotten_holds_nobody_up() {
    let pool = pool_of(1);
    for n in 0..5 {
        std::mem::forget(square::call(&pool, n));
        std::mem::forget(pool.prepare());
    }
    let mut polled = whoami::call(&pool);
    let context = &mut std::task::Context::from_waker(std::task::Waker::noop());
    let _ = Pin::new(&mut polled).poll(context);
    std::mem::forget(polled);
    assert_serves(&pool);
    let map = square::map(&pool, 0..).blocking();
    std::mem::forget(map);
    let mut map = square::map(&pool, 0..).blocking();
    assert_eq!(bounded("a map", || map.next()).unwrap().unwrap(), 0);
    std::mem::forget(map);
    assert_serves(&pool);
    assert_eq!(pool.stats().died, 0);
    let pid = pid_of(&pool);
    std::mem::forget(bounded("a lease", || pool.lease().blocking()).unwrap());
    let error = square::call(&pool, 1).queue_timeout(Duration::ZERO);
    let error = bounded("a call", || error.blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    bounded("a shutdown", || pool.shutdown(Duration::MAX).blocking()).unwrap();
    assert!(has_ended(pid));
    assert_stats_add_up(&pool);
}

#[test]
fn a_pool_is_ended_twice_and_at_once() {
    for _ in 0..20 {
        let pool = pool_of(2);
        let (running, _gate) = entered(&pool);
        let starts = [square::call(&pool, 2), square::call(&pool, 3)];
        let drains = pool.shutdown(Duration::MAX);
        pool.kill();
        pool.kill();
        bounded("an end", || drains.blocking()).unwrap();
        pool.kill();
        let error = bounded("a call", || running.blocking()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        assert!(!error.never_entered());
        for call in starts {
            // Served before, or refused.
            if let Err(error) = bounded("a call", || call.blocking()) {
                assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
            }
        }
        assert_eq!(pool.stats().workers, 0);
        assert_stats_add_up(&pool);
    }
}
