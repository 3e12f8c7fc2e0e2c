//! A launch of a program that is dropped leaves no process, whether the program
//! was executed or not; a `Child` that is dropped goes on, unless it was to be
//! killed.

use std::future::IntoFuture;
use std::io::{self, Read, Write};
use std::task::Poll;

use anyfork::{Command, Launch, Process, Stdio, Target, args};
use anyfork_tests::{Scene, alone, bounded, poll_once, runtime, stat, until};

#[anyfork::early]
fn preload() {}

/// Keeps the program from being executed until the pipe is at its end.
#[anyfork::init]
fn gate(mut pipe: io::PipeReader) -> io::Result<()> {
    pipe.read_to_end(&mut Vec::new()).map(drop)
}

fn command() -> Command {
    let mut command = Command::new("sleep");
    command.arg("1000").stdout(Stdio::null());
    command
}

/// A command whose program is not executed before the writer's end.
fn gated() -> (Command, io::PipeWriter) {
    let (read, write) = io::pipe().unwrap();
    let mut command = command();
    command.init(gate::NAME, args![read]);
    (command, write)
}

/// Whether a worker of the scene's has become the program.
fn is_executed(scene: &Scene) -> bool {
    let name = |pid| std::fs::read_to_string(format!("/proc/{pid}/comm"));
    let workers = scene.workers();
    workers
        .into_iter()
        .any(|pid| name(pid).is_ok_and(|name| name == "sleep\n"))
}

#[test]
fn launches_that_are_never_finished() {
    let _alone = alone();
    let scene = Scene::early();
    for _ in 0..100 {
        drop(command().spawn());
        drop(command().status());
        drop(command().output());
    }
    scene.must_return();
}

#[test]
fn a_launch_whose_program_runs_already() {
    let _alone = alone();
    let scene = Scene::early();
    for n in 0..15 {
        let mut command = command();
        match n % 3 {
            0 => drop(executed(command.spawn(), &scene)),
            1 => drop(executed(command.status(), &scene)),
            _ => drop(executed(command.output(), &scene)),
        }
        scene.must_return();
    }
}

/// A launch of which only the caller does not know yet how far it is.
fn executed<T: Target>(launch: Launch<T>, scene: &Scene) -> Launch<T> {
    until("the program runs", || is_executed(scene));
    launch
}

#[test]
fn a_launch_whose_program_is_not_executed_yet() {
    let _alone = alone();
    let scene = Scene::early();
    for n in 0..30 {
        let (mut command, mut write) = gated();
        let launch = command.spawn();
        drop(command);
        until("the process is there", || scene.workers().len() == 1);
        match n % 3 {
            0 => drop((launch, write)),
            1 => drop((write, launch)),
            // It is executed, or not, while it is dropped.
            _ => {
                write.write_all(b".").unwrap();
                drop(write);
                drop(launch);
            }
        }
        scene.must_return();
    }
}

#[test]
fn futures_that_are_polled_once() {
    let _alone = alone();
    let scene = Scene::early();
    let runtime = runtime();
    let around = Scene::settled(scene.template());
    for _ in 0..50 {
        let guard = runtime.enter();
        let mut spawned = command().spawn().into_future();
        match poll_once(spawned.as_mut()) {
            // It is ready now and then, on a busy machine: then it is detached.
            Poll::Ready(child) => child.unwrap().start_kill().unwrap(),
            Poll::Pending => drop(spawned),
        }
        assert!(poll_once(command().status().into_future().as_mut()).is_pending());
        assert!(poll_once(command().output().into_future().as_mut()).is_pending());
        drop(guard);
    }
    around.must_return();
    drop(runtime);
    scene.must_return();
}

#[test]
fn futures_whose_program_runs_already() {
    let _alone = alone();
    let scene = Scene::early();
    bounded("the runtime", || {
        runtime().block_on(async {
            let around = Scene::settled(scene.template());
            for n in 0..10 {
                let mut command = command();
                let runs = async {
                    while !is_executed(&scene) {
                        tokio::task::yield_now().await;
                    }
                };
                // The end of either is not to come.
                if n % 2 == 0 {
                    tokio::select! {
                        exit = command.status().into_future() => panic!("{exit:?}"),
                        () = runs => {}
                    }
                } else {
                    tokio::select! {
                        output = command.output().into_future() => panic!("{output:?}"),
                        () = runs => {}
                    }
                }
                drop(command);
                around.must_return();
            }
        });
    });
    scene.must_return();
}

#[test]
fn a_command_that_is_never_started() {
    let _alone = alone();
    let scene = Scene::early();
    for _ in 0..20 {
        let (mut command, _write) = gated();
        command.fd(7, io::pipe().unwrap().0);
        drop(command);
        drop(Process::new().unwrap().send_arg("x").exec("sleep"));
    }
    scene.must_return();
}

#[test]
fn a_child_that_is_dropped_goes_on_and_leaves_no_zombie() {
    let _alone = alone();
    let scene = Scene::early();
    for _ in 0..20 {
        let mut command = Command::new("cat");
        let (read, write) = io::pipe().unwrap();
        let (mut reported, tell) = io::pipe().unwrap();
        let child = command.stdin(read).stdout(tell).spawn().blocking().unwrap();
        drop(command);
        let pid = child.pid();
        drop(child);
        let mut write = write;
        write.write_all(b"it is there").unwrap();
        assert!(matches!(stat(pid), Some((state, _)) if state != 'Z'));
        drop(write);
        let mut text = String::new();
        reported.read_to_string(&mut text).unwrap();
        assert_eq!(text, "it is there");
        drop(reported);
        scene.must_return();
    }
}

#[test]
fn a_child_that_is_killed_when_it_is_dropped() {
    let _alone = alone();
    let scene = Scene::early();
    for _ in 0..20 {
        let child = command().kill_on_drop(true).spawn().blocking().unwrap();
        let other = child.handle();
        drop(child);
        assert!(stat(other.pid()).is_some_and(|(state, _)| state != 'Z'));
        drop(other);
        scene.must_return();
    }
    // A process's setting is its program's, too.
    let process = Process::new().unwrap().kill_on_drop(true);
    let child = process.exec("sleep").arg("1000").spawn().blocking();
    drop(child.unwrap());
    scene.must_return();
}
