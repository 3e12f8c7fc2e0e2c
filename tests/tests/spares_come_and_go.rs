//! A template has as many spares as its owner asked for last: those that are
//! taken or killed are replaced, those that are too many end, and all go with
//! their template. No launch waits for another, and none fails meanwhile.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::id;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyfork::{Args, ErrorKind, Process, args};
use anyfork_tests::births::{end, kill_now, serving, stop};
use anyfork_tests::spares::{idle, until_idle, until_settled, warm};
use anyfork_tests::{Scene, alone, bounded, children, has_ended, held, release, stat};
use anyfork_tests::{new, try_held, until};

#[anyfork::early]
fn preload() {}

static KNOWN: OnceLock<String> = OnceLock::new();

#[anyfork::init]
fn learn(text: String) {
    KNOWN.set(text).unwrap();
}

#[anyfork::worker]
fn know(mut socket: UnixStream, _rest: Args) -> io::Result<()> {
    let known = KNOWN.get().map_or("nothing", String::as_str);
    write!(socket, "{known} {}", id())
}

/// What a worker knows, which must have been one of these spares.
fn known(template: &Process, spares: &[u32]) -> String {
    let mut worker = bounded("a launch", || {
        know::run(template.fork(), Args::new()).blocking()
    })
    .unwrap();
    let mut text = String::new();
    worker.socket.read_to_string(&mut text).unwrap();
    assert!(worker.wait().unwrap().success());
    let (known, pid) = text.split_once(' ').unwrap();
    assert!(spares.contains(&pid.parse().unwrap()), "{pid} {spares:?}");
    known.to_owned()
}

#[test]
fn those_that_are_taken_are_replaced() {
    let _alone = alone();
    let scene = Scene::early();
    for count in [1, 4] {
        let (template, pid) = warm(new(), count);
        let mut workers = Vec::new();
        for _ in 0..10 {
            let spares = until_idle(pid, count);
            let worker = held(template.fork());
            assert!(spares.contains(&worker.pid()), "{spares:?}");
            workers.push(worker);
        }
        let pids: Vec<_> = workers.iter().map(|it| it.pid()).collect();
        until_settled(pid, count, &pids);
        workers.into_iter().for_each(release);
        until_settled(pid, count, &[]);
    }
    scene.must_return();
}

#[test]
fn those_that_are_killed_are_replaced() {
    let _alone = alone();
    let scene = Scene::early();
    let (template, pid) = warm(new(), 3);
    for _ in 0..20 {
        let spares = until_idle(pid, 3);
        end(spares[0]);
    }
    for _ in 0..5 {
        let spares = until_idle(pid, 3);
        spares.iter().for_each(|&spare| kill_now(spare));
        until("they are gone", || spares.iter().all(|&it| has_ended(it)));
    }
    for stopped in [1, 3] {
        let spares = until_idle(pid, 3);
        let spares = &spares[..stopped];
        spares.iter().for_each(|&spare| stop(spare));
        spares.iter().for_each(|&spare| end(spare));
    }
    until_settled(pid, 3, &[]);
    let spares = until_idle(pid, 3);
    let worker = held(template.fork());
    assert!(spares.contains(&worker.pid()));
    release(worker);
    drop(template);
    scene.must_return();
}

/// Else a template whose spares cannot live would do nothing but fork.
#[test]
fn those_that_die_at_their_start_are_put_off() {
    let _alone = alone();
    let scene = Scene::early();
    let (template, pid) = warm(new(), 1);
    let mut killed = BTreeSet::new();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(1) {
        for (spare, state) in children(pid) {
            if state != 'Z' && killed.insert(spare) {
                kill_now(spare);
            }
        }
    }
    assert!((1..=30).contains(&killed.len()), "{}", killed.len());
    // Meanwhile the template serves itself.
    release(held(template.fork()));
    let spares = until_idle(pid, 1);
    assert_eq!(known(&template, &spares), "nothing");
    until_settled(pid, 1, &[]);
    drop(template);
    scene.must_return();
}

