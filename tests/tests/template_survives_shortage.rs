//! A template that cannot fork, that has no room for a descriptor, or that has
//! been killed is an error of its kind, in bounded time; once there is room
//! again it serves again.

use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::process::id;

use anyfork::{Error, ErrorKind, Process};
use anyfork_tests::births::stop;
use anyfork_tests::resources::{Limiter, give_up_root};
use anyfork_tests::{
    Scene, alone, bounded, children, descriptors, error_number, has_ended, held, pipe_with, release,
};
use anyfork_tests::{send_signal, set_soft_limit, stat, template_of, try_held, until};

/// The kernel exempts root from limits: root's template gives its rights up,
/// and then only a process of its new user may change its limits.
#[anyfork::early]
fn preload() -> Result<(), nix::Error> {
    give_up_root(54_321)
}

fn launch(process: Process) -> Result<(), Error> {
    try_held(process).map(release)
}

/// A template of this test's own, so that others still have theirs.
fn template() -> (Process, u32) {
    let template = Process::new().unwrap().send_arg("t");
    let worker = held(template.fork());
    let pid = template_of(&worker);
    release(worker);
    (template, pid)
}

#[test]
fn a_refused_fork_is_an_error() {
    let _alone = alone();
    let mut limiter = Limiter::of(Process::new().unwrap());
    let scene = Scene::early();
    let before = limiter.set(libc::RLIMIT_NPROC, 0);
    for _ in 0..20 {
        let process = Process::new().unwrap().send_fd(pipe_with(""));
        let error = launch(process).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ForkFailed, "{error}");
        assert_eq!(error_number(&error), Some(libc::EAGAIN));
    }
    // A template that cannot be forked off: its children's launches say why.
    let nested = Process::new().unwrap().send_arg("x");
    for _ in 0..2 {
        let error = launch(nested.fork()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ForkFailed, "{error}");
    }
    drop(nested);
    limiter.set(libc::RLIMIT_NPROC, before);
    launch(Process::new().unwrap()).unwrap();
    scene.must_return();
}

/// Whatever the limit, a launch succeeds or fails; none hangs, and the template
/// stays.
#[test]
fn a_template_with_a_full_descriptor_table_answers() {
    let _alone = alone();
    let mut limiter = Limiter::of(Process::new().unwrap());
    let scene = Scene::early();
    let open = descriptors(scene.template());
    let highest = *open.keys().max().unwrap() as u64;
    let mut seen = [false; 2];
    for limit in 0..highest + 16 {
        let before = limiter.set(libc::RLIMIT_NOFILE, limit);
        let result = Process::new()
            .map(|process| process.send_fds([pipe_with("a"), pipe_with("b")]))
            .and_then(launch);
        limiter.set(libc::RLIMIT_NOFILE, before);
        seen[usize::from(result.is_ok())] = true;
        if let Err(error) = result {
            let all = format!("limit {limit}, {open:?}: {error}");
            assert_eq!(error.kind(), ErrorKind::Io, "{all}");
            assert_eq!(error_number(&error), Some(libc::EMFILE), "{all}");
        }
        launch(Process::new().unwrap()).unwrap();
        scene.must_return();
    }
    assert_eq!(seen, [true; 2]);
}

/// The template has two descriptors a child, if they are not worth a monitor: it
/// stops before nobody can be told any more, and goes on when children have ended.
#[test]
fn a_template_with_too_many_children_answers() {
    let _alone = alone();
    let early = Scene::early();
    let (template, pid) = template();
    let mut limiter = Limiter::of(template.fork());
    let scene = Scene::settled(pid);
    let before = limiter.set(libc::RLIMIT_NOFILE, 64);
    let mut workers = Vec::new();
    let error = loop {
        match try_held(template.fork()) {
            Ok(worker) => workers.push(worker),
            Err(error) => break error,
        }
        assert!(workers.len() < 64);
    };
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    assert_eq!(error_number(&error), Some(libc::EMFILE), "{error}");
    assert!(workers.len() > 10, "{}", workers.len());
    drop(workers);
    scene.must_return();
    launch(template.fork()).unwrap();
    limiter.set(libc::RLIMIT_NOFILE, before);
    let pipes: Vec<OwnedFd> = (0..300).map(|_| pipe_with("")).collect();
    launch(template.fork().send_fds(pipes)).unwrap();
    scene.must_return();
    drop((limiter, template));
    early.must_return();
}

