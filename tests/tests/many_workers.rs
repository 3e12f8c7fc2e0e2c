//! Many workers, one after the other and at the same time, are each told as
//! they were, and leave their template as it was: no zombie, no descriptor, no
//! memory.

use std::io::{self, Read};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::{ExitCode, id};

use anyfork::{Process, blocking};
use anyfork_tests::{Scene, alone, bounded, set_soft_limit};

#[anyfork::early]
fn preload() {}

/// Ends at once, or when its caller closes the socket.
#[anyfork::worker]
fn end(mut socket: UnixStream, waits: bool, number: u32) -> io::Result<ExitCode> {
    if waits {
        io::copy(&mut socket, &mut io::sink())?;
    }
    Ok(code(number))
}

fn code(number: u32) -> ExitCode {
    ExitCode::from(expected(number) as u8)
}

/// The code of the `number`th worker: all codes come in turn.
fn expected(number: u32) -> i32 {
    (number % 256) as i32
}

fn started(process: Process, waits: bool, number: u32) -> blocking::Worker {
    let launch = end::run(process, waits, number);
    launch
        .blocking()
        .unwrap_or_else(|error| panic!("{number}: {error}"))
}

fn assert_reported(worker: &mut blocking::Worker, number: u32) {
    let exit = bounded("wait", || worker.wait()).unwrap();
    assert_eq!(exit.code(), Some(expected(number)), "{number}: {exit}");
}

/// How many of them: `usual`, or so many times more as the environment says.
fn many(usual: u32) -> u32 {
    let times = std::env::var("ANYFORK_MANY").ok();
    usual * times.map_or(1, |times| times.parse().expect("a number of times"))
}

/// What a process has in memory, and what of it is in no file, in KiB (proc(5)).
/// What only it has would be another measure, but that grows with what its
/// relatives write.
fn memory(pid: u32) -> [u64; 2] {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    ["Rss:", "Anonymous:"].map(|field| {
        let line = text.lines().find_map(|line| line.strip_prefix(field));
        let number = line.unwrap().trim().strip_suffix(" kB").unwrap();
        number.parse().unwrap()
    })
}

/// Asserts that a template has no more than it had. The kernel may have dropped
/// pages of files before, so these have some room; the rest would not do for an
/// allocation a worker.
fn assert_no_more(template: u32, before: [u64; 2]) {
    const SLACK: [u64; 2] = [1024, 128];
    let now = memory(template);
    let grew = (0..2).any(|it| now[it] > before[it] + SLACK[it]);
    assert!(!grew, "now {now:?}, before {before:?}");
}

#[test]
fn one_after_the_other() {
    let _alone = alone();
    let run = |numbers: std::ops::Range<u32>| {
        for number in numbers {
            assert_reported(&mut started(Process::new().unwrap(), false, number), number);
        }
    };
    // So many touch what a template touches at all.
    run(0..300);
    let scene = Scene::early();
    let before = memory(scene.template());
    run(0..many(10_000));
    scene.must_return();
    assert_no_more(scene.template(), before);
}

#[test]
fn at_the_same_time() {
    let _alone = alone();
    // Three descriptors a worker here, and up to two in the template.
    let limit = set_soft_limit(id(), libc::RLIMIT_NOFILE, 8_192).unwrap();
    let run = || {
        let count = room_for(500);
        let start = |number| started(Process::new().unwrap(), true, number);
        let mut workers: Vec<_> = (0..count).map(start).collect();
        // They are all there.
        for worker in &mut workers {
            assert!(worker.try_wait().unwrap().is_none());
        }
        for worker in &workers {
            worker.socket.shutdown(Shutdown::Write).unwrap();
        }
        for (worker, number) in workers.iter_mut().zip(0..count).rev() {
            assert_reported(worker, number);
            assert_eq!(worker.socket.read(&mut [0]).unwrap(), 0);
        }
    };
    run();
    let scene = Scene::early();
    let before = memory(scene.template());
    for _ in 0..many(3) {
        run();
    }
    scene.must_return();
    assert_no_more(scene.template(), before);
    set_soft_limit(id(), libc::RLIMIT_NOFILE, limit).unwrap();
}

/// So many, or as many as there may be descriptors for.
fn room_for(count: u32) -> u32 {
    let limit = set_soft_limit(id(), libc::RLIMIT_NOFILE, 8_192).unwrap();
    count.min(u32::try_from(limit / 4).unwrap_or(count).saturating_sub(20))
}
