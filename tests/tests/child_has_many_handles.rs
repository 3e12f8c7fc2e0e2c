//! A child may have many handles, in threads and in tasks: all of them can wait
//! at the same time and get the same end, and the last one that is dropped is the
//! one that kills.

use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::process::id;
use std::thread;
use std::time::Duration;

use anyfork::{ChildHandle, Exit, Process, Stdio, blocking};
use anyfork_tests::births::stop;
use anyfork_tests::{
    Scene, alone, bounded, descriptors, has_ended, held, new, poll_once, release, runtime_of_two,
    send_signal, template_of, until,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, ChildStdout};

#[anyfork::early]
fn preload() {}

/// Ends as it is told to, once its caller closes the socket.
#[anyfork::worker]
fn end(mut socket: UnixStream, how: String) -> Result<(), String> {
    let _ = io::copy(&mut socket, &mut io::sink());
    match how.as_str() {
        "return" => Ok(()),
        "panic" => panic!("a test's panic"),
        "kill" => std::process::abort(),
        error => Err(error.to_owned()),
    }
}

/// Reads its standard input to the end.
#[anyfork::worker]
fn drain(_socket: OwnedFd) -> io::Result<()> {
    io::copy(&mut io::stdin(), &mut io::stdout()).map(drop)
}

const SHORT: Duration = Duration::from_millis(20);

fn launched(process: Process, name: &str) -> blocking::Worker {
    bounded("a launch", || process.run(name).blocking()).unwrap()
}

/// One that ends when the socket is dropped.
fn ending(how: &str) -> (UnixStream, blocking::Child) {
    let blocking::Worker { socket, child, .. } = launched(new().send_arg(how), "end");
    (socket, child)
}

/// What all that waited were told.
fn the_same(exits: impl IntoIterator<Item = Exit>) -> Exit {
    let mut exits = exits.into_iter();
    let first = exits.next().expect("at least one");
    for exit in exits {
        assert_eq!(exit, first);
    }
    first
}

const ENDS: [&str; 4] = ["return", "panic", "kill", "an error"];

fn assert_end(how: &str, exit: &Exit) {
    assert_eq!(exit.success(), how == "return", "{how}: {exit}");
    let signal = (how == "kill").then_some(libc::SIGABRT);
    assert_eq!(exit.signal(), signal);
    let message = exit.failure().map(|it| it.to_string()).unwrap_or_default();
    match how {
        "panic" => assert!(message.contains("a test's panic"), "{message}"),
        "an error" => assert!(message.contains("an error"), "{message}"),
        _ => assert_eq!(message, ""),
    }
}

#[test]
fn handles_may_be_sent_and_shared() {
    fn is_free<T: Clone + Send + Sync + Unpin + 'static>() {}
    is_free::<ChildHandle>();
    is_free::<blocking::ChildHandle>();
}

#[test]
fn ten_threads_wait_at_once() {
    let _alone = alone();
    for how in ENDS {
        let (socket, mut child) = ending(how);
        let waiting: Vec<_> = (0..10)
            .map(|n| {
                let child = child.handle();
                thread::spawn(move || match n % 2 {
                    0 => child.wait().unwrap(),
                    _ => child.wait_timeout(Duration::MAX).unwrap().expect("an end"),
                })
            })
            .collect();
        assert!(child.try_wait().unwrap().is_none());
        drop(socket);
        let exits = waiting
            .into_iter()
            .map(|it| bounded("a thread", || it.join()).unwrap());
        let exit = the_same(exits);
        assert_end(how, &exit);
        assert_eq!(child.wait().unwrap(), exit);
        assert_eq!(child.handle().try_wait().unwrap(), Some(exit));
    }
}

#[test]
fn ten_tasks_wait_at_once() {
    let _alone = alone();
    bounded("a runtime", || {
        runtime_of_two().block_on(async {
            for how in ENDS {
                let launch = new().send_arg(how).run("end");
                let anyfork::Worker {
                    socket, mut child, ..
                } = launch.await.unwrap();
                let waiting: Vec<_> = (0..10)
                    .map(|_| {
                        let child = child.handle();
                        tokio::spawn(async move { child.wait().await.unwrap() })
                    })
                    .collect();
                assert!(child.try_wait().unwrap().is_none());
                drop(socket);
                let mut exits = vec![];
                for task in waiting {
                    exits.push(task.await.unwrap());
                }
                let exit = the_same(exits);
                assert_end(how, &exit);
                assert_eq!(child.wait().await.unwrap(), exit);
                assert_eq!(child.handle().try_wait().unwrap(), Some(exit));
            }
        });
    });
}

#[test]
fn a_wait_that_is_dropped_loses_nothing() {
    let _alone = alone();
    let scene = Scene::early();
    let runtime = runtime_of_two();
    let launch = async { new().send_arg("an error").run("end").await.unwrap() };
    let anyfork::Worker {
        socket, mut child, ..
    } = bounded("a launch", || runtime.block_on(launch));
    let other = child.handle();
    let entered = runtime.enter();
    let before = descriptors(id()).len();
    for _ in 0..100 {
        assert!(poll_once(pin!(child.wait())).is_pending());
        assert!(poll_once(pin!(other.wait())).is_pending());
    }
    assert_eq!(descriptors(id()).len(), before);
    // One goes while the other waits, before the end and after it.
    let mut kept = Box::pin(other.wait());
    assert!(poll_once(kept.as_mut()).is_pending());
    assert!(poll_once(pin!(child.wait())).is_pending());
    drop(socket);
    let exit = bounded("a wait", || runtime.block_on(&mut kept)).unwrap();
    assert_end("an error", &exit);
    assert_eq!(
        bounded("a wait", || runtime.block_on(child.wait())).unwrap(),
        exit
    );
    drop(kept);
    drop((entered, child, other));
    drop(runtime);
    scene.must_return();
}

