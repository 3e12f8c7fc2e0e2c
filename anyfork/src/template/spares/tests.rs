//! When the next spare is forked.
//! RUNS IN: template

use std::time::{Duration, Instant};

use crate::template::spares::{QUIET, START, SparePool, Starts};

#[test]
fn failed_starts_lengthen_the_backoff() {
    let (mut starts, mut now) = (Starts::default(), Instant::now());
    let mut delays = Vec::new();
    for pid in 1..=9 {
        starts.add(pid, now);
        assert_eq!(starts.backoff.remaining(now), Duration::ZERO);
        now += Duration::from_millis(1);
        starts.on_exited(pid, now);
        delays.push(starts.backoff.remaining(now).as_millis());
        now += starts.backoff.remaining(now);
    }
    assert_eq!(delays, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    // A spare that lives longer resets it, however it exits.
    starts.add(10, now);
    now += START;
    starts.on_exited(10, now);
    assert_eq!(starts.backoff.remaining(now), Duration::ZERO);
    starts.add(11, now);
    starts.on_exited(11, now);
    assert_eq!(starts.backoff.remaining(now), Duration::from_millis(10));
    starts.reset();
    assert_eq!(starts.backoff.remaining(now), Duration::ZERO);
}

#[test]
fn spares_are_refilled_in_a_pause_or_at_once_below_half() {
    const SOON: Duration = Duration::from_millis(1);
    let now = Instant::now();
    for (target, at_once, later) in [
        (1, &[0][..], &[][..]),
        (2, &[0], &[1]),
        (4, &[0, 1], &[2, 3]),
        (5, &[0, 1, 2], &[3, 4]),
    ] {
        let mut pool = SparePool::new(target);
        let delay = |pool: &SparePool, spares: &[usize], now| -> Vec<Duration> {
            spares.iter().map(|it| pool.delay(*it, now)).collect()
        };
        // Before the first event nobody needs the processors.
        assert_eq!(delay(&pool, later, now), vec![Duration::ZERO; later.len()]);
        for event in [now, now + SOON] {
            pool.on_event(event);
            assert_eq!(
                delay(&pool, at_once, event),
                vec![Duration::ZERO; at_once.len()]
            );
            assert_eq!(delay(&pool, later, event), vec![QUIET; later.len()]);
            let soon = event + SOON;
            assert_eq!(delay(&pool, later, soon), vec![QUIET - SOON; later.len()]);
        }
        let quiet = now + SOON + QUIET;
        assert_eq!(
            delay(&pool, later, quiet),
            vec![Duration::ZERO; later.len()]
        );
    }
}

#[test]
fn a_refill_waits_for_the_backoff() {
    let (mut pool, now) = (SparePool::new(4), Instant::now());
    pool.starts.add(1, now);
    pool.starts.on_exited(1, now);
    pool.on_event(now);
    let backoff = Duration::from_millis(10);
    assert_eq!([0, 3].map(|it| pool.delay(it, now)), [backoff; 2]);
}

#[test]
fn the_exit_of_an_old_spare_is_no_failed_start() {
    let (mut starts, now) = (Starts::default(), Instant::now());
    starts.on_exited(1, now);
    assert_eq!(starts.backoff.remaining(now), Duration::ZERO);
}
