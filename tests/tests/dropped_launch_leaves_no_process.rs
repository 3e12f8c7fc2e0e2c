//! A launch that is dropped leaves no process, whatever the moment; a process
//! that is never run is none; a worker that is dropped goes on, and leaves no
//! zombie.

use std::future::IntoFuture;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::task::Poll;

use anyfork::{Arg, ArgError, Command, FromArg, IntoArg, Launch, Process, Worker};
use anyfork_tests::births::stop;
use anyfork_tests::{
    Scene, alone, bounded, held, pipe_with, poll_once, release, runtime, send_signal, stat, until,
};
use tokio::task::spawn_blocking;

#[anyfork::early]
fn preload() {}

/// Stays, whatever becomes of its socket.
#[anyfork::worker]
fn stay(socket: OwnedFd, _gate: Gate) {
    let _open = socket;
    loop {
        std::thread::park();
    }
}

/// A pipe at whose end its receiver's parsing ends: so long the worker is not
/// ready.
struct Gate;

impl FromArg for Gate {
    fn from_arg(arg: Arg) -> Result<Gate, ArgError> {
        let mut pipe = io::PipeReader::from_arg(arg)?;
        pipe.read_to_end(&mut Vec::new()).map_err(ArgError::new)?;
        Ok(Gate)
    }
}

impl IntoArg for Gate {
    fn into_arg(self) -> Result<Arg, ArgError> {
        pipe_with("").into_arg()
    }
}

/// A launch whose worker has no reason to wait.
fn open() -> Launch<Worker> {
    stay::run(Process::new().unwrap(), Gate)
}

/// A launch whose worker waits for the writer's end.
fn gated() -> (Launch<Worker>, io::PipeWriter) {
    let (read, write) = io::pipe().unwrap();
    let process = Process::new().unwrap().send_arg(read);
    (process.run("stay"), write)
}

#[test]
fn a_launch_that_is_never_finished() {
    let _alone = alone();
    let scene = Scene::early();
    for _ in 0..300 {
        drop(open());
    }
    scene.must_return();
}

#[test]
fn a_launch_whose_worker_is_entered_already() {
    let _alone = alone();
    let scene = Scene::early();
    for _ in 0..20 {
        let launch = open();
        // It sleeps only when it is parked, after it has said "ready".
        until("the worker is entered", || {
            scene
                .workers()
                .iter()
                .any(|pid| matches!(stat(*pid), Some(('S', _))))
        });
        drop(launch);
        scene.must_return();
    }
}

#[test]
fn a_launch_whose_worker_is_about_to_be_entered() {
    let _alone = alone();
    let scene = Scene::early();
    for n in 0..50 {
        let (launch, mut gate) = gated();
        until("the worker is there", || scene.workers().len() == 1);
        // Before, after, or with the opening of the gate.
        match n % 2 {
            0 => drop((launch, gate)),
            _ => {
                gate.write_all(b".").unwrap();
                drop((gate, launch));
            }
        }
        scene.must_return();
    }
}

#[test]
fn many_launches_that_wait_for_a_stopped_template() {
    let _alone = alone();
    let early = Scene::early();
    let template = Process::new().unwrap().send_arg("t");
    release(held(template.fork()));
    let pid = template.pid().unwrap();
    let scene = Scene::settled(pid);
    stop(pid);
    // More than fit into its queue.
    let launches: Vec<_> = (0..200)
        .map(|_| template.fork().send_arg([0; 9_000]).run("hold"))
        .collect();
    drop(launches);
    send_signal(pid, libc::SIGCONT);
    release(held(template.fork()));
    scene.must_return();
    drop(template);
    early.must_return();
}

#[test]
fn a_future_that_is_polled_once() {
    let _alone = alone();
    let scene = Scene::early();
    let runtime = runtime();
    let around = Scene::settled(scene.template());
    for n in 0..300 {
        let guard = runtime.enter();
        let mut future = open().into_future();
        // It is ready now and then, on a busy machine: then it is detached.
        match poll_once(future.as_mut()) {
            Poll::Pending => drop(future),
            Poll::Ready(worker) => worker.unwrap().start_kill().unwrap(),
        }
        drop(guard);
        if n % 50 == 0 {
            around.must_return();
        }
    }
    around.must_return();
    drop(runtime);
    scene.must_return();
}