#[test]
fn a_timeout_reports_nothing_but_the_exit() {
    let _alone = alone();
    let (socket, mut child) = ending("return");
    for limit in [Duration::ZERO, Duration::from_millis(5)] {
        assert!(child.wait_timeout(limit).unwrap().is_none());
        assert!(child.try_wait().unwrap().is_none());
    }
    drop(socket);
    let exit = bounded("a wait", || child.wait_timeout(Duration::MAX)).unwrap();
    let exit = exit.expect("an end");
    assert!(exit.success());
    for limit in [Duration::ZERO, Duration::MAX] {
        assert_eq!(child.wait_timeout(limit).unwrap(), Some(exit.clone()));
    }
}

#[test]
fn kill_waits_and_start_kill_does_not() {
    let _alone = alone();
    // A template of its own: it is stopped.
    let worker = held(new().send_arg("x").fork());
    let template = template_of(&worker);
    let blocking::Worker {
        socket, mut child, ..
    } = worker;
    // Nobody can tell the end now, so whoever waited for it would wait for ever.
    stop(template);
    bounded("start_kill", || child.start_kill()).unwrap();
    until("the worker has ended", || has_ended(child.pid()));
    assert!(child.try_wait().unwrap().is_none());
    let killing = thread::spawn(move || {
        child.kill().unwrap();
        child.try_wait().unwrap()
    });
    send_signal(template, libc::SIGCONT);
    let exit = bounded("kill", || killing.join()).unwrap();
    assert_eq!(exit.expect("told by then").signal(), Some(libc::SIGKILL));
    drop(socket);

    for _ in 0..20 {
        let mut worker = held(new());
        bounded("kill", || worker.kill()).unwrap();
        let exit = worker.try_wait().unwrap().expect("told by then");
        assert_eq!(exit.signal(), Some(libc::SIGKILL));
        assert!(has_ended(worker.pid()));
        worker.kill().unwrap();
    }
    bounded("a runtime", || {
        runtime_of_two().block_on(async {
            for _ in 0..20 {
                let mut worker = new().run("hold").await.unwrap();
                worker.kill().await.unwrap();
                let exit = worker.try_wait().unwrap().expect("told by then");
                assert_eq!(exit.signal(), Some(libc::SIGKILL));
                worker.kill().await.unwrap();
            }
        });
    });
}

#[test]
fn a_wait_closes_what_the_process_reads() {
    let _alone = alone();
    let piped = || new().stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut worker = launched(piped(), "drain");
    worker
        .child
        .stdin
        .as_mut()
        .unwrap()
        .write_all(b"text")
        .unwrap();
    // A second handle has no streams, and closes none.
    let other = worker.child.handle();
    assert!(other.wait_timeout(Duration::ZERO).unwrap().is_none());
    assert!(worker.try_wait().unwrap().is_none());
    assert!(worker.child.stdin.is_some());
    assert!(bounded("a wait", || worker.wait()).unwrap().success());
    assert!(worker.child.stdin.is_none());
    let text = io::read_to_string(worker.child.stdout.unwrap()).unwrap();
    assert_eq!(text, "text");

    let mut worker = launched(piped(), "drain");
    let exit = bounded("a wait", || worker.wait_timeout(Duration::MAX)).unwrap();
    assert!(exit.expect("an end").success());

    bounded("a runtime", || {
        runtime_of_two().block_on(async {
            let mut child = piped().run("drain").await.unwrap().child;
            let stdin: &mut ChildStdin = child.stdin.as_mut().unwrap();
            stdin.write_all(b"text").await.unwrap();
            let mut stdout: ChildStdout = child.stdout.take().unwrap();
            assert!(child.handle().try_wait().unwrap().is_none());
            assert!(child.wait().await.unwrap().success());
            assert!(child.stdin.is_none());
            let mut text = String::new();
            stdout.read_to_string(&mut text).await.unwrap();
            assert_eq!(text, "text");
        });
    });
}

#[test]
fn the_last_handle_kills() {
    let _alone = alone();
    for handle_is_last in [true, false] {
        let worker = held(new().kill_on_drop(true));
        let pid = worker.pid();
        let blocking::Worker { socket, child, .. } = worker;
        let handle = child.handle();
        if handle_is_last {
            drop(child);
            assert!(handle.wait_timeout(SHORT).unwrap().is_none());
            drop(handle.clone());
            assert!(handle.wait_timeout(SHORT).unwrap().is_none());
            drop(handle);
        } else {
            let mut child = child;
            drop(handle);
            assert!(child.wait_timeout(SHORT).unwrap().is_none());
            drop(child);
        }
        until("the worker is killed", || has_ended(pid));
        drop(socket);
    }
}

#[test]
fn the_descriptor_is_the_pidfd() {
    let _alone = alone();
    let worker = held(new());
    let handle = worker.child.handle();
    for fd in [worker.child.as_fd(), handle.as_fd()] {
        assert_eq!(pid_of(fd), i64::from(worker.pid()));
    }
    release(worker);
    until("the kernel forgets the pid", || {
        pid_of(handle.as_fd()) == -1
    });
}

/// The pid that the kernel shows for a pidfd.
fn pid_of(pidfd: BorrowedFd<'_>) -> i64 {
    let info = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    let info = fs::read_to_string(info).unwrap();
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:"));
    pid.expect("a pidfd").trim().parse().unwrap()
}
