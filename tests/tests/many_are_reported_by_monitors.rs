//! Hundreds of workers that live at once are each told as they were, and cost
//! their template next to no descriptors: monitors hold these. There are never many
//! monitors, none outlives its template, and one that is killed takes nobody with
//! it.

use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{ExitCode, id};

use anyfork::{ErrorKind, Exit, Process, Stdio, blocking};
use anyfork_tests::births::{end, kill_now, stop};
use anyfork_tests::spares::until_settled;
use anyfork_tests::{alone, bounded, children, descriptors, has_ended, held, release};
use anyfork_tests::{set_soft_limit, stat, until};

#[anyfork::early]
fn preload() {}

/// So many live at once: in the hands of two monitors, and the rest in their
/// template's.
const MANY: usize = 600;
const MONITORS: usize = 2;

/// Ends when its caller closes the socket, as its number says.
#[anyfork::worker]
fn stay(mut socket: UnixStream, number: usize) -> io::Result<ExitCode> {
    io::copy(&mut socket, &mut io::sink())?;
    match number % 4 {
        0 => {
            // SAFETY: ends this process, which is a worker.
            unsafe { libc::raise(signal(number)) };
        }
        1 if panics(number) => panic!("the {number}th panics"),
        2 => return Err(io::Error::other(format!("the {number}th fails"))),
        _ => {}
    }
    Ok(ExitCode::from((number % 256) as u8))
}

fn signal(number: usize) -> i32 {
    [libc::SIGKILL, libc::SIGTERM, 40][number / 4 % 3]
}

/// Not all that could: each takes the time to look where it is.
fn panics(number: usize) -> bool {
    number % 60 == 1
}

fn assert_reported(exit: &Exit, number: usize) {
    let failure = exit.failure().map(|it| it.message());
    let reported = (exit.code(), exit.signal(), failure);
    let expected = match number % 4 {
        0 => (None, Some(signal(number)), None),
        1 if panics(number) => (Some(101), None, Some(format!("the {number}th panics"))),
        2 => (Some(1), None, Some(format!("the {number}th fails"))),
        _ => (Some((number % 256) as i32), None, None),
    };
    let expected = (expected.0, expected.1, expected.2.as_deref());
    assert_eq!(reported, expected, "the {number}th: {exit}");
}

/// A template of a test's own, and its pid.
fn template(spares: usize) -> (Process, u32) {
    // Three descriptors a worker here.
    set_soft_limit(id(), libc::RLIMIT_NOFILE, 8_192).unwrap();
    let process = Process::new_exec().unwrap().stderr(Stdio::null());
    let launch = process.keep_warm(spares).prepare();
    let template = bounded("a template", || launch.blocking()).unwrap();
    let pid = template.pid().unwrap();
    until_watched(pid, spares);
    (template, pid)
}

/// Waits until a template has so many spares, and has seen to it that it learns of
/// their ends.
fn until_watched(template: u32, spares: usize) {
    until_settled(template, spares, &[]);
    until("the spares are watched", || {
        let links = descriptors(template).into_values();
        links.filter(|link| link.ends_with("[pidfd]")).count() == spares
    });
}

fn started(template: &Process, number: usize) -> blocking::Worker {
    let launch = stay::run(template.fork(), number).blocking();
    launch.unwrap_or_else(|error| panic!("the {number}th: {error}"))
}

/// As many of a template's as there are to be, each with its number.
fn many(template: &Process) -> Vec<(usize, blocking::Worker)> {
    bounded("launches", || {
        (0..MANY).map(|it| (it, started(template, it))).collect()
    })
}

/// Has workers end, and asserts that each is told as it was.
fn must_be_reported(workers: Vec<(usize, blocking::Worker)>) {
    for (_, worker) in &workers {
        worker.socket.shutdown(Shutdown::Write).unwrap();
    }
    for (number, mut worker) in workers {
        let exit = bounded("an end", || worker.wait()).unwrap();
        assert_reported(&exit, number);
        // Of those that were killed, only their template knows.
        assert!(exit.usage().peak_memory > 0, "the {number}th: {exit}");
    }
}

/// The same of those whose monitor was killed: of some, only the kernel knows, or
/// nobody (before Linux 6.15).
fn must_be_reported_or_lost(workers: Vec<(usize, blocking::Worker)>) {
    for (_, worker) in &workers {
        worker.socket.shutdown(Shutdown::Write).unwrap();
    }
    for (number, mut worker) in workers {
        match bounded("an end", || worker.wait()) {
            Ok(exit) => assert_reported(&exit, number),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Died, "{error}");
                assert_eq!(number % 4, 0, "{error}");
            }
        }
    }
}

