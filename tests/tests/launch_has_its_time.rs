//! A launch, or a template's preparation, that is not ready in the time of
//! `timeout` fails as `TimedOut` and leaves no process; the template serves on.
//! Time enough changes nothing.

use std::fs::File;
use std::future::{Future, IntoFuture};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::process::id;
use std::time::Duration;

use anyfork::{Arg, ArgError, Error, ErrorKind, FromArg, IntoArg, Launch, args};
use anyfork_tests::births::{serving, stop};
use anyfork_tests::{
    Scene, alone, bounded, descriptors, early_template, held, new, release, runtime, send_signal,
    until,
};
use tokio::io::AsyncReadExt;

#[anyfork::early]
fn preload() {}

/// Reads until nobody has the pipe's other end any more, which is never: it has
/// one itself.
fn read_for_ever() -> ! {
    let (mut read, _write) = io::pipe().unwrap();
    let read = read.read(&mut [0]);
    unreachable!("{read:?}");
}

#[anyfork::init]
fn hang() {
    read_for_ever();
}

/// Says that it is there before it hangs.
#[anyfork::init]
fn say_and_hang(mut to: File) -> io::Result<()> {
    to.write_all(b"here\n")?;
    let _open = to;
    read_for_ever();
}

struct Endless;

impl FromArg for Endless {
    fn from_arg(_: Arg) -> Result<Endless, ArgError> {
        read_for_ever();
    }
}

impl IntoArg for Endless {
    fn into_arg(self) -> Result<Arg, ArgError> {
        "endless".into_arg()
    }
}

#[anyfork::worker]
fn parse(_socket: OwnedFd, _arg: Endless) {}

/// Whichever of them passes, nothing is ready by then.
const SHORT: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_nanos(1),
    Duration::from_millis(3),
    Duration::from_millis(30),
];

/// More than any test takes, and more than clocks can tell.
const LONG: [Duration; 4] = [
    Duration::from_secs(100_000),
    Duration::from_secs(u32::MAX as u64 * 1000),
    Duration::from_secs(i64::MAX as u64 / 2),
    Duration::MAX,
];

/// Without timers, which a runtime need not have.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = runtime();
    bounded("a runtime", || runtime.block_on(work))
}

fn assert_late(error: &Error, what: &str) {
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    let text = error.to_string();
    assert!(text.contains(what) && text.contains("`timeout`"), "{text}");
    let error = io::Error::from(error.clone());
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

/// Asserts that these are late, blocking and in a runtime, and leave nothing.
fn must_be_late<T: anyfork::Target + 'static>(
    what: &str,
    scene: &Scene,
    launch: impl Fn(Duration) -> Launch<T>,
) {
    for limit in SHORT {
        let launched = launch(limit);
        let Err(error) = bounded(what, || launched.blocking()) else {
            panic!("{what} was ready");
        };
        assert_late(&error, what);
        scene.must_return();
        let Err(error) = block_on(async { launch(limit).await }) else {
            panic!("{what} was ready");
        };
        assert_late(&error, what);
        scene.must_return();
    }
    assert_eq!(early_template(), scene.template(), "it serves on");
}

#[test]
fn an_init_that_never_ends() {
    let _alone = alone();
    let scene = Scene::early();
    must_be_late("hold", &scene, |limit| {
        new().init("hang", ()).timeout(limit).run("hold")
    });
    must_be_late("hold", &scene, |limit| {
        new().timeout(limit).init("hang", ()).run("hold")
    });
}

#[test]
fn an_argument_that_is_never_parsed() {
    let _alone = alone();
    let scene = Scene::early();
    must_be_late("parse", &scene, |limit| {
        parse::run(new().timeout(limit), Endless)
    });
}

#[test]
fn a_preparation_that_never_ends() {
    let _alone = alone();
    let scene = Scene::early();
    must_be_late("preparation of a template", &scene, |limit| {
        new().init("hang", ()).timeout(limit).prepare()
    });
}

