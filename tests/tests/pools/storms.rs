//! Much happens at once, and no call is lost, repeated or told wrongly. `ANYFORK_MANY` times
//! as many calls are made where the environment says so.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyfork::{Error, ErrorKind, Pool};
use anyfork_tests::births::Folder;
use anyfork_tests::hostile::pidfd_of;
use anyfork_tests::random::Random;
use anyfork_tests::resources::many;
use anyfork_tests::{bounded, runtime, until};

use crate::{assert_stats_add_up, builder, end, pool_of, process, square};

/// Number of threads that call.
const CALLERS: usize = 4;

/// Appends its number to a file, and takes some time.
#[anyfork::call]
fn note(file: PathBuf, number: u64, micros: u64) -> u64 {
    let opened = OpenOptions::new().append(true).open(file);
    let line = format!("{number}\n");
    let written = opened.and_then(|mut it| it.write_all(line.as_bytes()));
    written.expect("the file is there");
    thread::sleep(Duration::from_micros(micros));
    number
}

/// Takes some time.
#[anyfork::call]
fn pause(number: u64, micros: u64) -> u64 {
    thread::sleep(Duration::from_micros(micros));
    number
}

/// Kills a worker of the pool: nobody else, also if its pid is another process's by now.
fn kill_any(pool: &Pool, random: &mut Random) {
    let workers = pool.workers();
    if workers.is_empty() {
        return;
    }
    let pid = random.of(&workers).pid();
    if fs::exists(format!("/proc/{pid}")).unwrap_or(false) {
        let Ok(pidfd) = std::panic::catch_unwind(|| pidfd_of(pid)) else {
            return;
        };
        if pool.workers().iter().any(|it| it.pid() == pid) {
            // SAFETY: takes numbers, and no information.
            unsafe {
                libc::syscall(
                    libc::SYS_pidfd_send_signal,
                    pidfd.as_raw_fd(),
                    libc::SIGKILL,
                    std::ptr::null::<u8>(),
                    0,
                )
            };
        }
    }
}

/// Makes calls of these numbers from several threads, and in tasks; gives what they gave.
fn from_all<R: Send>(count: usize, call: impl Fn(u64, &mut Random) -> R + Sync) -> Vec<(u64, R)> {
    let each = count.div_ceil(CALLERS) as u64;
    thread::scope(|scope| {
        let call = &call;
        let callers = (0..CALLERS as u64).map(|caller| {
            scope.spawn(move || {
                let mut random = Random::new(caller + 1);
                let numbers = caller * each..(caller + 1) * each;
                numbers.map(|it| (it, call(it, &mut random))).collect()
            })
        });
        let callers: Vec<thread::ScopedJoinHandle<'_, Vec<_>>> = callers.collect();
        callers
            .into_iter()
            .flat_map(|it| it.join().unwrap())
            .collect()
    })
}

#[test]
fn workers_that_are_killed_at_random_cost_what_they_had_entered() {
    let folder = Folder::new(env!("CARGO_TARGET_TMPDIR"), "storm");
    let file = folder.join("numbers");
    fs::write(&file, "").unwrap();
    let pool = pool_of(3);
    let (is_over, ended) = (AtomicBool::new(false), AtomicUsize::new(0));
    let results: Vec<(u64, Result<u64, Error>)> = bounded("calls", || {
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut random = Random::new(7);
                let mut next = 0;
                while !is_over.load(Ordering::Relaxed) {
                    if ended.load(Ordering::Relaxed) >= next {
                        kill_any(&pool, &mut random);
                        next = ended.load(Ordering::Relaxed) + random.below(6);
                    }
                    thread::sleep(Duration::from_micros(random.below(500) as u64));
                }
            });
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    assert_stats_add_up(&pool);
                    thread::sleep(Duration::from_micros(100));
                }
            });
            let results = from_all(many(800), |number, random| {
                let call = note::call(&pool, file.clone(), number, random.below(1000) as u64);
                let result = match number % 2 {
                    0 => call.blocking(),
                    _ => runtime().block_on(call),
                };
                ended.fetch_add(1, Ordering::Relaxed);
                result
            });
            is_over.store(true, Ordering::Relaxed);
            results
        })
    });
    let text = fs::read_to_string(&file).unwrap();
    let entered: Vec<u64> = text.lines().map(|it| it.parse().unwrap()).collect();
    let once: BTreeSet<u64> = entered.iter().copied().collect();
    assert_eq!(entered.len(), once.len(), "no call is made twice");
    let (mut returned, mut died) = (0, 0);
    for (number, result) in &results {
        match result {
            Ok(told) => {
                returned += 1;
                assert!(told == number && once.contains(number));
            }
            Err(error) if error.never_entered() => assert!(!once.contains(number), "{error}"),
            Err(error) => {
                died += 1;
                assert_eq!(error.kind(), ErrorKind::Died, "{error}");
                let signal = error.exit().and_then(|it| it.signal());
                assert_eq!(signal, Some(libc::SIGKILL), "{error}");
            }
        }
    }
    assert!(died > 0 && returned > 0, "{died} {returned}");
    let stats = pool.stats();
    assert_eq!(
        (stats.calls, stats.returned),
        (results.len() as u64, returned)
    );
    assert!(stats.died >= died, "{stats:?}");
    assert_stats_add_up(&pool);
    end(pool);
}

