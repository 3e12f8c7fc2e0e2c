//! Calls are served by the workers of a pool, from any thread and any runtime, and give what
//! their functions return.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use anyfork::{Call, Pool};
use anyfork_tests::{bounded, poll_once, runtime, runtime_of_two, until};

use crate::{assert_stats_add_up, echo, end, entered, gate, pool_of, square, stay, whoami};

#[test]
fn results_come_back_in_the_order_of_the_calls() {
    let pool = pool_of(3);
    let calls: Vec<_> = (0..200).map(|n| square::call(&pool, n)).collect();
    for (n, call) in (0..).zip(calls) {
        assert_eq!(bounded("a call", || call.blocking()).unwrap(), n * n);
    }
    let stats = pool.stats();
    assert_eq!((stats.calls, stats.returned), (200, 200));
    assert!(stats.max_busy <= 3 && stats.started <= 3, "{stats:?}");
    assert!(stats.max_queued >= 190, "{stats:?}");
    end(pool);
}

#[test]
fn no_more_workers_than_allowed() {
    let pool = pool_of(2);
    let (reader, writer) = gate();
    let calls: Vec<_> = (0..5)
        .map(|_| stay::call(&pool, reader.try_clone().unwrap()))
        .collect();
    drop(reader);
    until("two are busy", || pool.stats().busy == 2);
    let stats = pool.stats();
    assert_eq!((stats.busy, stats.queued, stats.workers), (2, 3, 2));
    let workers = pool.workers();
    assert_eq!(workers.len(), 2);
    assert!(workers.iter().all(|it| it.function() == Some(stay::NAME)));
    drop(writer);
    let pids: HashSet<u32> = calls
        .into_iter()
        .map(|call| bounded("a call", || call.blocking()).unwrap())
        .collect();
    assert!(pids.len() <= 2);
    assert!(workers.iter().any(|it| pids.contains(&it.pid())));
    end(pool);
}

#[test]
fn calls_that_nobody_awaits_hold_nobody_up() {
    let pool = pool_of(1);
    let mut calls: Vec<_> = (0..20).map(|n| square::call(&pool, n)).collect();
    while let Some(call) = calls.pop() {
        let n = calls.len() as u64;
        assert_eq!(bounded("a call", || call.blocking()).unwrap(), n * n);
    }
    let mut calls: Vec<_> = (0..20).map(|n| square::call(&pool, n)).collect();
    runtime().block_on(async {
        while let Some(call) = calls.pop() {
            let n = calls.len() as u64;
            assert_eq!(call.await.unwrap(), n * n);
        }
    });
    end(pool);
}

#[test]
fn a_task_that_stops_polling_holds_nobody_up() {
    let pool = pool_of(1);
    bounded("calls", || {
        runtime().block_on(async {
            let mut first = square::call(&pool, 2);
            let polled = poll_once(Pin::new(&mut first));
            assert!(polled.is_pending() || pool.stats().returned == 1);
            assert_eq!(square::call(&pool, 3).await.unwrap(), 9);
        });
    });
    end(pool);
}

#[test]
fn tasks_and_threads_share_a_pool() {
    let pool = Arc::new(pool_of(2));
    bounded("calls", || {
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for n in 0..200 {
                        assert_eq!(square::call(&pool, n).blocking().unwrap(), n * n);
                    }
                });
                scope.spawn(|| {
                    runtime().block_on(async {
                        for n in 0..200 {
                            assert_eq!(square::call(&pool, n).await.unwrap(), n * n);
                        }
                    });
                });
            }
            let runtime = runtime_of_two();
            runtime.block_on(async {
                let tasks = (0..50).map(|task| {
                    let pool = Arc::clone(&pool);
                    tokio::spawn(async move {
                        for n in task..task + 20 {
                            assert_eq!(square::call(&pool, n).await.unwrap(), n * n);
                        }
                    })
                });
                for task in tasks.collect::<Vec<_>>() {
                    task.await.unwrap();
                }
            });
            assert_stats_add_up(&pool);
        });
    });
    let stats = pool.stats();
    assert_eq!((stats.calls, stats.returned), (1800, 1800));
    end(Arc::into_inner(pool).unwrap());
}

