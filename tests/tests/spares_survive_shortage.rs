//! Where there is no room for a spare, a template forks when it is asked to, or
//! says why it cannot; once there is room again, it has its spares again. What it
//! had to refuse leaves nothing in it.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::id;

use anyfork::{Args, ErrorKind, Process};
use anyfork_tests::births::stop;
use anyfork_tests::resources::{Limiter, give_up_root};
use anyfork_tests::spares::{idle, remembers, until_idle, until_settled, warm};
use anyfork_tests::{Scene, alone, bounded, children, descriptors, error_number, held, release};
use anyfork_tests::{pipe_with, send_signal, set_soft_limit, stat, text_of, try_held, until};
use nix::sys::prctl;

/// The kernel exempts root from limits: root's template gives its rights up, and
/// then only a process of its new user may change its limits.
#[anyfork::early]
fn preload() -> Result<(), nix::Error> {
    give_up_root(54_322)?;
    // Its workers look at themselves in `/proc`.
    prctl::set_dumpable(true)
}

/// A template of this test's own with so many spares, and a worker that can set
/// its limits when it can fork no more.
struct Limited {
    template: Process,
    pid: u32,
    limiter: Limiter,
}

impl Limited {
    fn new(spares: usize) -> Limited {
        let (template, pid) = warm(Process::new().unwrap(), spares);
        let limiter = Limiter::of(template.fork());
        until_idle(pid, spares);
        Limited {
            template,
            pid,
            limiter,
        }
    }

    /// Waits until it has so many spares, and one serves.
    fn must_be_well(&self, spares: usize) {
        let found = until_idle(self.pid, spares);
        let worker = held(self.template.fork());
        assert!(found.contains(&worker.pid()));
        release(worker);
        until_settled(self.pid, spares, &[self.limiter.pid()]);
    }
}

#[test]
fn a_template_that_may_not_fork_uses_what_it_has() {
    let _alone = alone();
    let scene = Scene::early();
    let mut limited = Limited::new(3);
    let before = limited.limiter.set(libc::RLIMIT_NPROC, 0);
    let workers: Vec<_> = (0..3).map(|_| held(limited.template.fork())).collect();
    for _ in 0..5 {
        let error = try_held(limited.template.fork()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ForkFailed, "{error}");
    }
    limited.limiter.set(libc::RLIMIT_NPROC, before);
    // Whatever happens next, it tries again.
    workers.into_iter().for_each(release);
    limited.must_be_well(3);
    drop(limited);
    scene.must_return();
}

