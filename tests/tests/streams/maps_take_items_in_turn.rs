//! A map takes its items when it is their turn, and gives each one result.

use std::fs::File;
use std::io::{PipeReader, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyfork::{ErrorKind, Pool};
use anyfork_tests::{bounded, has_ended, runtime, until};
use futures_core::Stream;

use crate::{end, gate, pool_of, process};

#[anyfork::call]
fn square(n: u64) -> u64 {
    n * n
}

#[anyfork::call]
fn add(a: u32, b: u32) -> u32 {
    a + b
}

#[anyfork::call]
fn whoami() -> u32 {
    std::process::id()
}

/// Each end is another one.
#[anyfork::call]
fn misbehave(n: u32) -> u32 {
    match n % 100 {
        13 => panic!("on purpose"),
        // SAFETY: takes a number.
        37 => unsafe { libc::raise(libc::SIGKILL) as u32 },
        61 => {
            anyfork::retire();
            n
        }
        _ => n,
    }
}

#[anyfork::call]
fn length(mut file: File) -> u64 {
    let mut text = Vec::new();
    file.read_to_end(&mut text).expect("a file");
    text.len() as u64
}

#[anyfork::call]
fn echo(bytes: Vec<u8>) -> Vec<u8> {
    bytes
}

/// Stays until the other end of the gate is closed.
#[anyfork::call]
fn stay(gate: Option<PipeReader>) -> u32 {
    if let Some(mut gate) = gate {
        gate.read_to_end(&mut Vec::new()).expect("a pipe");
    }
    std::process::id()
}

/// Items, and how many were taken.
fn counted(counter: &Arc<AtomicUsize>) -> impl Iterator<Item = u64> + use<> {
    let counter = Arc::clone(counter);
    (0..).inspect(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    })
}

#[test]
fn results_come_in_order() {
    let pool = pool_of(2);
    for chunk in [1, 7, 64] {
        let results = square::map(&pool, 0..1000).chunk(chunk).blocking();
        let results: Vec<u64> = bounded("a map", || results.map(Result::unwrap).collect());
        assert!(results.into_iter().eq((0..1000).map(|n| n * n)), "{chunk}");
    }
    let sums = add::map(&pool, [(1, 2), (3, 4)]).blocking();
    assert!(bounded("a map", || sums.map(Result::unwrap).eq([3, 7])));
    assert_eq!(
        bounded("a map", || whoami::map(&pool, [(), ()]).blocking().count()),
        2
    );
    let nothing: [u64; 0] = [];
    assert!(bounded("a map", || square::map(&pool, nothing).blocking().next()).is_none());
    end(pool);
}

#[test]
fn results_come_in_a_task() {
    let pool = pool_of(2);
    bounded("maps", || {
        runtime().block_on(async {
            for chunk in [1, 16] {
                let mut map = square::map(&pool, 0..500).chunk(chunk);
                let mut n = 0;
                while let Some(result) = map.next().await {
                    assert_eq!(result.unwrap(), n * n);
                    n += 1;
                }
                assert_eq!(n, 500);

                let mut map = square::map(&pool, 0..500).chunk(chunk).unordered();
                let mut seen = [false; 500];
                while let Some((n, result)) = map.next().await {
                    assert_eq!(result.unwrap(), (n * n) as u64);
                    assert!(!std::mem::replace(&mut seen[n], true));
                }
                assert!(seen.iter().all(|seen| *seen));
            }
            let mut stream = square::map(&pool, 0..3);
            let mut next = async || {
                std::future::poll_fn(|context| Pin::new(&mut stream).poll_next(context)).await
            };
            for n in 0..3 {
                assert_eq!(next().await.unwrap().unwrap(), n * n);
            }
            assert!(next().await.is_none());
        });
    });
    end(pool);
}

#[test]
fn results_come_as_they_are_there() {
    let pool = pool_of(2);
    let (reader, writer) = gate();
    let items = [Some(reader)].into_iter().chain((0..20).map(|_| None));
    let mut map = stay::map(&pool, items).unordered().blocking();
    let mut numbers: Vec<_> = bounded("all but the first", || {
        (0..20).map(|_| map.next().unwrap()).collect::<Vec<_>>()
    })
    .into_iter()
    .map(|(number, result)| result.map(|_| number).unwrap())
    .collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(1..21));
    drop(writer);
    assert_eq!(bounded("the first", || map.next()).unwrap().0, 0);
    assert!(bounded("the end", || map.next()).is_none());
    drop(map);
    for chunk in [1, 50] {
        let map = square::map(&pool, 0..1000)
            .chunk(chunk)
            .unordered()
            .blocking();
        let mut results: Vec<_> = bounded("a map", || map.collect());
        results.sort_unstable_by_key(|(number, _)| *number);
        for (n, (number, result)) in (0..).zip(results) {
            assert_eq!((number, result.unwrap()), (n as usize, n * n));
        }
    }
    end(pool);
}

/// Whoever looks for an answer that another thread has just read touches nothing of the
/// worker, which is idle then and about to get its next call.
#[test]
fn who_looks_too_late_disturbs_nobody() {
    let pool = pool_of(2);
    for in_flight in [1, 2, 3] {
        let results = square::map(&pool, 0..3000).in_flight(in_flight);
        let results = results.unordered().blocking();
        for (n, result) in bounded("a map", || results.collect::<Vec<_>>()) {
            assert_eq!(result.unwrap(), (n * n) as u64);
        }
    }
    assert_eq!(pool.stats().died, 0);
    end(pool);
}

