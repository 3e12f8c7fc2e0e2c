//! When a result is there its process is gone, also if the function has left threads or
//! processes behind; and the result does not wait for what they do.

use std::io::{self, PipeReader, Read};
use std::process::id;
use std::thread;
use std::time::{Duration, Instant};

use anyfork::Call;
use anyfork_tests::hostile::in_a_fork;
use anyfork_tests::{bounded, has_ended, new, runtime};

fn done<R>(call: Call<R>) -> R {
    bounded("a call", || call.blocking()).unwrap()
}

/// Leaves a thread that holds what a process flushes when it ends, and a process that
/// holds all that this one has.
#[anyfork::call]
fn leave(behind: PipeReader, thread: bool) -> u32 {
    let mut theirs = behind.try_clone().unwrap();
    in_a_fork(move || drop(theirs.read(&mut [0])));
    if thread {
        let (locked, is_locked) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let _lock = io::stdout().lock();
            locked.send(()).unwrap();
            let mut behind = behind;
            drop(behind.read(&mut [0]));
        });
        is_locked.recv().unwrap();
    }
    id()
}

#[test]
fn whatever_it_has_left_behind() {
    for thread in [false, true] {
        for awaited in [false, true] {
            let (reader, writer) = io::pipe().unwrap();
            let call = leave::call(new(), reader, thread);
            let pid = match awaited {
                false => done(call),
                true => bounded("a call", || runtime().block_on(call)).unwrap(),
            };
            assert!(has_ended(pid));
            drop(writer);
        }
    }
}

#[anyfork::call]
fn whoami() -> u32 {
    id()
}

/// The exit is an event: a hundred calls that waited for a timer would take seconds.
#[test]
fn without_a_timer() {
    let begun = Instant::now();
    for _ in 0..100 {
        assert!(has_ended(done(whoami::call(new()))));
    }
    // Far above what they take, and far below a hundred times the shortest timeout.
    assert!(
        begun.elapsed() < Duration::from_secs(19),
        "{:?}",
        begun.elapsed()
    );
}
