//! `wait` gives the real end of a worker, code, signal and core bit, as often as
//! it is asked; the socket is at its end when the worker is gone.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, id};

use anyfork::{Exit, Process};
use anyfork_tests::{bounded, held, send_signal, until};

#[anyfork::worker]
fn end(_socket: UnixStream, code: i32) {
    std::process::exit(code)
}

#[anyfork::worker]
fn die(_socket: UnixStream, signal: i32) -> ! {
    send_signal(id(), signal);
    loop {
        std::thread::park();
    }
}

#[anyfork::worker]
fn dump_core(_socket: UnixStream, folder: String) {
    enter_and_allow_cores(&folder);
    std::process::abort();
}

fn enter_and_allow_cores(folder: &str) {
    std::env::set_current_dir(folder).unwrap();
    anyfork_tests::set_soft_limit(id(), libc::RLIMIT_CORE, u64::MAX).unwrap();
}

fn exit_of(name: &str, number: i32) -> Exit {
    let mut worker = Process::new()
        .unwrap()
        .send_arg(number)
        .run(name)
        .blocking()
        .unwrap();
    bounded(name, || worker.wait()).unwrap()
}

#[test]
fn every_code_is_reported() {
    for code in 0..=255 {
        let exit = exit_of(end::NAME, code);
        assert_eq!((exit.code(), exit.signal()), (Some(code), None));
        assert_eq!(exit.success(), code == 0);
        assert_eq!(exit.status(), ExitStatus::from_raw(code << 8));
        assert_eq!(
            exit.to_string(),
            ExitStatus::from_raw(code << 8).to_string()
        );
    }
}

#[test]
fn every_signal_is_reported() {
    // Those that end a process, and the real-time ones.
    let first = [
        1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 14, 15, 16, 24, 25, 26, 27, 29, 31,
    ];
    for signal in first.into_iter().chain(libc::SIGRTMIN()..=libc::SIGRTMAX()) {
        let exit = exit_of(die::NAME, signal);
        assert_eq!((exit.code(), exit.signal()), (None, Some(signal)));
        assert!(!exit.success());
        assert_eq!(ExitStatus::from(exit).signal(), Some(signal));
    }
}

#[test]
fn a_worker_killed_from_outside_is_reported() {
    let signals = [
        libc::SIGKILL,
        libc::SIGTERM,
        libc::SIGRTMIN(),
        libc::SIGRTMAX(),
    ];
    for signal in signals {
        let mut worker = held(Process::new().unwrap());
        assert!(worker.try_wait().unwrap().is_none());
        send_signal(worker.pid(), signal);
        assert_eq!(worker.wait().unwrap().signal(), Some(signal));
        assert_eq!(worker.socket.read(&mut [0]).unwrap(), 0);
    }
    let mut worker = held(Process::new().unwrap());
    worker.start_kill().unwrap();
    assert_eq!(worker.wait().unwrap().signal(), Some(libc::SIGKILL));
    // What has ended can be killed again, and nobody is hit.
    worker.start_kill().unwrap();
}

/// Whether there is one is up to the system: the same as for any child here.
#[test]
fn the_core_bit_is_reported() {
    let folder = format!("{}/core-{}", env!("CARGO_TARGET_TMPDIR"), id());
    std::fs::create_dir(&folder).unwrap();
    let here = folder.clone();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "kill -ABRT $$"]);
    // SAFETY: sets a limit and a directory of the child's.
    unsafe {
        command.pre_exec(move || {
            enter_and_allow_cores(&here);
            Ok(())
        })
    };
    let usual = command.status().unwrap();
    let mut worker = dump_core::run(Process::new().unwrap(), folder.clone())
        .blocking()
        .unwrap();
    let status = worker.wait().unwrap().status();
    assert_eq!(status.signal(), Some(libc::SIGABRT));
    assert_eq!((status.core_dumped(), status), (usual.core_dumped(), usual));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn wait_is_repeatable() {
    let mut worker = end::run(Process::new().unwrap(), 3).blocking().unwrap();
    let exit = worker.wait().unwrap();
    for _ in 0..3 {
        assert_eq!(worker.wait().unwrap(), exit);
        assert_eq!(worker.try_wait().unwrap().as_ref(), Some(&exit));
        assert_eq!(worker.child.wait().unwrap().code(), Some(3));
    }
}

#[test]
fn try_wait_reports_when_there_is_something_to_report() {
    let mut worker = held(Process::new().unwrap());
    for _ in 0..100 {
        assert!(worker.try_wait().unwrap().is_none());
    }
    worker.start_kill().unwrap();
    until("the worker has ended", || {
        worker.try_wait().unwrap().is_some()
    });
}

#[test]
fn the_socket_ends_with_the_worker() {
    let mut worker = die::run(Process::new().unwrap(), libc::SIGKILL)
        .blocking()
        .unwrap();
    let mut text = String::new();
    bounded("end-of-file", || worker.socket.read_to_string(&mut text)).unwrap();
    assert_eq!(text, "");
    assert_eq!(worker.wait().unwrap().signal(), Some(libc::SIGKILL));
}

#[test]
fn usage_is_the_workers_own() {
    let mut worker = burn::run(Process::new().unwrap(), 64 << 20)
        .blocking()
        .unwrap();
    let usage = *worker.wait().unwrap().usage();
    assert!(
        usage.user_time + usage.system_time > std::time::Duration::ZERO,
        "{usage:?}"
    );
    assert!(usage.peak_memory > 64 << 20, "{usage:?}");
    let usage = *exit_of(end::NAME, 0).usage();
    assert!(usage.peak_memory < 64 << 20, "{usage:?}");
}

#[anyfork::worker]
fn burn(_socket: UnixStream, bytes: usize) {
    std::hint::black_box(vec![1u8; bytes]);
}

#[test]
fn many_that_end_at_once_keep_their_own_ends() {
    let workers: Vec<_> = (0..200)
        .map(|n| (n, end::run(Process::new().unwrap(), n).blocking().unwrap()))
        .collect();
    for (n, mut worker) in workers.into_iter().rev() {
        assert_eq!(worker.wait().unwrap().code(), Some(n));
    }
}

#[tokio::test]
async fn an_async_worker_reports_the_same() {
    let mut worker = end::run(Process::new().unwrap(), 7).await.unwrap();
    for _ in 0..3 {
        assert_eq!(worker.wait().await.unwrap().code(), Some(7));
    }
    let signal = libc::SIGRTMIN() + 2;
    let mut worker = die::run(Process::new().unwrap(), signal).await.unwrap();
    assert_eq!(worker.child.wait().await.unwrap().signal(), Some(signal));
    assert_eq!(worker.try_wait().unwrap().unwrap().signal(), Some(signal));

    let mut worker = Process::new().unwrap().run("hold").await.unwrap();
    assert!(worker.try_wait().unwrap().is_none());
    // A wait that is given up loses nothing.
    tokio::select! {
        biased;
        exit = worker.wait() => panic!("{exit:?}"),
        () = tokio::task::yield_now() => {}
    }
    worker.start_kill().unwrap();
    assert_eq!(worker.wait().await.unwrap().signal(), Some(libc::SIGKILL));
}