#[test]
fn a_future_that_is_never_polled() {
    let _alone = alone();
    let scene = Scene::early();
    for _ in 0..100 {
        drop(open().into_future());
    }
    scene.must_return();
}

/// As a timeout does it, with the worker waiting before it is ready.
#[test]
fn a_future_that_is_cancelled_while_it_waits() {
    let _alone = alone();
    let scene = Scene::early();
    runtime().block_on(async {
        let around = Scene::settled(scene.template());
        for _ in 0..20 {
            let (launch, gate) = gated();
            let mut future = launch.into_future();
            tokio::select! {
                biased;
                worker = &mut future => panic!("{worker:?}"),
                () = async { while scene.workers().is_empty() { tokio::task::yield_now().await } } => {}
            }
            drop(future);
            drop(gate);
            around.must_return();
        }
    });
    scene.must_return();
}

/// Nobody has a handle to kill its group with.
#[test]
fn a_program_that_leads_a_group() {
    let _alone = alone();
    let scene = Scene::early();
    let (mut program, mut read) = leader();
    let launch = program.spawn();
    drop(program);
    read.read_exact(&mut [0]).unwrap();
    drop(launch);
    bounded("all have ended", || io::read_to_string(read)).unwrap();
    scene.must_return();
}

#[test]
fn a_program_that_leads_a_group_and_is_waited_for() {
    let _alone = alone();
    let scene = Scene::early();
    let (mut program, read) = leader();
    let mut started = read.try_clone().unwrap();
    runtime().block_on(async {
        let launch = program.status();
        drop(program);
        let started = spawn_blocking(move || started.read_exact(&mut [0]));
        tokio::select! {
            exit = launch.into_future() => panic!("{exit:?}"),
            started = started => started.unwrap().unwrap(),
        }
    });
    bounded("all have ended", || io::read_to_string(read)).unwrap();
    scene.must_return();
}

/// A program that tells when it has started another, and a pipe that both hold
/// open.
fn leader() -> (Command, io::PipeReader) {
    let (read, write) = io::pipe().unwrap();
    let mut program = Command::new("sh");
    program
        .args(["-c", "sleep 1000 & echo; wait"])
        .stdout(write)
        .process_group(0);
    (program, read)
}

#[test]
fn a_process_that_is_never_run() {
    let _alone = alone();
    let scene = Scene::early();
    for _ in 0..50 {
        let process = Process::new().unwrap().send_arg("x").send_fd(pipe_with(""));
        drop(process.fork().send_fd(pipe_with("")).fork());
        drop(process);
    }
    scene.must_return();
}

#[test]
fn a_worker_that_is_dropped_goes_on_and_leaves_no_zombie() {
    let _alone = alone();
    let scene = Scene::early();
    let pairs: Vec<_> = (0..50)
        .map(|_| {
            let (mine, theirs) = UnixStream::pair().unwrap();
            let worker = held(Process::new().unwrap().send_fd(theirs));
            let pid = worker.pid();
            let anyfork::blocking::Worker { socket, child, .. } = worker;
            drop(child);
            (pid, socket, mine)
        })
        .collect();
    for (pid, socket, mut other) in pairs {
        assert!(matches!(stat(pid), Some((state, _)) if state != 'Z'));
        drop(socket);
        // The worker's end closes this one.
        assert_eq!(other.read(&mut [0]).unwrap(), 0);
    }
    scene.must_return();
}

#[test]
fn an_async_worker_that_is_dropped_is_detached_too() {
    let _alone = alone();
    let scene = Scene::early();
    bounded("the runtime", || {
        runtime().block_on(async {
            for _ in 0..50 {
                let Worker { socket, child, .. } =
                    Process::new().unwrap().run("hold").await.unwrap();
                drop(child);
                drop(socket);
            }
        })
    });
    scene.must_return();
}
