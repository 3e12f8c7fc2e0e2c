//! Waiting for what runs already needs no new descriptor: it goes on, and ends as it
//! would, though the descriptor table of the program is full. Nothing healthy is
//! killed by a shortage of its caller's.

use std::collections::BTreeSet;
use std::fs;
use std::future::IntoFuture;
use std::io;
use std::process::id;
use std::thread;
use std::time::Duration;

use anyfork::{Command, Stdio, blocking};
use anyfork_tests::{
    alone, bounded, descriptors, held, new, release, runtime, runtime_of_two, set_soft_limit, until,
};

#[anyfork::early]
fn preload() {}

/// Nobody opens a descriptor as long as it lives.
struct Full(u64);

impl Full {
    fn table() -> Full {
        let before = set_soft_limit(id(), libc::RLIMIT_NOFILE, 3).unwrap();
        assert!(io::pipe().is_err());
        Full(before)
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        set_soft_limit(id(), libc::RLIMIT_NOFILE, self.0).unwrap();
    }
}

/// A program that ends with this code when its standard input does.
fn program() -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "cat; exit 7"]);
    command
}

/// A program that runs, and what ends it.
fn running() -> (blocking::Child, io::PipeWriter) {
    let (read, write) = io::pipe().unwrap();
    let child = program().stdin(read).stdout(Stdio::null()).spawn();
    (bounded("a launch", || child.blocking()).unwrap(), write)
}

#[test]
fn blocking() {
    let _alone = alone();
    let (mut child, write) = running();
    let (mut other, others) = running();
    let mut worker = held(new());
    let full = Full::table();
    assert!(child.try_wait().unwrap().is_none());
    let exit = child.wait_timeout(Duration::from_millis(1));
    assert!(exit.unwrap().is_none());
    assert!(worker.try_wait().unwrap().is_none());
    drop(write);
    let exit = bounded("an end", || child.wait()).unwrap();
    assert_eq!(exit.code(), Some(7));
    drop(others);
    let handle = other.handle();
    let exit = bounded("an end", || handle.wait()).unwrap();
    assert_eq!(exit.code(), Some(7));
    assert_eq!(bounded("an end", || other.wait()).unwrap(), exit);
    worker.start_kill().unwrap();
    let exit = bounded("an end", || worker.wait_timeout(Duration::from_secs(60)));
    assert_eq!(exit.unwrap().unwrap().signal(), Some(libc::SIGKILL));
    drop(full);
}

#[test]
fn awaiting() {
    let _alone = alone();
    for runtime in [runtime(), runtime_of_two()] {
        let (read, write) = io::pipe().unwrap();
        runtime.block_on(async {
            let mut child = program()
                .stdin(read)
                .stdout(Stdio::null())
                .spawn()
                .await
                .unwrap();
            let mut worker = new().run("hold").await.unwrap();
            let handle = child.handle();
            let full = Full::table();
            let waiting = tokio::spawn(async move { handle.wait().await });
            tokio::task::yield_now().await;
            assert!(child.try_wait().unwrap().is_none());
            drop(write);
            let exit = child.wait().await.unwrap();
            assert_eq!(exit.code(), Some(7));
            assert_eq!(waiting.await.unwrap().unwrap(), exit);
            worker.start_kill().unwrap();
            let exit = worker.wait().await.unwrap();
            assert_eq!(exit.signal(), Some(libc::SIGKILL));
            drop(full);
        });
    }
}

/// A launch that waits for the program's end: the program comes to it.
#[test]
fn a_status_and_an_output() {
    let _alone = alone();
    release(held(new()));
    for awaits in [false, true] {
        let [(read, write), (others, other)] = [(); 2].map(|()| io::pipe().unwrap());
        let before = watched();
        let status = program().stdin(read).stdout(Stdio::null()).status();
        let output = program().stdin(others).output();
        let runtime = runtime_of_two();
        let handle = runtime.handle().clone();
        let status = thread::spawn(move || match awaits {
            false => status.blocking(),
            true => handle.block_on(status.into_future()),
        });
        let handle = runtime.handle().clone();
        let output = thread::spawn(move || match awaits {
            false => output.blocking(),
            true => handle.block_on(output.into_future()),
        });
        until("both programs are watched", || {
            watched().difference(&before).count() == 2
        });
        let full = Full::table();
        drop((write, other));
        let status = bounded("an end", || status.join()).unwrap();
        let output = bounded("an end", || output.join()).unwrap();
        drop(full);
        assert_eq!(status.unwrap().code(), Some(7));
        assert_eq!(output.unwrap().status.code(), Some(7));
    }
}

/// The processes that this one watches. One may have two pidfds for a moment.
fn watched() -> BTreeSet<i32> {
    let open = descriptors(id()).into_iter();
    let pidfds = open.filter(|(_, link)| link.ends_with("[pidfd]"));
    let pids = pidfds.filter_map(|(number, _)| {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).ok()?;
        let pid = info.lines().find_map(|line| line.strip_prefix("Pid:"))?;
        pid.trim().parse().ok()
    });
    pids.filter(|pid| *pid > 0).collect()
}
