//! A worker's whole life may be shorter than the way of the news that a spare has
//! become it: each is told as it was, none is lost, none stays a zombie, and the
//! template is the same after a hundred and after many thousands of them.

use std::os::unix::net::UnixStream;
use std::process::id;

use anyfork::{Exit, Process, blocking};
use anyfork_tests::resources::{assert_no_more, many, memory};
use anyfork_tests::spares::{until_idle, until_settled, warm};
use anyfork_tests::{Scene, alone, bounded, descriptors, set_soft_limit};

#[anyfork::early]
fn preload() {}

/// Ends at once, as its number says.
#[anyfork::worker]
fn end(_socket: UnixStream, number: usize) {
    let (code, signal) = expected(number);
    if let Some(signal) = signal {
        // SAFETY: takes a number.
        unsafe { libc::raise(signal) };
    }
    // SAFETY: has no preconditions.
    unsafe { libc::_exit(code.unwrap_or(0)) };
}

/// The code or the signal of the `number`th worker: all codes come in turn.
fn expected(number: usize) -> (Option<i32>, Option<i32>) {
    const SIGNALS: [i32; 4] = [libc::SIGKILL, libc::SIGTERM, libc::SIGUSR2, 40];
    match number % 4 {
        3 => (None, Some(SIGNALS[number / 4 % SIGNALS.len()])),
        _ => (Some((number % 256) as i32), None),
    }
}

fn assert_reported(exit: &Exit, number: usize) {
    let reported = (exit.code(), exit.signal());
    assert_eq!(reported, expected(number), "the {number}th: {exit}");
}

fn started(template: &Process, number: usize) -> blocking::Worker {
    let launch = end::run(template.fork(), number).blocking();
    launch.unwrap_or_else(|error| panic!("the {number}th: {error}"))
}

/// What must be the same in a template with so many spares.
struct Before {
    template: u32,
    spares: usize,
    descriptors: Vec<String>,
    memory: [u64; 2],
}

impl Before {
    fn of(template: u32, spares: usize) -> Before {
        until_settled(template, spares, &[]);
        Before {
            template,
            spares,
            descriptors: Before::descriptors(template),
            memory: memory(template),
        }
    }

    /// What they are, whatever their numbers.
    fn descriptors(template: u32) -> Vec<String> {
        let mut all: Vec<_> = descriptors(template).into_values().collect();
        all.sort();
        all
    }

    fn must_be_now(&self) {
        until_settled(self.template, self.spares, &[]);
        assert_eq!(Before::descriptors(self.template), self.descriptors);
        // It would not do for a byte a worker.
        assert_no_more(self.template, self.memory, 64);
    }
}

/// So many, one after the other and 200 at once.
fn short_lives(count: usize) {
    const AT_ONCE: usize = 200;
    const SPARES: usize = 4;
    let _alone = alone();
    let scene = Scene::early();
    let limit = set_soft_limit(id(), libc::RLIMIT_NOFILE, 4 * AT_ONCE as u64).unwrap();
    let (template, pid) = warm(Process::new().unwrap(), SPARES);
    let in_a_row = |numbers: std::ops::Range<usize>| {
        for number in numbers {
            let mut worker = started(&template, number);
            assert_reported(&bounded("an end", || worker.wait()).unwrap(), number);
        }
    };
    let at_once = |first: usize| {
        let numbers = first..first + AT_ONCE;
        let launches = numbers.clone().map(|it| end::run(template.fork(), it));
        let launches: Vec<_> = launches.collect();
        let mut workers = Vec::new();
        for launch in launches {
            workers.push(bounded("a launch", || launch.blocking()).unwrap());
        }
        for (number, worker) in numbers.zip(&mut workers) {
            assert_reported(&bounded("an end", || worker.wait()).unwrap(), number);
        }
    };
    in_a_row(0..100);
    at_once(0);
    let before = Before::of(pid, SPARES);
    in_a_row(0..count / 2);
    (0..count / 2).step_by(AT_ONCE).for_each(at_once);
    before.must_be_now();
    until_idle(pid, SPARES);
    set_soft_limit(id(), libc::RLIMIT_NOFILE, limit).unwrap();
    drop(template);
    scene.must_return();
}

#[test]
fn ten_thousand() {
    short_lives(10_000);
}

#[test]
#[ignore = "takes long; ANYFORK_MANY is how many times as long"]
fn a_hundred_thousand() {
    short_lives(many(100_000));
}
