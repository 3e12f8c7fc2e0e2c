//! Children whose monitor gives them back, or is killed, while their template has no room for
//! their descriptors live on. Their ends are told, and the template watches them again once
//! there is room.

use std::fs;
use std::net::Shutdown;

use anyfork::{ErrorKind, Process, blocking};
use anyfork_tests::births::kill_now;
use anyfork_tests::resources::{Limiter, give_up_root};
use anyfork_tests::spares::{until_settled, warm};
use anyfork_tests::{
    Scene, alone, bounded, children, descriptors, has_ended, held, release, stat, until,
};
use nix::sys::prctl;

/// The kernel exempts root from limits.
#[anyfork::early]
fn preload() -> Result<(), nix::Error> {
    give_up_root(54_323)?;
    prctl::set_dumpable(true)
}

/// Number of children: most are a monitor's, under a limit of so many descriptors.
const MANY: usize = 60;
const FEW_DESCRIPTORS: u64 = 128;

/// A template with many children, of whom a monitor has the first.
struct Crowd {
    template: Process,
    pid: u32,
    limiter: Limiter,
    workers: Vec<blocking::Worker>,
    /// The limit of before.
    limit: u64,
}

impl Crowd {
    fn new() -> Crowd {
        let (template, pid) = warm(Process::new().unwrap(), 0);
        let mut limiter = Limiter::of(template.fork());
        let limit = limiter.set(libc::RLIMIT_NOFILE, FEW_DESCRIPTORS);
        let workers = (0..MANY).map(|_| held(template.fork())).collect();
        let crowd = Crowd {
            template,
            pid,
            limiter,
            workers,
            limit,
        };
        until("there is a monitor", || crowd.monitor().is_some());
        crowd
    }

    fn monitor(&self) -> Option<u32> {
        children(self.pid).into_keys().find(|pid| {
            let title = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            title.starts_with(b"anyfork: monitor of ")
        })
    }

    /// Lets so many of the first go. Each is told.
    fn release_first(&mut self, count: usize) {
        for worker in self.workers.drain(..count) {
            must_be_told(worker);
        }
    }

    /// There is room, and all is watched, and told, as ever.
    fn must_be_well(mut self, scene: &Scene) {
        self.limiter.set(libc::RLIMIT_NOFILE, self.limit);
        until("all are watched", || {
            let open = descriptors(self.pid);
            let watched = open.values().filter(|it| it.ends_with("[pidfd]")).count();
            open.is_empty() || watched == self.workers.len() + 1
        });
        self.workers.drain(..).for_each(release);
        release(held(self.template.fork()));
        until_settled(self.pid, 0, &[self.limiter.pid()]);
        drop(self);
        scene.must_return();
    }
}

/// The kernel knows how it ended, or nobody (before Linux 6.15).
fn must_be_told(mut worker: blocking::Worker) {
    assert!(worker.try_wait().unwrap().is_none());
    worker.socket.shutdown(Shutdown::Write).unwrap();
    match bounded("an exit", || worker.wait()) {
        Ok(exit) => assert!(exit.success(), "{exit}"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Died, "{error}"),
    }
}

/// No room, or room for one more descriptor.
fn limits(crowd: &Crowd) -> [u64; 2] {
    let highest = descriptors(crowd.pid).into_keys().max().unwrap_or(0);
    [0, highest as u64 + 2]
}

#[test]
fn those_that_a_monitor_gives_back() {
    let _alone = alone();
    let scene = Scene::early();
    for which in [0, 1] {
        let mut crowd = Crowd::new();
        let limit = limits(&crowd)[which];
        crowd.limiter.set(libc::RLIMIT_NOFILE, limit);
        // The monitor has few left, and gives them back.
        crowd.release_first(45);
        until("the monitor is gone", || crowd.monitor().is_none());
        crowd.release_first(5);
        assert!(crowd.workers.iter().all(|it| !has_ended(it.pid())));
        crowd.must_be_well(&scene);
    }
}

#[test]
fn those_whose_monitor_is_killed() {
    let _alone = alone();
    let scene = Scene::early();
    for which in [0, 1] {
        let mut crowd = Crowd::new();
        let limit = limits(&crowd)[which];
        crowd.limiter.set(libc::RLIMIT_NOFILE, limit);
        let monitor = crowd.monitor().unwrap();
        kill_now(monitor);
        until("it is reaped", || stat(monitor).is_none());
        crowd.release_first(10);
        assert!(crowd.workers.iter().all(|it| !has_ended(it.pid())));
        // Too many for the template alone.
        crowd.release_first(35);
        crowd.must_be_well(&scene);
    }
}

/// A template does not wait for children that it cannot report.
#[test]
fn a_template_ends_without_those_that_are_lost() {
    let _alone = alone();
    let scene = Scene::early();
    let mut crowd = Crowd::new();
    crowd.limiter.set(libc::RLIMIT_NOFILE, 0);
    let monitor = crowd.monitor().unwrap();
    kill_now(monitor);
    until("it is reaped", || stat(monitor).is_none());
    let first = crowd.workers.remove(0);
    let Crowd {
        template,
        pid,
        limiter,
        workers,
        ..
    } = crowd;
    workers.into_iter().for_each(must_be_told);
    drop((template, limiter));
    until("the template is gone", || has_ended(pid));
    must_be_told(first);
    scene.must_return();
}