#[test]
fn a_static_pool_serves_one_runtime_after_the_other() {
    static POOL: LazyLock<Pool> = LazyLock::new(|| pool_of(2));
    bounded("runtimes", || {
        for n in 0..50 {
            runtime().block_on(async {
                let calls = (0..4).map(|_| square::call(&POOL, n));
                for call in calls.collect::<Vec<_>>() {
                    assert_eq!(call.await.unwrap(), n * n);
                }
            });
        }
    });
    POOL.shutdown(std::time::Duration::ZERO).blocking().unwrap();
}

#[test]
fn a_call_is_awaited_without_a_runtime() {
    let pool = pool_of(1);
    let calls = [square::call(&pool, 3), square::call(&pool, 4)];
    for (call, square) in calls.into_iter().zip([9, 16]) {
        assert_eq!(bounded("a call", || wait_for(call)).unwrap(), square);
    }
    end(pool);
}

/// Waits in this thread for a future of any kind.
fn wait_for<F: Future + Unpin>(mut future: F) -> F::Output {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match Pin::new(&mut future).poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn large_values_go_both_ways() {
    let pool = pool_of(2);
    let bytes = vec![5; 20 << 20];
    bounded("calls", || {
        let [one, two] = [(); 2].map(|()| echo::call(&pool, bytes.clone()));
        assert!(one.blocking().unwrap() == bytes);
        assert!(two.blocking().unwrap() == bytes);
        runtime().block_on(async {
            let [one, two] = [(); 2].map(|()| echo::call(&pool, bytes.clone()));
            assert!(two.await.unwrap() == bytes);
            assert!(one.await.unwrap() == bytes);
        });
    });
    end(pool);
}

#[test]
fn a_detached_call_goes_on() {
    let pool = pool_of(1);
    let (reader, writer) = gate();
    stay::call(&pool, reader).detach();
    let next = whoami::call(&pool);
    drop(writer);
    bounded("a call", || next.blocking()).unwrap();
    until("both are counted", || pool.stats().returned == 2);
    end(pool);
}

#[test]
fn a_call_tells_how_far_it_is() {
    let pool = pool_of(1);
    let (reader, writer) = gate();
    let call = stay::call(&pool, reader);
    assert!(!call.is_finished());
    until("it has a worker", || call.pid().is_some());
    drop(writer);
    until("it is finished", || call.is_finished());
    let pid = call.pid();
    assert_eq!(call.blocking().ok(), pid);
    end(pool);
}

#[test]
fn a_call_may_live_in_its_own_waker() {
    struct Task(Mutex<Option<Call<u32>>>);
    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }
    let pool = pool_of(1);
    let (running, writer) = entered(&pool);
    let task = Arc::new(Task(Mutex::new(None)));
    let mut call = whoami::call(&pool);
    let waker = Waker::from(Arc::clone(&task));
    let polled = Pin::new(&mut call).poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    *task.0.lock().unwrap() = Some(call);
    drop((task, waker));
    drop(writer);
    bounded("calls", || {
        running.blocking().unwrap();
        // Waking it drops it, when it has a worker or when it has its result.
        until("both have ended", || {
            let stats = pool.stats();
            stats.returned + stats.cancelled == 2
        });
        assert_eq!(square::call(&pool, 2).blocking().unwrap(), 4);
    });
    end(pool);
}

#[anyfork::call]
fn nested(depth: u32) -> u32 {
    let pool = pool_of(1);
    match depth {
        0 => 0,
        depth => 1 + nested::call(&pool, depth - 1).blocking().unwrap(),
    }
}

#[test]
fn workers_have_pools_of_their_own() {
    let pool = pool_of(1);
    assert_eq!(
        bounded("a call", || nested::call(&pool, 3).blocking()).unwrap(),
        3
    );
    end(pool);
}

#[anyfork::call]
fn fork_and_return() -> u32 {
    // SAFETY: this process has one thread.
    unsafe { libc::fork() };
    std::process::id()
}

#[test]
fn a_copy_of_a_worker_answers_nothing() {
    let pool = pool_of(1);
    let pid = bounded("a call", || whoami::call(&pool).blocking()).unwrap();
    for _ in 0..5 {
        let call = fork_and_return::call(&pool);
        assert_eq!(bounded("a call", || call.blocking()).unwrap(), pid);
    }
    assert_eq!(
        bounded("a call", || whoami::call(&pool).blocking()).unwrap(),
        pid
    );
    end(pool);
}
