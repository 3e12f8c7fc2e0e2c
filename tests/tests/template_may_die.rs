//! A template that is killed takes the launches with it that were under way, and
//! nothing else: a default template is replaced, workers run on, and their end
//! is told.

use std::future::IntoFuture;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};
use std::thread;

use anyfork::{ErrorKind, Process, blocking};
use anyfork_tests::births::{end, kill_now, program, run, serving, stop, succeed};
use anyfork_tests::{bounded, end_by, has_ended, held, release, template_of, until};

#[anyfork::early]
fn preload() {}

/// All that a worker can end by here.
fn ends() -> [(u8, i32); 4] {
    [
        (0, 0),
        (255, 0),
        (0, libc::SIGKILL),
        (0, libc::SIGRTMIN() + 3),
    ]
}

fn status((code, signal): (u8, i32)) -> ExitStatus {
    ExitStatus::from_raw((i32::from(code) << 8) | signal)
}

/// A worker that ends so, with its template, which is nobody else's.
fn worker(how: (u8, i32)) -> (blocking::Worker, u32) {
    let exec = Process::new_exec().unwrap();
    let launch = end_by::run(exec, how.0, how.1);
    let worker = launch.blocking().unwrap();
    let template = template_of(&worker);
    (worker, template)
}

#[test]
fn a_default_template_is_replaced() {
    succeed(&mut program(env!("CARGO_BIN_EXE_early"), "default-dies"));
}

#[test]
fn a_process_of_ones_own_stays_gone() {
    for process in [
        Process::new().unwrap().send_arg("x"),
        Process::new_exec().unwrap().send_arg("x"),
        Process::new_exec().unwrap(),
    ] {
        let pid = serving(&process);
        let child = process.fork().send_arg("y");
        let template = template_of(&held(process.fork()));
        end(template);
        assert!(template == pid || has_ended(template));
        for process in [process.fork(), child.fork(), process.fork(), child] {
            let launch = process.run("hold");
            let error = bounded("a launch", || launch.blocking()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}");
        }
        let fd = process.into_fd();
        let error = fd.and_then(|fd| Process::from_fd(fd)?.run("hold").blocking());
        assert_eq!(error.unwrap_err().kind(), ErrorKind::TemplateGone);
    }
}

#[test]
fn a_launch_under_way_is_refused() {
    let exec = Process::new_exec().unwrap();
    let process = exec.send_arg("x");
    let template = serving(&process);
    stop(template);
    let launches: Vec<_> = (0..10).map(|_| process.fork().run("hold")).collect();
    let nested: Vec<_> = (0..3).map(|n| process.fork().send_arg(n)).collect();
    let nested: Vec<_> = nested.iter().map(|it| it.fork().run("hold")).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let awaited: Vec<_> = (0..3)
        .map(|_| runtime.spawn(process.fork().run("hold").into_future()))
        .collect();
    let prepared = process.fork().send_arg("p").prepare();
    kill_now(template);
    for launch in launches.into_iter().chain(nested) {
        let error = bounded("a launch", || launch.blocking()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}");
    }
    for launch in awaited {
        let error = bounded("a launch", || runtime.block_on(launch)).unwrap();
        assert_eq!(error.unwrap_err().kind(), ErrorKind::TemplateGone);
    }
    let error = bounded("a launch", || prepared.blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}");
}

#[test]
fn a_workers_exit_that_comes_after_is_reported() {
    for how in ends() {
        let (
            blocking::Worker {
                socket, mut child, ..
            },
            template,
        ) = worker(how);
        end(template);
        assert!(child.try_wait().unwrap().is_none());
        assert!(!has_ended(child.pid()));
        drop(socket);
        let exit = bounded("wait", || child.wait()).unwrap();
        assert_eq!(exit.status(), status(how));
        assert_eq!(child.wait().unwrap(), exit);
        assert_eq!(child.try_wait().unwrap(), Some(exit));
    }
}

