//! A spare that has taken a request may load it for as long as it likes, be stopped, or be
//! killed on the way. Others are started meanwhile, and of the one that was killed its caller
//! learns just that.

use std::fs;
use std::time::Duration;

use anyfork::{Args, ErrorKind, Process};
use anyfork_tests::births::stop;
use anyfork_tests::spares::{idle, until_idle, until_settled, warm};
use anyfork_tests::tracing::Traced;
use anyfork_tests::{Scene, alone, bounded, held, hold, new, release, runtime, send_signal, until};

#[anyfork::early]
fn preload() {}

/// Number of bytes that take a while to load.
const MUCH: usize = 700 << 20;

/// Number of bytes that go through a memory file.
const SOME: usize = 1 << 20;

/// The most that a process has had in memory, in bytes (proc_pid_status(5)).
fn peak(pid: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mut lines = status.lines();
    let peak = lines.find_map(|it| it.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    peak.map_or(0, |kib| 1024 * kib.parse::<usize>().expect("a number"))
}

/// Others are started, and there is a spare for the next.
fn must_serve(template: &Process, pid: u32, busy: u32) {
    for _ in 0..3 {
        release(held(template.fork()));
    }
    // It is called a spare until it knows its name.
    until("there is another spare", || {
        idle(pid).iter().any(|it| *it != busy)
    });
    for _ in 0..3 {
        release(held(template.fork()));
    }
}

#[test]
fn one_that_loads_much_and_one_that_is_stopped_meanwhile() {
    let _alone = alone();
    let scene = Scene::early();
    for stopped in [false, true] {
        let (template, pid) = warm(new(), 1);
        let spare = until_idle(pid, 1)[0];
        let large = template.fork().send_arg(vec![0; MUCH]);
        let launch = hold::run(large, Args::new());
        until("it loads", || peak(spare) > MUCH / 10);
        if stopped {
            stop(spare);
        }
        must_serve(&template, pid, spare);
        send_signal(spare, libc::SIGCONT);
        let mut worker = bounded("a launch", || launch.blocking()).unwrap();
        assert_eq!(worker.pid(), spare);
        anyfork_tests::byte_of(&mut worker.socket);
        release(worker);
        until_settled(pid, 1, &[]);
        drop(template);
        scene.must_return();
    }
}

/// Between receiving the request and anything that its template could notice.
#[test]
fn one_that_stops_as_soon_as_it_has_received() {
    let _alone = alone();
    let scene = Scene::early();
    for size in [0, SOME] {
        let (template, pid) = warm(new(), 1);
        let spare = until_idle(pid, 1)[0];
        let Some(traced) = Traced::receiver(spare) else {
            return;
        };
        let launch = template.fork().send_arg(vec![0; size]).run("hold");
        traced.must_have_received();
        // The template forks in its place.
        for _ in 0..3 {
            release(held(template.fork()));
        }
        traced.let_go();
        let mut worker = bounded("a launch", || launch.blocking()).unwrap();
        assert_eq!(worker.pid(), spare);
        anyfork_tests::byte_of(&mut worker.socket);
        release(worker);
        until_settled(pid, 1, &[]);
        drop(template);
        scene.must_return();
    }
}

/// Stops itself while it prepares.
#[anyfork::init]
fn stops() {
    // SAFETY: stops this process.
    unsafe { libc::raise(libc::SIGSTOP) };
}

#[test]
fn one_whose_init_function_stops() {
    let _alone = alone();
    let scene = Scene::early();
    let (template, pid) = warm(new(), 1);
    let spare = until_idle(pid, 1)[0];
    let launch = template.fork().init("stops", anyfork::args![]).run("hold");
    until("it has stopped", || {
        anyfork_tests::stat(spare).is_some_and(|(state, _)| state == 'T')
    });
    must_serve(&template, pid, spare);
    drop(launch);
    until_settled(pid, 1, &[]);
    drop(template);
    scene.must_return();
}

/// Neither the caller nor the template knows what it has taken. The other spare is stopped in
/// the second round, so that the template has to be asked itself.
#[test]
fn one_that_is_killed_as_soon_as_it_has_received_is_told_as_killed() {
    let _alone = alone();
    let scene = Scene::early();
    for other_stopped in [false, true] {
        let (template, pid) = warm(new(), 2);
        let bystander = held(template.fork());
        let spares = until_idle(pid, 2);
        // The one that is not stopped takes the request.
        stop(spares[1]);
        let Some(traced) = Traced::receiver(spares[0]) else {
            send_signal(spares[1], libc::SIGCONT);
            return release(bystander);
        };
        let launch = hold::run(template.fork(), Args::new());
        traced.must_have_received();
        if !other_stopped {
            send_signal(spares[1], libc::SIGCONT);
        }
        traced.kill();
        let error = bounded("a launch", || launch.blocking()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Died, "{error}");
        assert!(error.to_string().contains("killed"), "{error}");
        release(held(template.fork()));
        if other_stopped {
            send_signal(spares[1], libc::SIGCONT);
        }
        until_settled(pid, 2, &[bystander.pid()]);
        release(bystander);
        drop(template);
        scene.must_return();
    }
}

/// Nobody answers why its request was lost: the template is stopped, too.
#[test]
fn one_that_is_killed_is_waited_for_within_the_limit() {
    let _alone = alone();
    let scene = Scene::early();
    for awaited in [false, true] {
        let (template, pid) = warm(new(), 1);
        let spare = until_idle(pid, 1)[0];
        let Some(traced) = Traced::receiver(spare) else {
            return;
        };
        let limited = template.fork().timeout(Duration::from_millis(200));
        let launch = hold::run(limited, Args::new());
        traced.must_have_received();
        stop(pid);
        traced.kill();
        let error = match awaited {
            false => bounded("a launch", || launch.blocking()).unwrap_err(),
            true => runtime().block_on(async { launch.await }).unwrap_err(),
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        send_signal(pid, libc::SIGCONT);
        release(held(template.fork()));
        until_settled(pid, 1, &[]);
        drop(template);
        scene.must_return();
    }
}