#[test]
fn an_endless_iterator_is_taken_from_in_turn() {
    let pool = pool_of(2);
    for (in_flight, chunk, window) in [
        (None, None, 4),
        (None, Some(1), 4),
        (Some(7), Some(1), 7),
        (Some(64), None, 64),
        (None, Some(10), 40),
        (Some(3), Some(64), 3),
    ] {
        let taken = Arc::new(AtomicUsize::new(0));
        let mut map = square::map(&pool, counted(&taken));
        if let Some(items) = in_flight {
            map = map.in_flight(items);
        }
        if let Some(items) = chunk {
            map = map.chunk(items);
        }
        let mut results = map.blocking();
        assert_eq!(taken.load(Ordering::Relaxed), 0);
        for n in 0..100 {
            let result = bounded("a result", || results.next());
            assert_eq!(result.unwrap().unwrap(), n * n);
            let taken = taken.load(Ordering::Relaxed);
            assert!(
                taken <= n as usize + window,
                "{taken} for {n} results of {window}"
            );
        }
    }
    end(pool);
}

/// Each worker finds another message when it has answered one: so a message has at most 16
/// items. Fewer, where the machine is too busy to answer soon.
#[test]
fn a_message_has_its_share_of_the_items() {
    let pool = pool_of(2);
    let map = square::map(&pool, 0..5000).in_flight(64).blocking();
    let results: Vec<u64> = bounded("a map", || map.map(Result::unwrap).collect());
    assert!(results.into_iter().eq((0..5000).map(|n| n * n)));
    let messages = pool.stats().calls;
    assert!((5000 / 16..=5000).contains(&messages), "{messages}");
    end(pool);
}

#[test]
fn each_item_fails_alone() {
    let pool = pool_of(2);
    for chunk in [Some(1), Some(3), Some(64), None] {
        for is_ordered in [true, false] {
            let map = misbehave::map(&pool, 0..400);
            let map = match chunk {
                Some(chunk) => map.chunk(chunk),
                None => map.in_flight(100),
            };
            let mut results: Vec<_> = bounded("a map", || match is_ordered {
                true => (0..).zip(map.blocking()).collect(),
                false => map.unordered().blocking().collect(),
            });
            results.sort_unstable_by_key(|(number, _)| *number);
            assert_eq!(results.len(), 400);
            for (n, (number, result)) in results.into_iter().enumerate() {
                assert_eq!(n, number);
                match (n % 100, result) {
                    (13, Err(error)) => assert_eq!(error.kind(), ErrorKind::Panicked, "{error}"),
                    (37, Err(error)) => assert_eq!(error.kind(), ErrorKind::Died, "{error}"),
                    (_, result) => assert_eq!(result.unwrap(), n as u32),
                }
            }
        }
    }
    end(pool);
}

#[test]
fn items_with_descriptors_are_opened_in_turn() {
    let pool = pool_of(2);
    let files = (0..2000).map(|_| File::open("/proc/self/exe").unwrap().into());
    let files = files
        .map(|file: std::os::fd::OwnedFd| File::from(file))
        .take(60);
    let expected = std::fs::metadata("/proc/self/exe").unwrap().len();
    let lengths = length::map(&pool, files).chunk(16).in_flight(8).blocking();
    assert!(bounded("a map", || lengths
        .map(Result::unwrap)
        .all(|it| it == expected)));
    end(pool);
}

#[test]
fn large_items_cross_in_chunks() {
    let pool = pool_of(2);
    let items = || (0..50).map(|n| vec![n; 100_000 * usize::from(n % 3)]);
    let results = echo::map(&pool, items()).chunk(8).blocking();
    assert!(bounded("a map", || results.map(Result::unwrap).eq(items())));
    end(pool);
}

#[test]
fn a_map_that_is_dropped_leaves_its_workers() {
    let pool = pool_of(2);
    let (reader, _writer) = gate();
    let items = (0..10).map(|n| (n > 0).then(|| reader.try_clone().unwrap()));
    let mut map = stay::map(&pool, items).blocking();
    let first = bounded("a result", || map.next()).unwrap().unwrap();
    until("two are busy", || pool.stats().busy == 2);
    let pids: Vec<u32> = pool.workers().iter().map(|it| it.pid()).collect();
    assert!(pids.contains(&first));
    drop(map);
    until("all are gone", || pids.iter().all(|pid| has_ended(*pid)));
    assert_eq!(
        bounded("a call", || square::call(&pool, 3).blocking()).unwrap(),
        9
    );
    assert_eq!(pool.stats().queued, 0);
    end(pool);
}

#[test]
fn each_item_has_its_own_limit() {
    let pool = pool_of(2);
    let (reader, _writer) = gate();
    let items = (0..6).map(|n| (n == 2).then(|| reader.try_clone().unwrap()));
    let map = stay::map(&pool, items)
        .chunk(3)
        .timeout(Duration::from_millis(100));
    let results: Vec<_> = bounded("a map", || map.blocking().collect());
    let failed = |result: &anyfork::Result<u32>| result.as_ref().err().map(|it| it.kind());
    assert_eq!(failed(&results[2]), Some(ErrorKind::TimedOut));
    assert_eq!(results.iter().filter(|it| it.is_ok()).count(), 5);
    end(pool);
}

#[test]
fn a_pool_that_ends_ends_its_maps() {
    let pool = Pool::builder(process()).max(1).build().unwrap();
    let mut map = square::map(&pool, 0..10).chunk(2).blocking();
    assert_eq!(bounded("a result", || map.next()).unwrap().unwrap(), 0);
    bounded("a shutdown", || {
        pool.shutdown(Duration::from_secs(60)).blocking()
    })
    .unwrap();
    let results: Vec<_> = bounded("a map", || map.collect());
    assert_eq!(results.len(), 9);
    let error = results[8].as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    assert!(error.never_entered());
}