/// The time begins anew for each launch from a template that hangs.
#[test]
fn a_launch_from_a_template_that_is_not_ready() {
    let _alone = alone();
    let scene = Scene::early();
    for limit in SHORT {
        let template = new().init("hang", ());
        let child = template.fork().timeout(limit);
        let nested = child.fork().send_arg("x");
        let launches = || {
            [
                template.fork().timeout(limit).run("hold"),
                child.fork().run("hold"),
                nested.fork().run("hold"),
            ]
        };
        for launch in launches() {
            let error = bounded("a launch", || launch.blocking()).unwrap_err();
            assert_late(&error, "hold");
        }
        for launch in launches() {
            assert_late(&block_on(launch.into_future()).unwrap_err(), "hold");
        }
        // It may come to an end yet, for others.
        until("the template is there", || scene.workers().len() == 1);
        drop((template, child, nested));
        scene.must_return();
    }
}

#[test]
fn a_stopped_template() {
    let _alone = alone();
    let early = Scene::early();
    let template = new().send_arg("x");
    let pid = serving(&template);
    let scene = Scene::settled(pid);
    stop(pid);
    for limit in SHORT {
        let launch = || template.fork().timeout(limit).run("hold");
        let error = bounded("a launch", || launch().blocking()).unwrap_err();
        assert_late(&error, "hold");
        assert_late(&block_on(launch().into_future()).unwrap_err(), "hold");
        let prepare = || template.fork().send_arg("y").timeout(limit).prepare();
        let error = bounded("a preparation", || prepare().blocking()).unwrap_err();
        assert_late(&error, "preparation of a template");
        let error = block_on(prepare().into_future()).unwrap_err();
        assert_late(&error, "preparation of a template");
    }
    send_signal(pid, libc::SIGCONT);
    // What it had in its queue it forks now, and that ends by itself.
    release(held(template.fork()));
    scene.must_return();
    drop(template);
    early.must_return();
}

/// A request that waits for room, where `fork` waits, too.
#[test]
fn a_template_whose_queue_is_full() {
    let _alone = alone();
    let early = Scene::early();
    let template = new().send_arg("x");
    let pid = serving(&template);
    let scene = Scene::settled(pid);
    stop(pid);
    // Until there is no room: a launch does not wait for it, and is dropped last.
    let waiting: Vec<_> = (0..200)
        .map(|_| template.fork().send_arg([0; 9_000]).run("hold"))
        .collect();
    for limit in SHORT {
        let hurried = || template.fork().send_arg([0; 9_100]).timeout(limit);
        let error = bounded("a launch", || hurried().run("hold").blocking()).unwrap_err();
        assert_late(&error, "hold");
        let launch = async { hurried().run("hold").await };
        assert_late(&block_on(launch).unwrap_err(), "hold");
        let error = bounded("a fork", || {
            let process = hurried();
            process.fork().run("hold").blocking()
        });
        assert_late(&error.unwrap_err(), "a template");
        let error = bounded("a preparation", || hurried().prepare().blocking());
        assert_late(&error.unwrap_err(), "a template");
    }
    drop(waiting);
    send_signal(pid, libc::SIGCONT);
    release(held(template.fork()));
    scene.must_return();
    drop(template);
    early.must_return();
}

#[test]
fn code_that_runs_already_is_ended() {
    let _alone = alone();
    let scene = Scene::early();
    let mut limit = Duration::from_millis(10);
    loop {
        let (read, write) = io::pipe().unwrap();
        let process = new().init("say_and_hang", args![write]);
        let launch = process.timeout(limit).run("hold");
        let error = bounded("a launch", || launch.blocking()).unwrap_err();
        assert_late(&error, "hold");
        // Whoever has the pipe, still or yet, is the process that is to end.
        let said = bounded("the end", || io::read_to_string(read)).unwrap();
        scene.must_return();
        if said == "here\n" {
            return;
        }
        limit *= 2;
    }
}

