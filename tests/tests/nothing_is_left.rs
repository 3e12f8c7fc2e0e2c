//! What was to be killed with its last handle, or with its whole program, is
//! gone then, however these went; a template is gone when it has no owner and
//! no child; and a handle leaves nothing, whenever it is dropped.

use std::future::{Future, IntoFuture};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::task::{Context, Waker};

use anyfork::{Launch, Process, Stdio, Worker, blocking};
use anyfork_tests::births::{end, serving};
use anyfork_tests::{
    Scene, alone, bounded, has_ended, held, new, release, stat, template_of, until,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;

#[anyfork::early]
fn preload() {}

#[anyfork::init]
fn prepare() {}

/// Answers every byte, until the caller closes the socket.
#[anyfork::worker]
fn echo(mut socket: UnixStream) -> io::Result<()> {
    let mut byte = [0];
    while socket.read(&mut byte)? == 1 {
        socket.write_all(&byte)?;
    }
    Ok(())
}

fn killed(process: Process) -> Process {
    process.kill_on_drop(true)
}

fn echoing(process: Process) -> blocking::Worker {
    bounded("a launch", || echo::run(process).blocking()).unwrap()
}

/// Whether the worker still answers, after its template has had the time to see
/// what has become of its handles: it takes what comes one after the other.
fn answers(mut socket: &UnixStream) -> bool {
    release(held(new()));
    let mut byte = [0];
    let answered = socket.write_all(b"x").and_then(|()| socket.read(&mut byte));
    answered.is_ok_and(|n| n == 1)
}

/// Waits until the worker is gone.
fn assert_gone(mut socket: UnixStream, pid: u32) {
    let ended = bounded("end-of-file", || socket.read(&mut [0]));
    assert!(ended.is_ok_and(|n| n == 0));
    until("the worker is gone", || has_ended(pid));
}

#[test]
fn the_last_handle_kills() {
    let _alone = alone();
    let scene = Scene::early();
    let prepared = killed(new()).init("prepare", ());
    for process in [
        killed(new()),
        killed(new().init("prepare", ())),
        killed(new()).fork(),
        prepared.fork(),
        prepared,
    ] {
        let blocking::Worker {
            socket, mut child, ..
        } = echoing(process);
        let pid = child.pid();
        let (second, third) = (child.handle(), child.handle());
        assert!(child.try_wait().unwrap().is_none());
        drop(child);
        drop(second);
        assert!(answers(&socket));
        drop(third);
        assert_gone(socket, pid);
    }
    scene.must_return();
}

#[test]
fn the_last_handle_kills_in_async_code() {
    let _alone = alone();
    let scene = Scene::early();
    let runtime = Runtime::new().unwrap();
    for waits in [false, true] {
        let worker = runtime.block_on(echo::run(killed(new())).into_future());
        let Worker {
            socket, mut child, ..
        } = worker.unwrap();
        let (pid, second) = (child.pid(), child.handle());
        runtime.block_on(async {
            if waits {
                // Given up at once.
                tokio::select! {
                    biased;
                    exit = child.wait() => panic!("{exit:?}"),
                    () = tokio::task::yield_now() => {}
                }
            }
        });
        drop(child);
        release(held(new()));
        runtime.block_on(async {
            let mut socket = socket;
            let mut byte = [0];
            socket.write_all(b"x").await.unwrap();
            assert_eq!(socket.read(&mut byte).await.unwrap(), 1);
            drop(second);
            assert_eq!(socket.read(&mut byte).await.unwrap(), 0);
        });
        until("the worker is gone", || has_ended(pid));
    }
    drop(runtime);
    scene.must_return();
}

#[test]
fn without_it_the_worker_goes_on() {
    let _alone = alone();
    let scene = Scene::early();
    let process = killed(new());
    for process in [new(), process.kill_on_drop(false)] {
        let blocking::Worker { socket, child, .. } = echoing(process);
        let pid = child.pid();
        drop(child);
        assert!(answers(&socket));
        socket.shutdown(Shutdown::Write).unwrap();
        assert_gone(socket, pid);
    }
    scene.must_return();
}

/// Then there is nobody else to do it.
#[test]
fn the_last_handle_kills_without_a_template() {
    let _alone = alone();
    let blocking::Worker { socket, child, .. } = {
        let worker = echoing(killed(Process::new_exec().unwrap()));
        end(template_of(&worker));
        worker
    };
    let (pid, second) = (child.pid(), child.handle());
    drop(child);
    assert!(answers(&socket));
    drop(second);
    assert_gone(socket, pid);
}

/// Forks a process that has all of its descriptors until `held` is at its end.
#[anyfork::worker]
fn leave_a_child(mut socket: UnixStream, held: io::PipeReader) -> io::Result<()> {
    // SAFETY: this process has one thread.
    match unsafe { libc::fork() } {
        0 => {
            let _ = io::copy(&mut { held }, &mut io::sink());
            // SAFETY: ends the process at once.
            unsafe { libc::_exit(0) };
        }
        child => socket.write_all(&child.to_le_bytes())?,
    }
    loop {
        std::thread::park();
    }
}

#[test]
fn a_child_of_the_workers_does_not_save_it() {
    let _alone = alone();
    for is_killed in [false, true] {
        let (read, write) = io::pipe().unwrap();
        let launch = leave_a_child::run(killed(new()), read);
        let mut worker = bounded("a launch", || launch.blocking()).unwrap();
        let (pid, template) = (worker.pid(), template_of(&worker));
        let mut grandchild = [0; 4];
        { &worker.socket }.read_exact(&mut grandchild).unwrap();
        let grandchild = u32::from_le_bytes(grandchild);
        if is_killed {
            bounded("an end", || worker.kill()).unwrap();
        }
        drop(worker);
        until("the worker is gone", || has_ended(pid));
        // The template is rid of it, and has nothing to do, although the write
        // end of the pipe is still there.
        let scene = Scene::settled(template);
        assert_eq!(scene.workers(), [0; 0]);
        assert!(!has_ended(grandchild));
        drop(write);
        until("the grandchild is gone", || has_ended(grandchild));
    }
}

/// All moments to drop a handle at. `kills` or not, with streams or not.
fn drop_at_all_moments(process: impl Fn() -> Process, runtime: &Runtime) {
    let launch = || -> Launch<Worker> { process().run("echo") };
    // Before it is ready: never asked for, asked for once, and anywhen.
    drop(launch());
    runtime.block_on(async {
        let mut future = Box::pin(launch().into_future());
        let _ = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
    });
    runtime.block_on(async {
        let (task, other) = (tokio::spawn(launch().into_future()), launch());
        drop(other.await.unwrap());
        task.abort();
        let _ = task.await;
    });
    // While it runs: the process's handle last, or the socket.
    let start = || bounded("a launch", || launch().blocking()).unwrap();
    drop(start());
    let blocking::Worker { socket, child, .. } = start();
    drop((child.handle(), socket, child));
    let blocking::Worker { socket, child, .. } = start();
    drop((child, socket));
    runtime.block_on(async { drop(launch().await.unwrap()) });
    // After its end: not asked for, and asked for.
    for waits in [false, true] {
        let mut worker = start();
        worker.socket.shutdown(Shutdown::Write).unwrap();
        let pid = worker.pid();
        until("a worker has ended", || has_ended(pid));
        if waits {
            assert!(worker.wait().unwrap().success());
        }
        drop(worker);
    }
    runtime.block_on(async {
        let mut worker = launch().await.unwrap();
        worker.kill().await.unwrap();
        assert_eq!(worker.wait().await.unwrap().signal(), Some(libc::SIGKILL));
    });
}

#[test]
fn a_handle_may_be_dropped_at_any_moment() {
    let _alone = alone();
    let early = Scene::early();
    let exec = Process::new_exec().unwrap();
    let scene = Scene::settled(serving(&exec));
    let runtime = Runtime::new().unwrap();
    for _ in 0..10 {
        for kills in [false, true] {
            let process = |from: &Process| from.fork().kill_on_drop(kills);
            drop_at_all_moments(|| process(&new()), &runtime);
            drop_at_all_moments(|| process(&exec), &runtime);
            let piped = |from| {
                let process = process(from).stdin(Stdio::piped());
                process.stdout(Stdio::piped()).stderr(Stdio::piped())
            };
            drop_at_all_moments(|| piped(&exec), &runtime);
        }
    }
    drop(runtime);
    scene.must_return();
    drop(exec);
    early.must_return();
}

#[test]
fn a_template_goes_when_nobody_needs_it() {
    let _alone = alone();
    let scene = Scene::early();
    let exec = Process::new_exec().unwrap();
    let nested = exec.fork().init("prepare", ());
    let deeper = nested.fork().init("prepare", ());
    let pids = [&exec, &nested, &deeper].map(serving);
    let worker = held(deeper.fork());
    let last = worker.pid();
    assert_eq!(template_of(&worker), pids[2]);
    let unused = exec.fork();
    drop((exec, nested, deeper));
    // All of them are needed: to take a request, and to tell of an end.
    release(held(unused.fork()));
    drop(unused);
    let mut worker = worker;
    worker.socket.shutdown(Shutdown::Write).unwrap();
    let exit = bounded("wait", || worker.wait()).unwrap();
    // Only a template knows that.
    assert!(exit.success() && exit.usage().peak_memory > 0);
    for pid in pids {
        until("a template is gone", || has_ended(pid));
    }
    // It has been reaped, as all children of templates.
    for pid in [last, pids[1], pids[2]] {
        until("it is no zombie", || stat(pid).is_none());
    }
    drop(worker);
    scene.must_return();
}