/// Nor has it for what a monitor gives back.
#[test]
fn a_template_without_room_for_what_was_kept_serves_on() {
    let _alone = alone();
    let early = Scene::early();
    // Three descriptors a worker here.
    let soft = set_soft_limit(id(), libc::RLIMIT_NOFILE, 2_048).unwrap();
    let (template, pid) = template();
    let mut limiter = Limiter::of(template.fork());
    until("only the limiter is watched", || {
        let links = descriptors(pid).into_values();
        links.filter(|link| link.ends_with("[pidfd]")).count() == 1
    });
    let held_before = descriptors(pid).len();
    let mut workers: Vec<_> = (0..300).map(|_| held(template.fork())).collect();
    let before = limiter.set(libc::RLIMIT_NOFILE, 0);
    for mut worker in workers.drain(..100) {
        worker.socket.shutdown(Shutdown::Write).unwrap();
        // The kernel knows how it ended, or nobody (before Linux 6.15).
        match bounded("an end", || worker.wait()) {
            Ok(exit) => assert!(exit.success(), "{exit}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Died, "{error}"),
        }
        until("it is no zombie", || stat(worker.pid()).is_none());
    }
    limiter.set(libc::RLIMIT_NOFILE, before);
    workers.into_iter().for_each(release);
    launch(template.fork()).unwrap();
    // The limiter was a monitor's, too, and has come back under other numbers.
    until("nothing is left", || {
        let left: Vec<_> = children(pid).into_keys().collect();
        left == [limiter.pid()] && descriptors(pid).len() == held_before
    });
    drop((limiter, template));
    set_soft_limit(id(), libc::RLIMIT_NOFILE, soft).unwrap();
    early.must_return();
}

/// The kernel takes no more descriptors of a user's on their way than a process may
/// have: monitors wait until there are less, and not for ever.
#[test]
fn all_exits_at_once_are_reported_where_descriptors_are_few() {
    const FEW: u64 = 128;
    let _alone = alone();
    let early = Scene::early();
    // Three descriptors a worker here.
    let soft = set_soft_limit(id(), libc::RLIMIT_NOFILE, 2_048).unwrap();
    let limited = Process::new().unwrap();
    let template = limited.rlimit(libc::RLIMIT_NOFILE, FEW, FEW);
    let workers: Vec<_> = (0..400).map(|_| held(template.fork())).collect();
    let pid = template_of(&workers[0]);
    stop(pid);
    for worker in &workers {
        send_signal(worker.pid(), libc::SIGKILL);
    }
    until("all have ended", || {
        workers.iter().all(|it| has_ended(it.pid()))
    });
    send_signal(pid, libc::SIGCONT);
    for mut worker in workers {
        match bounded("an end", || worker.wait()) {
            Ok(exit) => assert_eq!(exit.signal(), Some(libc::SIGKILL)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Died, "{error}"),
        }
    }
    until("nothing is left", || children(pid).is_empty());
    launch(template.fork()).unwrap();
    drop(template);
    set_soft_limit(id(), libc::RLIMIT_NOFILE, soft).unwrap();
    early.must_return();
}

/// Those that are forked in advance take descriptors of the template, too.
#[test]
fn a_template_with_spares_and_too_many_children_answers() {
    let _alone = alone();
    for soft in 30..36 {
        let template = Process::new()
            .unwrap()
            .rlimit(libc::RLIMIT_NOFILE, soft, soft)
            .keep_warm(1);
        let mut workers = Vec::new();
        let error = bounded("launches up to the limit", || {
            loop {
                match try_held(template.fork()) {
                    Ok(worker) => workers.push(worker),
                    Err(error) => return error,
                }
            }
        });
        assert_eq!(error.kind(), ErrorKind::Io, "{soft}: {error}");
        assert_eq!(error_number(&error), Some(libc::EMFILE), "{soft}: {error}");
        workers.into_iter().for_each(release);
        launch(template.fork()).unwrap();
    }
}

#[test]
fn a_killed_template_is_gone() {
    let _alone = alone();
    let scene = Scene::early();
    let (template, pid) = template();
    let survivor = held(template.fork());
    send_signal(pid, libc::SIGKILL);
    until("the template is gone", || has_ended(pid));
    for _ in 0..3 {
        let error = launch(template.fork()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}");
        let nested = template.fork().send_arg("x");
        let error = launch(nested.fork()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}");
    }
    // Its worker is still there, and its end is told.
    let pid = survivor.pid();
    let anyfork::blocking::Worker {
        socket, mut child, ..
    } = survivor;
    assert!(!has_ended(pid));
    drop(socket);
    assert!(bounded("wait", || child.wait()).unwrap().success());
    assert!(has_ended(pid));
    drop((child, template));
    scene.must_return();
}

/// Some lie in the queue of a template that takes no more of them; the others
/// wait for room in it.
#[test]
fn launches_under_way_learn_that_their_template_is_killed() {
    let _alone = alone();
    let scene = Scene::early();
    let (template, pid) = template();
    stop(pid);
    let launches: Vec<_> = (0..40)
        .map(|_| {
            template
                .fork()
                .send_arg([0; 40_000])
                .send_fd(pipe_with(""))
                .run("hold")
        })
        .collect();
    std::thread::scope(|scope| {
        let waiting: Vec<_> = launches
            .into_iter()
            .map(|launch| scope.spawn(|| launch.blocking()))
            .collect();
        send_signal(pid, libc::SIGKILL);
        for waiting in waiting {
            let error = bounded("a launch", || waiting.join()).unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}");
        }
    });
    drop(template);
    scene.must_return();
}

/// Root is exempt, and this template has given root up.
#[test]
fn a_fork_that_a_templates_own_limit_refuses_names_the_limit() {
    let _alone = alone();
    let template = Process::new().unwrap().rlimit(libc::RLIMIT_NPROC, 1, 1);
    for _ in 0..2 {
        let error = launch(template.fork()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ForkFailed, "{error}");
        assert_eq!(error_number(&error), Some(libc::EAGAIN));
        let text = error.to_string();
        let limit = "with the limit RLIMIT_NPROC of 1 that it has been given itself";
        assert!(text.contains(limit), "{text}");
    }
}

#[test]
fn a_template_whose_own_limit_leaves_no_memory_names_the_limit() {
    let _alone = alone();
    for bytes in [0, 1 << 20, 4 << 20] {
        let limit = libc::RLIMIT_AS;
        let template = Process::new().unwrap().rlimit(limit, bytes, bytes);
        let error = launch(template.fork()).unwrap_err();
        assert_eq!(error_number(&error), Some(libc::ENOMEM), "{error}");
        let text = error.to_string();
        let limit = format!("the limit RLIMIT_AS of {bytes} is too small for the template");
        assert!(text.contains(&limit), "{text}");
    }
}