/// The monitors among a template's children that have not ended.
fn monitors(template: u32) -> Vec<u32> {
    let alive = children(template)
        .into_iter()
        .filter(|(_, state)| *state != 'Z');
    let monitors = alive.map(|(pid, _)| pid).filter(|pid| {
        let title = fs::read(format!("/proc/{pid}/cmdline"));
        title.is_ok_and(|title| title.starts_with(b"anyfork: monitor of "))
    });
    monitors.collect()
}

/// Waits until so many monitors are there and called so.
fn until_monitored(template: u32, count: usize) -> Vec<u32> {
    let mut found = Vec::new();
    until(&format!("{count} monitors"), || {
        found = monitors(template);
        found.len() == count
    });
    found
}

/// Of what kinds a process's descriptors are, whatever their numbers.
fn held_by(pid: u32) -> Vec<String> {
    let links = descriptors(pid).into_values();
    let kind = |link: String| link.split(':').next().unwrap_or_default().to_owned();
    let mut all: Vec<_> = links.map(kind).collect();
    all.sort();
    all
}

fn must_hold(pid: u32, what: &[String]) {
    until(&format!("it holds {what:?}"), || held_by(pid) == what);
}

#[test]
fn each_is_reported_as_it_was() {
    let _alone = alone();
    for spares in [0, 4] {
        let (template, pid) = template(spares);
        let before = held_by(pid);
        let mut workers = many(&template);
        until_monitored(pid, MONITORS);
        let held = descriptors(pid).len();
        assert!(held < MANY / 2, "{held} descriptors");
        // All run, and the last has no more than the first.
        for (_, worker) in &mut workers {
            assert!(worker.try_wait().unwrap().is_none());
        }
        let [first, last] = [0, MANY - 1].map(|it| held_by(workers[it].1.pid()));
        assert_eq!(first, last);
        // One after the other, from the hands of each in turn.
        for step in [0, 100, 200, 300, 400, 500] {
            must_be_reported(workers.drain(step / 2..step / 2 + 10).collect());
        }
        // And all at once.
        must_be_reported(workers);
        until_settled(pid, spares, &[]);
        must_hold(pid, &before);
        drop(template);
        until("the template is gone", || has_ended(pid));
    }
}

#[test]
fn few_are_given_back() {
    let _alone = alone();
    let (template, pid) = template(0);
    let before = held_by(pid);
    for _ in 0..2 {
        let workers = many(&template);
        until_monitored(pid, MONITORS);
        let (few, workers) = workers.into_iter().partition(|(it, _)| it % 20 == 7);
        must_be_reported(workers);
        until_monitored(pid, 0);
        let few: Vec<_> = few;
        let pids: Vec<_> = few.iter().map(|(_, it)| it.pid()).collect();
        until_settled(pid, 0, &pids);
        release(held(template.fork()));
        must_be_reported(few);
        until_settled(pid, 0, &[]);
        must_hold(pid, &before);
    }
}

/// However long each lives, there are no more monitors than one for 64 of them.
#[test]
fn monitors_do_not_become_many() {
    let _alone = alone();
    let (template, pid) = template(0);
    let mut alive: Vec<(usize, blocking::Worker)> = Vec::new();
    for round in 0..3 {
        let numbers = round * MANY..(round + 1) * MANY;
        alive.extend(numbers.map(|it| (it, started(&template, it))));
        let (few, others) = alive.into_iter().partition(|(it, _)| it % 4 == 3);
        must_be_reported(others);
        alive = few;
        until("monitors with few have left", || {
            monitors(pid).len() <= alive.len() / 64
        });
    }
    must_be_reported(alive);
    until_settled(pid, 0, &[]);
}

/// Starts workers of a template that are to be killed, tells their pids, and
/// stays.
#[anyfork::worker]
fn call(mut socket: UnixStream, template: OwnedFd) -> io::Result<()> {
    set_soft_limit(id(), libc::RLIMIT_NOFILE, 8_192)?;
    let template = Process::from_fd(template).expect("a template");
    let workers = many(&template.kill_on_drop(true));
    for (_, worker) in &workers {
        socket.write_all(&worker.pid().to_le_bytes())?;
    }
    io::copy(&mut socket, &mut io::sink())?;
    Ok(())
}

