//! Whatever happens to calls and workers, each call ends once, and nothing is left.

use std::time::Duration;

use anyfork::ErrorKind;
use anyfork_tests::bounded;

use crate::{assert_stats_add_up, builder};

#[anyfork::call]
async fn nap(micros: u64) -> u64 {
    tokio::time::sleep(Duration::from_micros(micros)).await;
    micros
}

#[anyfork::call]
fn doze(micros: u64) -> u64 {
    std::thread::sleep(Duration::from_micros(micros));
    micros
}

/// A generator that needs no crate (xorshift64).
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn each_call_ends_once() {
    let pool = builder().max(3).load(4).concurrency(8).build().unwrap();
    let pool = &pool;
    let storm = |seed: u64| {
        let mut state = seed;
        for _ in 0..150 {
            let micros = random(&mut state) % 3000;
            let call = match random(&mut state) % 3 {
                0 => doze::call(pool, micros),
                _ => nap::call(pool, micros),
            };
            let limit = Duration::from_micros(random(&mut state) % 4000 + 1);
            let result = match random(&mut state) % 8 {
                0 => continue,
                1 => call.timeout(limit).blocking(),
                2 => call.queue_timeout(limit).blocking(),
                3 => {
                    call.detach();
                    continue;
                }
                4 => {
                    let workers = pool.workers();
                    if let Some(worker) = workers.first().filter(|_| micros < 200) {
                        // It may be gone already.
                        // SAFETY: takes two numbers.
                        unsafe { libc::kill(worker.pid() as i32, libc::SIGKILL) };
                    }
                    call.blocking()
                }
                _ => call.blocking(),
            };
            match result {
                Ok(answer) => assert_eq!(answer, micros),
                Err(error) => {
                    let kinds = [ErrorKind::Died, ErrorKind::TimedOut];
                    assert!(kinds.contains(&error.kind()), "{error}");
                }
            }
            assert_stats_add_up(pool);
        }
    };
    bounded("a storm", || {
        std::thread::scope(|scope| {
            for seed in 1..=6 {
                scope.spawn(move || storm(seed * 0x9e37_79b9));
            }
        });
    });
    let ended = pool.shutdown(Duration::from_secs(60));
    bounded("a shutdown", || ended.blocking()).unwrap();
    let stats = pool.stats();
    assert_eq!(
        (stats.busy, stats.queued, stats.workers),
        (0, 0, 0),
        "{stats:?}"
    );
    assert_eq!(stats.calls, 900);
}
