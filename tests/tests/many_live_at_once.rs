//! Thousands of workers of one template live at the same time, whatever the soft
//! limit of descriptors that the program was started with, which they get back.

use std::io::{self, Read};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::{ExitCode, id};

use anyfork::{Process, blocking};
use anyfork_tests::resources::many;
use anyfork_tests::spares::until_settled;
use anyfork_tests::{Scene, alone, bounded, children, limits, set_soft_limit};

#[anyfork::early]
fn preload() {}

/// Ends when its caller closes the socket, with a code of its own.
#[anyfork::worker]
fn stay(mut socket: UnixStream, code: u8) -> io::Result<ExitCode> {
    io::copy(&mut socket, &mut io::sink())?;
    Ok(code.into())
}

/// This process's soft limit of descriptors for as long as this is there.
struct Soft(u64);

impl Soft {
    fn of(soft: u64) -> Soft {
        Soft(set_soft_limit(id(), libc::RLIMIT_NOFILE, soft).unwrap())
    }
}

impl Drop for Soft {
    fn drop(&mut self) {
        let _ = set_soft_limit(id(), libc::RLIMIT_NOFILE, self.0);
    }
}

/// What a program is often started with.
const USUAL: u64 = 1024;

/// A template that began with the soft limit `USUAL`, or with less, and what that
/// was.
fn template(spares: usize) -> (Process, [String; 2]) {
    let _soft = Soft::of(USUAL);
    let original = limits(id(), "Max open files");
    let launch = Process::new_exec().unwrap().prepare();
    let template = bounded("a template", || launch.blocking()).unwrap();
    let template = template.keep_warm(spares);
    until_settled(template.pid().unwrap(), spares, &[]);
    (template, original)
}

/// As many as have three descriptors each here, below the hard limit.
fn room_for(count: usize) -> usize {
    let [_, hard] = limits(id(), "Max open files");
    let room = hard.parse().map_or(usize::MAX, |hard: usize| hard / 3);
    count.min(room.saturating_sub(100))
}

/// So many live at once; all are there, and each tells its end.
fn live_at_once(count: usize, spares: usize) {
    let _alone = alone();
    let early = Scene::early();
    let count = room_for(count);
    let (template, original) = template(spares);
    let pid = template.pid().unwrap();
    let soft = Soft::of(u64::MAX);
    let start = |n: usize| {
        let launch = stay::run(template.fork(), n as u8).blocking();
        launch.unwrap_or_else(|error| panic!("the {n}th: {error}"))
    };
    let launched = bounded("launches", || (0..count).map(start).collect());
    let mut workers: Vec<blocking::Worker> = launched;
    for worker in &mut workers {
        assert!(worker.try_wait().unwrap().is_none());
    }
    let living = children(pid);
    assert!(workers.iter().all(|it| living.contains_key(&it.pid())));
    for worker in [&workers[0], &workers[count / 2], &workers[count - 1]] {
        assert_eq!(limits(worker.pid(), "Max open files"), original);
    }
    for worker in &workers {
        worker.socket.shutdown(Shutdown::Write).unwrap();
    }
    for (n, worker) in workers.iter_mut().enumerate() {
        let exit = bounded("an end", || worker.wait()).unwrap();
        assert_eq!(exit.code(), Some(i32::from(n as u8)), "the {n}th: {exit}");
        assert_eq!(worker.socket.read(&mut [0]).unwrap(), 0);
    }
    drop(workers);
    until_settled(pid, spares, &[]);
    drop((template, soft));
    early.must_return();
}

#[test]
fn five_hundred() {
    live_at_once(500, 0);
    live_at_once(500, 4);
}

#[test]
#[ignore = "takes long; ANYFORK_MANY is how many times as many"]
fn five_thousand() {
    live_at_once(many(5_000), 0);
    live_at_once(many(5_000), 4);
}