#[test]
fn those_whose_caller_is_killed_are_killed() {
    let _alone = alone();
    let (template, pid) = template(0);
    let end = template.into_fd().unwrap();
    let launch = call::run(Process::new().unwrap(), end.try_clone().unwrap());
    let mut caller = bounded("a launch", || launch.blocking()).unwrap();
    let mut pids = vec![0; 4 * MANY];
    bounded("pids", || caller.socket.read_exact(&mut pids)).unwrap();
    let pids: Vec<_> = pids.chunks(4).collect();
    let pids = pids
        .iter()
        .map(|it| u32::from_le_bytes((*it).try_into().unwrap()));
    let monitors = until_monitored(pid, MONITORS);
    assert!(pids.clone().all(|it| !has_ended(it)));
    bounded("an end", || caller.kill()).unwrap();
    until_settled(pid, 0, &[]);
    assert!(pids.chain(monitors).all(has_ended));
    let template = Process::from_fd(end).unwrap();
    release(held(template));
}

#[test]
fn those_whose_handle_is_dropped_are_killed() {
    let _alone = alone();
    let (template, pid) = template(0);
    let template = template.kill_on_drop(true);
    let workers = many(&template);
    until_monitored(pid, MONITORS);
    let (dropped, others): (Vec<_>, Vec<_>) = workers.into_iter().partition(|(it, _)| it % 2 == 0);
    let pids: Vec<_> = dropped.iter().map(|(_, it)| it.pid()).collect();
    drop(dropped);
    until("they are gone", || {
        pids.iter().all(|it| stat(*it).is_none())
    });
    must_be_reported(others);
    until_settled(pid, 0, &[]);
}

#[test]
fn a_killed_monitor_takes_nobody_with_it() {
    let _alone = alone();
    let (template, pid) = template(0);
    let before = held_by(pid);
    for killed in [1, 2] {
        let workers = many(&template);
        let monitors = until_monitored(pid, MONITORS);
        for monitor in &monitors[..killed] {
            kill_now(*monitor);
        }
        until("no zombie is left", || {
            monitors[..killed].iter().all(|it| stat(*it).is_none())
        });
        assert!(workers.iter().all(|(_, it)| !has_ended(it.pid())));
        // Who was nobody's is somebody's again.
        release(held(template.fork()));
        until_monitored(pid, MONITORS);
        assert!(descriptors(pid).len() < MANY);
        must_be_reported_or_lost(workers);
        until_settled(pid, 0, &[]);
        must_hold(pid, &before);
    }
}

/// It takes its time, but nobody else's.
#[test]
fn a_stopped_monitor_holds_nobody_elses_up() {
    let _alone = alone();
    let (template, pid) = template(0);
    let workers = many(&template);
    let monitors = until_monitored(pid, MONITORS);
    stop(monitors[0]);
    let mut workers = workers.into_iter();
    let theirs: Vec<_> = workers.by_ref().take(MANY / 4).collect();
    // Those that the template watches itself.
    must_be_reported(workers.by_ref().rev().take(MANY / 10).collect());
    for _ in 0..10 {
        release(held(template.fork()));
    }
    end(monitors[0]);
    must_be_reported_or_lost(theirs);
    must_be_reported_or_lost(workers.collect());
    until_settled(pid, 0, &[]);
}

#[test]
fn monitors_go_with_their_template() {
    let _alone = alone();
    for killed in [true, false] {
        let (template, pid) = template(0);
        let mut workers = many(&template);
        let monitors = until_monitored(pid, MONITORS);
        if killed {
            end(pid);
            until("the monitors are gone", || {
                monitors.iter().all(|it| has_ended(*it))
            });
            assert!(workers.iter().all(|(_, it)| !has_ended(it.pid())));
            must_be_reported_or_lost(workers);
        } else {
            // Its workers need it still, and them.
            drop(template);
            let last = workers.split_off(MANY - 1);
            must_be_reported(workers);
            assert!(!has_ended(pid));
            must_be_reported(last);
            until("the template is gone", || has_ended(pid));
            assert!(monitors.iter().all(|it| stat(*it).is_none()));
        }
    }
}

/// Two for each would be far more than it may have.
#[test]
fn few_descriptors_do_for_many() {
    const FEW: u64 = 128;
    let _alone = alone();
    let (outer, _) = template(0);
    for spares in [0, 4] {
        let limited = outer.fork().rlimit(libc::RLIMIT_NOFILE, FEW, FEW);
        let launch = limited.keep_warm(spares).prepare();
        let template = bounded("a template", || launch.blocking()).unwrap();
        let pid = template.pid().unwrap();
        until_watched(pid, spares);
        let before = held_by(pid);
        let workers = many(&template);
        assert!(descriptors(pid).len() <= FEW as usize);
        let (few, workers) = workers.into_iter().partition(|(it, _)| it % 5 == 3);
        must_be_reported(workers);
        must_be_reported(few);
        until_settled(pid, spares, &[]);
        must_hold(pid, &before);
    }
}