#[test]
fn a_workers_exit_is_reported_to_one_who_waits_already() {
    for how in ends() {
        let (
            blocking::Worker {
                socket, mut child, ..
            },
            template,
        ) = worker(how);
        let waiting = thread::spawn(move || child.wait());
        end(template);
        drop(socket);
        let exit = bounded("wait", || waiting.join()).unwrap().unwrap();
        assert_eq!(exit.status(), status(how));
    }
}

#[test]
fn a_workers_exit_is_reported_to_a_task() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        for how in ends() {
            for kill_first in [true, false] {
                let exec = Process::new_exec().unwrap();
                let worker = end_by::run(exec, how.0, how.1).await.unwrap();
                let template = anyfork_tests::stat(worker.pid()).unwrap().1;
                let anyfork::Worker {
                    socket, mut child, ..
                } = worker;
                if kill_first {
                    end(template);
                }
                let waiting = tokio::spawn(async move {
                    let exit = child.wait().await.unwrap();
                    assert_eq!(child.try_wait().unwrap(), Some(exit.clone()));
                    exit
                });
                tokio::task::yield_now().await;
                if !kill_first {
                    end(template);
                }
                drop(socket);
                assert_eq!(waiting.await.unwrap().status(), status(how));
            }
        }
    });
}

#[test]
fn a_worker_can_still_be_killed() {
    let (mut worker, template) = worker((0, 0));
    end(template);
    worker.start_kill().unwrap();
    let exit = bounded("wait", || worker.wait()).unwrap();
    assert_eq!(exit.signal(), Some(libc::SIGKILL));
    worker.start_kill().unwrap();
}

/// Forks a process that outlives it, with all of its descriptors.
#[anyfork::worker]
fn leave_a_child(mut socket: UnixStream, held: OwnedFd) -> io::Result<ExitCode> {
    // SAFETY: this process has one thread.
    match unsafe { libc::fork() } {
        0 => {
            // Until the test is at its end.
            drop(socket);
            let _ = io::copy(&mut std::fs::File::from(held), &mut io::sink());
            // SAFETY: ends the process at once.
            unsafe { libc::_exit(0) };
        }
        child => writeln!(socket, "{child}")?,
    }
    io::copy(&mut socket, &mut io::sink())?;
    Ok(ExitCode::from(5))
}

#[test]
fn a_child_of_the_worker_holds_nobody_up() {
    for template_dies in [true, false] {
        let (read, write) = io::pipe().unwrap();
        let exec = Process::new_exec().unwrap();
        let worker = leave_a_child::run(exec, read.into()).blocking().unwrap();
        let template = template_of(&worker);
        let blocking::Worker {
            mut socket,
            mut child,
            ..
        } = worker;
        let mut line = String::new();
        while !line.ends_with('\n') {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            line.push(byte[0].into());
        }
        let grandchild: u32 = line.trim().parse().unwrap();
        if template_dies {
            end(template);
        }
        drop(socket);
        let exit = bounded("wait", || child.wait()).unwrap();
        assert_eq!(exit.code(), Some(5));
        assert!(!has_ended(grandchild));
        drop(write);
        until("the grandchild is gone", || has_ended(grandchild));
    }
}

#[test]
fn a_status_that_somebody_else_has_reaped_is_reported() {
    let (status, text) = run(&mut program(env!("CARGO_BIN_EXE_early"), "reaps"));
    if !status.success() && text.contains("Linux 6.15") {
        eprintln!("skipped: this kernel keeps no status");
        return;
    }
    assert!(status.success(), "{text}");
}

#[test]
fn a_program_that_adopts_its_workers_has_no_zombies() {
    succeed(&mut program(env!("CARGO_BIN_EXE_early"), "adopts"));
}

#[test]
fn a_lost_status_is_an_error_that_says_why() {
    succeed(&mut program(
        env!("CARGO_BIN_EXE_early"),
        "status-is-not-kept",
    ));
}

#[test]
fn a_template_that_lives_still_reports_more() {
    let (worker, _template) = worker((3, 0));
    let blocking::Worker {
        socket, mut child, ..
    } = worker;
    drop(socket);
    let exit = child.wait().unwrap();
    assert!(
        exit.code() == Some(3) && exit.usage().peak_memory > 0,
        "{exit}"
    );
    release(held(Process::new().unwrap()));
}