#[test]
fn a_deadline_that_fires_as_the_answer_comes_kills_no_other_call() {
    let pool = pool_of(3);
    let limit = Duration::from_millis(1);
    let results = bounded("calls", || {
        from_all(2 * many(600), |number, random| {
            let call = pause::call(&pool, number, random.below(2000) as u64);
            let call = match number % 2 {
                0 => call,
                _ => call.timeout(limit),
            };
            match number % 4 < 2 {
                true => call.blocking(),
                false => runtime().block_on(call),
            }
        })
    });
    let mut timed_out = 0;
    for (number, result) in &results {
        match result {
            Ok(told) => assert_eq!(told, number),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
                assert_eq!(number % 2, 1, "it had no deadline: {error}");
                timed_out += 1;
            }
        }
    }
    let stats = pool.stats();
    assert_eq!((stats.timed_out, stats.died), (timed_out, 0), "{stats:?}");
    assert!(timed_out > 0 && stats.returned == results.len() as u64 - timed_out);
    end(pool);
}

#[test]
fn calls_whose_idle_workers_were_all_killed_feel_nothing() {
    let pool = builder().max(3).idle(2).build().unwrap();
    bounded("workers", || pool.prepare().blocking()).unwrap();
    for n in 0..many(100) as u64 {
        for worker in pool.workers() {
            // Idle since the last call, and so not reaped by anybody.
            crate::kill(worker.pid());
        }
        let calls = [(); 3].map(|()| square::call(&pool, n));
        for (place, call) in calls.into_iter().enumerate() {
            let result = bounded("a call", || match place {
                0 => call.blocking(),
                _ => runtime().block_on(call),
            });
            assert_eq!(result.unwrap(), n * n);
        }
    }
    let stats = pool.stats();
    assert_eq!((stats.returned, stats.died), (stats.calls, 0), "{stats:?}");
    end(pool);
}

#[test]
fn no_call_is_lost_where_each_has_a_worker_of_its_own() {
    let pool = builder().max(3).retire_after(1).build().unwrap();
    let results = bounded("calls", || {
        from_all(many(600), |number, _| {
            let call = pause::call(&pool, number, 0);
            match number % 2 {
                0 => call.blocking(),
                _ => runtime().block_on(call),
            }
        })
    });
    for (number, result) in &results {
        assert_eq!(result.as_ref().unwrap(), number);
    }
    let (stats, count) = (pool.stats(), results.len() as u64);
    assert_eq!((stats.returned, stats.died), (count, 0), "{stats:?}");
    assert!(stats.started >= count, "{stats:?}");
    end(pool);
}

/// Notes each try, and fails as long as there is a file of that name.
#[anyfork::init]
fn fail_beside(broken: PathBuf, tries: PathBuf) -> Result<(), String> {
    let opened = OpenOptions::new().create(true).append(true).open(tries);
    let noted = opened.and_then(|mut it| it.write_all(b"!"));
    noted.map_err(|error| error.to_string())?;
    match broken.exists() {
        true => Err("no entropy".to_owned()),
        false => Ok(()),
    }
}

#[test]
fn a_failing_init_is_tried_more_and_more_rarely_and_heals() {
    let folder = Folder::new(env!("CARGO_TARGET_TMPDIR"), "fails");
    let (broken, tried) = (folder.join("broken"), folder.join("tries"));
    fs::write(&broken, "").unwrap();
    let begun = Instant::now();
    let pool = Pool::builder(process())
        .max(1)
        .idle(1)
        .init(
            fail_beside::NAME,
            anyfork::args![broken.clone(), tried.clone()],
        )
        .build()
        .unwrap();
    let tries = || fs::metadata(&tried).map_or(0, |it| it.len() as i32);
    // Calls fail at once, and bring no more tries.
    until("it was tried often", || {
        let error = square::call(&pool, 2).blocking().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InitFailed, "{error}");
        assert!(error.never_entered());
        // The first five come at once, and each interval is twice the last one.
        let least = 0.1 * (f64::from(tries() - 5).exp2() - 1.0);
        assert!(begun.elapsed().as_secs_f64() >= least, "{} tries", tries());
        tries() >= 8
    });
    fs::remove_file(&broken).unwrap();
    until("it heals by itself", || pool.stats().idle == 1);
    let call = square::call(&pool, 2);
    assert_eq!(bounded("a call", || call.blocking()).unwrap(), 4);
    end(pool);
}
