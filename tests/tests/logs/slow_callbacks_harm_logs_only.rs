//! A callback that is slow has workers wait; one that hangs or panics costs lines only.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyfork::{ErrorKind, Pool};
use anyfork_tests::resources::memory;
use anyfork_tests::{alone, bounded, until};

use crate::{Log, end, process, until_no_thread_is_left};

/// Prints lines of 1,000 bytes.
#[anyfork::call]
fn flood(lines: u32) {
    let text = "x".repeat(999);
    for _ in 0..lines {
        println!("{text}");
    }
}

#[anyfork::call]
fn park() {
    std::thread::park();
}

#[anyfork::call]
fn die() {
    std::process::exit(3);
}

#[test]
fn a_callback_that_hangs_costs_lines_only() {
    let _alone = alone();
    const LINES: u32 = 20_000;
    let (gate, open) = std::sync::mpsc::channel::<()>();
    let open = Mutex::new(open);
    let (told, left_out) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let counted = (Arc::clone(&told), Arc::clone(&left_out));
    let pool = Pool::builder(process())
        .max(1)
        .stdout(move |line| {
            // Until the gate is dropped.
            let _ = open.lock().unwrap().recv();
            counted.0.fetch_add(1, Ordering::Relaxed);
            counted.1.fetch_add(line.left_out(), Ordering::Relaxed);
        })
        .build()
        .unwrap();
    let before = memory(std::process::id());
    for _ in 0..3 {
        bounded("a call", || flood::call(&pool, LINES).blocking()).unwrap();
    }
    // Of 60 MB.
    let grown = memory(std::process::id())[1].saturating_sub(before[1]);
    assert!(grown < 16 * 1024, "{grown} KiB");
    // Deaths and deadlines are seen.
    let error = bounded("a call", || die::call(&pool).blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Died);
    let late = park::call(&pool).timeout(Duration::from_millis(1));
    let error = bounded("a call", || late.blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    drop(gate);
    let all = || told.load(Ordering::Relaxed) + left_out.load(Ordering::Relaxed);
    until("all lines are told or counted", || {
        all() == 3 * u64::from(LINES)
    });
    assert!(left_out.load(Ordering::Relaxed) > 0);
    end(pool);
}

#[test]
fn a_callback_that_hangs_at_the_end_is_left() {
    let _alone = alone();
    let (gate, open) = std::sync::mpsc::channel::<()>();
    let open = Mutex::new(open);
    let pool = Pool::builder(process())
        .max(1)
        .stdout(move |_| assert!(open.lock().unwrap().recv().is_err()))
        .build()
        .unwrap();
    bounded("a call", || flood::call(&pool, 2).blocking()).unwrap();
    end(pool);
    drop(gate);
    until_no_thread_is_left();
}

#[test]
fn a_slow_callback_is_waited_for() {
    let _alone = alone();
    const LINES: u32 = 5_000;
    let log = Log::default();
    let slow = log.clone();
    let pool = Pool::builder(process())
        .max(1)
        .stdout(move |line| {
            std::thread::sleep(Duration::from_micros(50));
            slow.push("out", line);
        })
        .build()
        .unwrap();
    let call = flood::call(&pool, LINES);
    let id = call.id();
    bounded("a call", || call.blocking()).unwrap();
    end(pool);
    let lines = log.lines();
    assert_eq!(lines.len(), LINES as usize);
    assert!(
        lines
            .iter()
            .all(|it| it.1.left_out() == 0 && it.1.call() == Some(id))
    );
}

#[test]
fn a_panic_in_a_callback_costs_its_line() {
    let _alone = alone();
    let log = Log::default();
    let rest = log.clone();
    let is_first = AtomicBool::new(true);
    let pool = Pool::builder(process())
        .max(1)
        .stdout(move |line| {
            assert!(!is_first.swap(false, Ordering::Relaxed), "as asked");
            rest.push("out", line);
        })
        .build()
        .unwrap();
    bounded("a call", || flood::call(&pool, 3).blocking()).unwrap();
    // What a panic prints may take longer than the end waits.
    until("the other lines are told", || log.lines().len() == 2);
    end(pool);
}
