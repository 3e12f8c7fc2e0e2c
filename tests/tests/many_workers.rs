//! Many workers, one after the other and at the same time, are each told as
//! they were, and leave their template as it was: no zombie, no descriptor, no
//! memory.

use std::io::{self, Read};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::{ExitCode, id};

use anyfork::{Process, blocking};
use anyfork_tests::resources::{assert_no_more, many, memory};
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

/// In KiB. It would not do for an allocation a worker.
const SLACK: u64 = 128;

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
    run(0..many(10_000) as u32);
    scene.must_return();
    assert_no_more(scene.template(), before, SLACK);
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
    assert_no_more(scene.template(), before, SLACK);
    set_soft_limit(id(), libc::RLIMIT_NOFILE, limit).unwrap();
}

/// So many, or as many as there may be descriptors for.
fn room_for(count: u32) -> u32 {
    let limit = set_soft_limit(id(), libc::RLIMIT_NOFILE, 8_192).unwrap();
    count.min(u32::try_from(limit / 4).unwrap_or(count).saturating_sub(20))
}
