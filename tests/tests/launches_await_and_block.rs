//! The same launch ends in `.await`, in either of tokio's runtimes, or in
//! `.blocking()`, without one. The worker's socket fits the side that has it.

use std::future::{Future, IntoFuture};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::process::id;
use std::task::{Context, Poll, Waker};

use anyfork::{ErrorKind, Process};
use anyfork_tests::{
    alone, bounded, children, early_template, flags, held, pipe_with, release, runtime,
    runtime_of_two,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[anyfork::early]
fn preload() {}

/// Sends back what comes, until the end.
#[anyfork::worker]
fn echo(mut socket: UnixStream) -> io::Result<()> {
    let mut back = socket.try_clone()?;
    io::copy(&mut socket, &mut back)?;
    Ok(())
}

#[anyfork::worker]
async fn echo_async(socket: tokio::net::UnixStream) -> io::Result<()> {
    let (mut read, mut write) = socket.into_split();
    tokio::io::copy(&mut read, &mut write).await?;
    Ok(())
}

async fn talk(name: &str, text: String) {
    let mut worker = Process::new().unwrap().run(name).await.unwrap();
    assert_ne!(worker.pid(), id());
    worker.socket.write_all(text.as_bytes()).await.unwrap();
    worker.socket.shutdown().await.unwrap();
    let mut back = String::new();
    worker.socket.read_to_string(&mut back).await.unwrap();
    assert_eq!(back, text);
    assert!(worker.wait().await.unwrap().success());
}

#[test]
fn awaiting_works_in_both_runtimes() {
    let _alone = alone();
    for runtime in [runtime(), runtime_of_two()] {
        for name in ["echo", "echo_async"] {
            let talk = talk(name, "hello".repeat(10));
            bounded(name, || runtime.block_on(talk));
        }
    }
}

#[test]
fn many_are_awaited_at_once() {
    let _alone = alone();
    for runtime in [runtime(), runtime_of_two()] {
        bounded("the runtime", || {
            runtime.block_on(async {
                let tasks: Vec<_> = (0..50)
                    .map(|n| tokio::spawn(talk(["echo", "echo_async"][n % 2], n.to_string())))
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
            })
        });
    }
}

/// More than the queues of the sockets take, so that the launch has to wait for
/// room, too.
#[test]
fn large_launches_are_awaited() {
    let _alone = alone();
    let pipes = || (0..600).map(|_| pipe_with("")).collect::<Vec<_>>();
    anyfork_tests::set_soft_limit(id(), libc::RLIMIT_NOFILE, u64::MAX).unwrap();
    for runtime in [runtime(), runtime_of_two()] {
        bounded("the runtime", || {
            runtime.block_on(async {
                for n in [10, 60_000, 3_000_000] {
                    let process = Process::new()
                        .unwrap()
                        .send_arg(vec![0; n])
                        .send_fds(pipes());
                    let mut worker = process.run("hold").await.unwrap();
                    worker.socket.shutdown().await.unwrap();
                    assert!(worker.wait().await.unwrap().success());
                }
            })
        });
    }
}

#[test]
fn blocking_works_without_and_within_a_runtime() {
    let _alone = alone();
    let talk = || {
        let mut worker = Process::new()
            .unwrap()
            .run("echo_async")
            .blocking()
            .unwrap();
        worker.socket.write_all(b"hello").unwrap();
        worker.socket.shutdown(std::net::Shutdown::Write).unwrap();
        let mut back = String::new();
        worker.socket.read_to_string(&mut back).unwrap();
        assert_eq!(back, "hello");
        assert!(worker.wait().unwrap().success());
    };
    talk();
    let runtime = runtime_of_two();
    bounded("the runtime", || {
        runtime.block_on(async move { tokio::task::block_in_place(talk) })
    });
}

#[test]
fn awaiting_outside_a_runtime_is_an_error() {
    let _alone = alone();
    let template = early_template();
    let mut launch = pin!(Process::new().unwrap().run("hold").into_future());
    let Poll::Ready(result) = launch
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    else {
        panic!("it waits, and nobody will wake it");
    };
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(
        error.to_string().contains("outside a tokio runtime"),
        "{error}"
    );
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::Unsupported);
    anyfork_tests::until("its worker is gone", || children(template).is_empty());
}