#[test]
fn the_others_serve_while_one_is_stopped() {
    let _alone = alone();
    let (template, pid) = warm(new(), 2);
    let stopped = until_idle(pid, 2)[0];
    stop(stopped);
    for _ in 0..20 {
        release(held(template.fork()));
    }
    end(stopped);
    until_settled(pid, 2, &[]);
}

/// The number that was asked for last is the one that counts, whoever of the
/// spares is the first to hear of it.
#[test]
fn the_last_number_counts() {
    let _alone = alone();
    let scene = Scene::early();
    // Of a template that is not there yet, too.
    for count in [0, 2] {
        let (template, pid) = warm(new().keep_warm(5).keep_warm(1 - count / 2), count);
        until_settled(pid, count, &[]);
        drop(template);
    }
    let (mut template, pid) = warm(new(), 4);
    for round in 0..1000 {
        let last = [3, 0, 6, 1, 5][round % 5];
        for count in [4, 7, 2, 5, last] {
            template = template.keep_warm(count);
        }
        // Not every time, or each would hear of each.
        if round % 13 == 0 {
            until_settled(pid, last, &[]);
        }
    }
    template = template.keep_warm(0);
    until_settled(pid, 0, &[]);
    release(held(template.fork()));
    drop(template);
    scene.must_return();
}

/// Of those that end because they are too many, none has taken a request.
#[test]
fn no_launch_fails_while_their_number_changes() {
    let _alone = alone();
    let scene = Scene::early();
    let (template, pid) = warm(new(), 4);
    let template = template.into_fd().unwrap();
    let handle = || Process::from_fd(template.try_clone().unwrap()).unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let launch = || {
            let process = handle();
            let mut count = 0;
            while !over.load(Ordering::Relaxed) {
                let mut worker = know::run(process.fork(), Args::new()).blocking().unwrap();
                assert!(worker.wait().unwrap().success());
                count += 1;
            }
            count
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(launch)).collect();
        let mut changing = handle();
        for round in 0..60 {
            let count = [8, 2, 0, 5, 1, 0, 3][round % 7];
            changing = changing.keep_warm(count);
            // Some launches pass between two changes, and some do not.
            for _ in 0..round % 4 {
                let mut worker = know::run(changing.fork(), Args::new()).blocking().unwrap();
                assert!(worker.wait().unwrap().success());
            }
        }
        drop(changing.keep_warm(2));
        over.store(true, Ordering::Relaxed);
        for thread in threads {
            assert!(thread.join().unwrap() > 0);
        }
    });
    until_settled(pid, 2, &[]);
    drop(handle().keep_warm(0));
    until_settled(pid, 0, &[]);
    drop(template);
    scene.must_return();
}

#[test]
fn they_go_with_their_template() {
    let _alone = alone();
    let scene = Scene::early();
    for killed in [true, false] {
        let (template, pid) = warm(new(), 4);
        let workers: Vec<_> = (0..3).map(|_| held(template.fork())).collect();
        let spares = until_idle(pid, 4);
        if killed {
            kill_now(pid);
        }
        drop(template);
        until("the spares are gone", || {
            spares.iter().all(|&it| has_ended(it))
        });
        // Those that work are none any more.
        for worker in workers {
            assert!(stat(worker.pid()).is_some_and(|(state, _)| state != 'Z'));
            release(worker);
        }
        scene.must_return();
    }
}

#[test]
fn without_a_template_they_serve_no_more() {
    let _alone = alone();
    let scene = Scene::early();
    for _ in 0..20 {
        let (template, pid) = warm(new(), 3);
        let spares = until_idle(pid, 3);
        kill_now(pid);
        // At once, while they may not know it yet, nor their template be gone.
        match try_held(template.fork()) {
            Ok(worker) => release(worker),
            Err(error) => assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}"),
        }
        until("all of them are gone", || {
            spares.iter().all(|&it| has_ended(it))
        });
        let error = try_held(template.fork()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}");
    }
    scene.must_return();
}

