//! Calls of a worker that may have several at once.

use std::fs::{self, File};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::path::PathBuf;

use anyfork::{Call, Fd, Pool, Sender};
use anyfork_tests::bounded;
use nix::unistd::getpid;

use crate::{Full, must_try, null, template};

/// Tells that it is entered, and gives back what it gets, or sends it.
#[anyfork::call]
async fn pass(
    file: File,
    mut told: PipeWriter,
    mut gate: PipeReader,
    files: Sender<Fd<File>>,
    sends: bool,
) -> Option<File> {
    told.write_all(b"!").expect("a pipe");
    drop(told);
    gate.read_to_end(&mut Vec::new()).expect("a pipe");
    if !sends {
        return Some(file);
    }
    files.send(Fd(file)).await.expect("a caller");
    None
}

fn pool() -> Pool {
    let pool = Pool::builder(template()).max(1).concurrency(2);
    pool.build().expect("a pool")
}

fn gate() -> (PipeReader, PipeWriter) {
    io::pipe().expect("a pipe")
}

/// The thread that watches the workers of pools.
fn watcher() -> String {
    let all = fs::read_dir("/proc/self/task").expect("/proc");
    let mut all = all.map(|it| it.expect("a thread").path());
    let is_it = |it: &PathBuf| {
        fs::read_to_string(it.join("comm")).is_ok_and(|it| it.trim() == "anyfork-pool")
    };
    let path = all.find(is_it).expect("a watcher");
    let task = path.file_name().expect("a number").to_string_lossy();
    format!("{}/task/{task}", getpid())
}

/// The watcher sends what there was no room for.
pub(crate) fn call() {
    let pool = pool();
    let call = || {
        let [(told, tell), (reader, _)] = [gate(), gate()];
        (pass::call(&pool, null(), tell, reader, false), told)
    };
    bounded("a call", || call().0.blocking()).expect("a result");
    let full = Full::new();
    let (call, _told) = call();
    must_try(&watcher());
    drop(full);
    bounded("a call", || call.blocking()).expect("a result");
    // It waits for its worker, and for no other one.
    assert_eq!(pool.stats().started, 1);
}

/// A call whose worker sends a descriptor when there is no room for it, as its result or before.
fn passed(sends: bool) -> Call<Option<File>, Fd<File>> {
    let pool = pool();
    let [(mut told, tell), (reader, open)] = [gate(), gate()];
    let call = pass::call(&pool, null(), tell, reader, sends);
    bounded("a begin", || told.read_exact(&mut [0])).expect("it is entered");
    let pid = call.pid().expect("a worker has it");
    let full = Full::new();
    drop(open);
    must_try(&pid.to_string());
    drop(full);
    call
}

pub(crate) fn result() {
    let call = passed(false);
    let file = bounded("a call", || call.blocking()).expect("a result");
    file.expect("it comes back");
}

pub(crate) fn event() {
    let mut call = passed(true);
    bounded("an event", || call.recv().blocking()).expect("an event");
    bounded("a call", || call.blocking()).expect("a result");
}