#[test]
fn a_template_without_room_for_a_status_pipe_serves_on() {
    let _alone = alone();
    let scene = Scene::early();
    let mut limited = Limited::new(1);
    for _ in 0..5 {
        let before = limited.limiter.set(libc::RLIMIT_NOFILE, 0);
        // The spare has room; its template has none for what it tells.
        let mut worker = held(limited.template.fork());
        for _ in 0..2 {
            let error = try_held(limited.template.fork()).unwrap_err();
            assert_eq!(error_number(&error), Some(libc::EMFILE), "{error}");
        }
        limited.limiter.set(libc::RLIMIT_NOFILE, before);
        worker.socket.shutdown(std::net::Shutdown::Write).unwrap();
        // The kernel knows how it ended, or nobody (before Linux 6.15).
        match bounded("an end", || worker.wait()) {
            Ok(exit) => assert!(exit.success(), "{exit}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Died, "{error}"),
        }
        limited.must_be_well(1);
    }
    drop(limited);
    scene.must_return();
}

/// Spares keep the limit that they were forked under: those that have no room for a
/// request make room for others.
#[test]
fn spares_of_a_bad_moment_do_not_outlast_it() {
    let _alone = alone();
    let scene = Scene::early();
    let mut limited = Limited::new(0);
    let before = limited.limiter.set(libc::RLIMIT_NOFILE, 32);
    limited.template = limited.template.keep_warm(2);
    let poor = until_idle(limited.pid, 2);
    limited.limiter.set(libc::RLIMIT_NOFILE, before);
    let large = |process: Process| (0..40).fold(process, |it, _| it.send_fd(pipe_with("")));
    let mut refused = 0;
    until("no spare refuses", || {
        match try_held(large(limited.template.fork())) {
            Ok(worker) => {
                release(worker);
                !idle(limited.pid).iter().any(|it| poor.contains(it))
            }
            Err(error) => {
                assert_eq!(error_number(&error), Some(libc::EMFILE), "{error}");
                refused += 1;
                false
            }
        }
    });
    assert!(refused <= 2, "{refused}");
    limited.must_be_well(2);
    drop(limited);
    scene.must_return();
}

/// Tells whether a secret is in its memory, or in that of what it was forked from.
#[anyfork::worker]
fn search(mut socket: UnixStream, rest: Args) -> io::Result<()> {
    write!(socket, "{}", remembers(SECRET)?)?;
    drop(rest);
    Ok(())
}

const SECRET: &[u8; 16] = b"kqjzxwvkqjzxwvkr";

fn found(process: Process) -> bool {
    let text = text_of(search::run(process, Args::new()));
    text.parse().unwrap()
}

#[test]
fn what_was_refused_is_in_no_later_process() {
    let _alone = alone();
    let scene = Scene::early();
    let mut limited = Limited::new(0);
    let secret = SECRET.repeat(600);
    let mut refused = 0;
    for resource in [libc::RLIMIT_NOFILE, libc::RLIMIT_NPROC] {
        // There is room for nothing, or for what is needed to say no.
        for soft in (0..16).step_by(2) {
            let before = limited.limiter.set(resource, soft);
            let result = try_held(limited.template.fork().send_arg(&secret[..]));
            limited.limiter.set(resource, before);
            match result {
                Ok(worker) => release(worker),
                Err(_) => refused += 1,
            }
            assert!(!found(limited.template.fork()), "{resource} {soft}");
        }
    }
    assert!(refused > 2);
    limited.template = limited.template.keep_warm(2);
    until_idle(limited.pid, 2);
    assert!(!found(limited.template.fork()));
    // It would be found.
    assert!(found(limited.template.fork().send_arg(&secret[..])));
    drop(limited);
    scene.must_return();
}

/// The queue may be full of large requests when those that are too many are to
/// be told to end.
#[test]
fn a_full_queue_keeps_none_from_ending() {
    const SPARES: usize = 30;
    let _alone = alone();
    let scene = Scene::early();
    let (template, pid) = warm(Process::new().unwrap(), SPARES);
    let spares = until_idle(pid, SPARES);
    spares.iter().for_each(|&spare| stop(spare));
    stop(pid);
    let template = template.keep_warm(0);
    let mut launches = vec![template.fork().run("hold")];
    for size in [60, 60, 60, 60, 32, 16, 8, 4, 2, 1] {
        let large = vec![0; size * 1024];
        launches.push(template.fork().send_arg(large).run("hold"));
    }
    // It hears of the number, and takes the one request that is small.
    send_signal(spares[0], libc::SIGCONT);
    until("it has taken one", || !idle(pid).contains(&spares[0]));
    // Its template tells the others, of whom none can hear it yet.
    send_signal(pid, libc::SIGCONT);
    until("the template waits", || {
        stat(pid).is_some_and(|(state, _)| state == 'S')
    });
    for &spare in &spares[1..] {
        send_signal(spare, libc::SIGCONT);
    }
    let workers = launches.into_iter().map(|launch| launch.blocking());
    let workers: Vec<_> = bounded("launches", || workers.map(Result::unwrap).collect());
    let pids: Vec<_> = workers.iter().map(|it| it.pid()).collect();
    until_settled(pid, 0, &pids);
    for mut worker in workers {
        worker.socket.read_exact(&mut [0]).unwrap();
        release(worker);
    }
    drop(template);
    scene.must_return();
}

/// Then it holds them itself, and gives them into a monitor's hands later.
#[test]
fn a_template_that_may_not_fork_a_monitor_keeps_its_children() {
    let _alone = alone();
    let scene = Scene::early();
    // Three descriptors a worker here.
    let soft = set_soft_limit(id(), libc::RLIMIT_NOFILE, 2_048).unwrap();
    let mut limited = Limited::new(3);
    let mut workers: Vec<_> = (0..253).map(|_| held(limited.template.fork())).collect();
    until_idle(limited.pid, 3);
    let before = limited.limiter.set(libc::RLIMIT_NPROC, 0);
    // From the second on, these are too many.
    workers.extend((0..3).map(|_| held(limited.template.fork())));
    until("all are watched", || pidfds(limited.pid) == 257);
    assert_eq!(children(limited.pid).len(), 257);
    release(workers.remove(7));
    limited.limiter.set(libc::RLIMIT_NPROC, before);
    until("a monitor has them", || {
        workers.push(held(limited.template.fork()));
        pidfds(limited.pid) < 100
    });
    workers.into_iter().for_each(release);
    limited.must_be_well(3);
    drop(limited);
    set_soft_limit(id(), libc::RLIMIT_NOFILE, soft).unwrap();
    scene.must_return();
}

/// How many children a template watches itself.
fn pidfds(template: u32) -> usize {
    let links = descriptors(template).into_values();
    links.filter(|link| link.ends_with("[pidfd]")).count()
}