#[test]
fn waiting_outside_a_runtime_is_an_error() {
    let _alone = alone();
    let mut worker = runtime()
        .block_on(Process::new().unwrap().run("echo").into_future())
        .unwrap();
    let result = {
        let wait = pin!(worker.wait());
        wait.poll(&mut Context::from_waker(Waker::noop()))
    };
    match result {
        Poll::Ready(Err(error)) => assert_eq!(error.kind(), ErrorKind::Io),
        other => panic!("{other:?}"),
    }
    worker.start_kill().unwrap();
}

/// A worker that outlives the runtime that it was started in is still there.
#[test]
fn a_worker_can_be_waited_for_in_another_runtime() {
    let _alone = alone();
    let launch = Process::new().unwrap().run("echo").into_future();
    let mut worker = runtime().block_on(launch).unwrap();
    worker.start_kill().unwrap();
    let exit = runtime_of_two().block_on(worker.wait()).unwrap();
    assert_eq!(exit.signal(), Some(libc::SIGKILL));
}

#[test]
fn the_socket_fits_the_side_that_has_it() {
    let _alone = alone();
    let nonblocking = |pid, fd| flags(pid, fd) & libc::O_NONBLOCK != 0;
    let close_on_exec = |pid, fd| flags(pid, fd) & libc::O_CLOEXEC != 0;
    let socket_of = |pid| {
        let open = anyfork_tests::descriptors(pid);
        let mut sockets = open
            .range(3..)
            .filter(|(_, link)| link.starts_with("socket:"));
        let (number, _) = sockets.next().unwrap();
        assert!(sockets.next().is_none(), "{open:?}");
        *number
    };

    let worker = held(Process::new().unwrap());
    let (mine, theirs) = (worker.socket.as_raw_fd(), socket_of(worker.pid()));
    assert!(!nonblocking(id(), mine) && !nonblocking(worker.pid(), theirs));
    assert!(close_on_exec(id(), mine) && close_on_exec(worker.pid(), theirs));
    release(worker);

    let runtime = runtime();
    let worker = runtime.block_on(async {
        let mut worker = Process::new().unwrap().run("hold").await.unwrap();
        worker.socket.read_u8().await.unwrap();
        worker
    });
    let (mine, theirs) = (worker.socket.as_raw_fd(), socket_of(worker.pid()));
    assert!(nonblocking(id(), mine) && !nonblocking(worker.pid(), theirs));
    assert!(close_on_exec(id(), mine) && close_on_exec(worker.pid(), theirs));
}

#[test]
fn errors_are_awaited_and_blocked_for_alike() {
    let _alone = alone();
    let launch = || Process::new().unwrap().send_arg("x").run("echo");
    let blocked = launch().blocking().unwrap_err();
    let awaited = runtime().block_on(launch().into_future()).unwrap_err();
    assert_eq!(blocked.kind(), ErrorKind::BadArgument);
    assert_eq!(
        (blocked.kind(), blocked.to_string()),
        (awaited.kind(), awaited.to_string())
    );
}

#[test]
fn a_launch_can_be_sent_to_another_thread() {
    let _alone = alone();
    let launch = Process::new().unwrap().run("echo");
    let worker = std::thread::spawn(|| launch.blocking()).join().unwrap();
    worker.unwrap().start_kill().unwrap();
    let runtime = runtime_of_two();
    let launch = Process::new().unwrap().run("echo").into_future();
    let worker = runtime.block_on(runtime.spawn(launch)).unwrap();
    worker.unwrap().start_kill().unwrap();
}