#[test]
fn it_is_inherited_by_forks_and_can_be_changed() {
    let _alone = alone();
    let scene = Scene::early();
    let template = new().timeout(Duration::from_millis(3)).send_arg("x");
    // A template of its own has been ready in time or is late; its forks' time is
    // another matter.
    let hanging = || template.fork().init("hang", ());
    let pid = template.pid();
    for _ in 0..3 {
        let error = bounded("a launch", || hanging().run("hold").blocking());
        assert_late(&error.unwrap_err(), "hold");
        let error = bounded("a launch", || hanging().fork().run("hold").blocking());
        assert_late(&error.unwrap_err(), "hold");
        let error = block_on(async { hanging().prepare().await });
        assert_late(&error.unwrap_err(), "preparation");
        release(held(template.fork().timeout(Duration::MAX)));
    }
    assert!(pid.is_none_or(|pid| template.pid() == Some(pid)));
    drop(template);
    scene.must_return();
}

#[test]
fn time_enough_changes_nothing() {
    let _alone = alone();
    let scene = Scene::early();
    for limit in LONG {
        let worker = held(new().timeout(limit));
        release(worker);
        let template = new().send_arg("x").timeout(limit);
        let template = bounded("a preparation", || template.prepare().blocking()).unwrap();
        release(held(template.fork()));
        release(held(template.fork().send_arg("y").fork()));
        block_on(async {
            let template = new().send_arg("x").timeout(limit).prepare().await;
            for process in [new().timeout(limit), template.unwrap().fork()] {
                let mut worker = process.run("hold").await.unwrap();
                assert_eq!(worker.socket.read_u8().await.unwrap(), b'!');
                assert!(worker.try_wait().unwrap().is_none());
                drop(worker.socket);
                assert!(worker.child.wait().await.unwrap().success());
            }
        });
        // Other failures are told as they are.
        let launch = new().timeout(limit).run("no such worker");
        let error = launch.blocking().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownWorker, "{error}");
        let launch = new().timeout(limit).run("no such worker");
        let error = block_on(launch.into_future()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownWorker, "{error}");
    }
    scene.must_return();
}

#[test]
fn a_worker_runs_for_longer_than_its_launch_may() {
    let _alone = alone();
    let scene = Scene::early();
    let mut limit = Duration::from_millis(50);
    // Until it is long enough for a launch, on a machine with much to do.
    let mut worker = loop {
        match new().timeout(limit).run("hold").blocking() {
            Ok(worker) => break worker,
            Err(error) => assert_late(&error, "hold"),
        }
        limit *= 2;
    };
    assert!(worker.wait_timeout(limit).unwrap().is_none());
    release(worker);
    let launch = new().timeout(LONG[0]).run("hold");
    let mut worker = block_on(launch.into_future()).unwrap();
    // Its timer was this process's, and is gone with the launch.
    let open = descriptors(id());
    assert!(!open.values().any(|it| it.contains("timerfd")), "{open:?}");
    worker.start_kill().unwrap();
    drop(worker);
    scene.must_return();
}

/// Ready or late, when there is no time at all: never both, and never in between.
#[test]
fn no_time_at_all_leaves_one_or_none() {
    let _alone = alone();
    let scene = Scene::early();
    for _ in 0..50 {
        let launch = new().timeout(Duration::ZERO).run("hold");
        match bounded("a launch", || launch.blocking()) {
            Ok(mut worker) => worker.start_kill().unwrap(),
            Err(error) => assert_late(&error, "hold"),
        }
        let launch = new().timeout(Duration::ZERO).run("hold");
        match block_on(launch.into_future()) {
            Ok(mut worker) => worker.start_kill().unwrap(),
            Err(error) => assert_late(&error, "hold"),
        }
        scene.must_return();
    }
}