#[test]
fn a_template_that_is_prepared_further_renews_them() {
    let _alone = alone();
    let scene = Scene::early();
    let (template, first) = warm(new(), 2);
    assert_eq!(known(&template, &idle(first)), "nothing");
    let template = template.init("learn", args!["all"]);
    let template = bounded("a template", || template.prepare().blocking()).unwrap();
    let second = template.pid().unwrap();
    assert_ne!(first, second);
    for _ in 0..4 {
        let spares = until_idle(second, 2);
        assert_eq!(known(&template, &spares), "all");
    }
    // Those that do not know it are of no use any more.
    until_idle(first, 0);
    // As many as were asked for last, of whichever it was asked.
    let template = template.keep_warm(3).send_arg("x");
    let third = serving(&template);
    until_idle(third, 3);
    // A fork of it is another process, for which nobody has asked for any.
    let fork = template.fork().send_arg("x");
    assert!(idle(serving(&fork)).is_empty());
    drop((template, fork));
    scene.must_return();
}

/// As many as there are requests at once, whatever the number of spares.
#[test]
fn in_a_burst_none_waits_for_another() {
    let _alone = alone();
    let scene = Scene::early();
    let (template, pid) = warm(new(), 4);
    for _ in 0..5 {
        let launches: Vec<_> = (0..50).map(|_| template.fork().run("hold")).collect();
        let launches = launches.into_iter().map(|launch| launch.blocking());
        let mut workers: Vec<_> = bounded("a burst", || launches.map(Result::unwrap).collect());
        let mut pids: Vec<_> = workers.iter().map(|it| it.pid()).collect();
        pids.sort_unstable();
        pids.dedup();
        assert_eq!(pids.len(), 50);
        until_settled(pid, 4, &pids);
        for worker in &mut workers {
            worker.socket.read_exact(&mut [0]).unwrap();
        }
        workers.into_iter().for_each(release);
        until_settled(pid, 4, &[]);
    }
    drop(template);
    scene.must_return();
}

/// Takes a snapshot of itself, and tells how many spares and children that has.
#[anyfork::worker]
fn snapshot(mut socket: UnixStream) -> io::Result<()> {
    let template = Process::snapshot().unwrap().keep_warm(3);
    let pid = serving(&template);
    let spares = until_idle(pid, 3);
    known(&template, &spares);
    until_settled(pid, 3, &[]);
    let template = template.keep_warm(0);
    until_settled(pid, 0, &[]);
    release(held(template.fork()));
    write!(socket, "done")
}

#[test]
fn every_kind_of_template_keeps_them() {
    let _alone = alone();
    let scene = Scene::early();
    let nested = new().send_arg("x").fork().init("learn", args!["x"]);
    let handed_over = new().init("learn", args!["x"]).into_fd().unwrap();
    for process in [
        Process::new_exec().unwrap(),
        nested,
        Process::from_fd(handed_over).unwrap(),
    ] {
        let process = process.keep_warm(3);
        let pid = serving(&process);
        for _ in 0..5 {
            let spares = until_idle(pid, 3);
            known(&process, &spares);
        }
        let process = process.keep_warm(0);
        until_settled(pid, 0, &[]);
        known(&process.keep_warm(1), &until_idle(pid, 1));
        until("it is gone", || has_ended(pid) || children(pid).is_empty());
    }
    let mut worker = snapshot::run(new()).blocking().unwrap();
    let mut text = String::new();
    bounded("a snapshot", || worker.socket.read_to_string(&mut text)).unwrap();
    assert_eq!(text, "done");
    assert!(worker.wait().unwrap().success());
    drop(worker);
    scene.must_return();
}
