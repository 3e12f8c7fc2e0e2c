//! A program with a pool, as its first argument says: it stays until it is killed, with
//! workers in every state, or it gives up rights, and asserts that no call is served by a
//! worker that has more.
//!
//! The second argument is an empty folder, the third what is given up.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::id;
use std::thread;
use std::time::Duration;

use anyfork::{Call, Pool, Process, args};
use anyfork_tests::rights::NOBODY;
use anyfork_tests::{bounded, has_ended, status, until};
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};

#[anyfork::early]
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let folder = Path::new(&args[2]);
    match args[1].as_str() {
        "stays" => stay_until_killed(folder),
        "gives-up" => give_up_rights(folder, &args[3]),
        other => panic!("{other}"),
    }
}

/// Stays until the other end of the gate is closed.
#[anyfork::call]
fn stay(mut told: PipeWriter, mut gate: PipeReader) -> u32 {
    told.write_all(b"!").expect("a pipe");
    gate.read_to_end(&mut Vec::new()).expect("a pipe");
    id()
}

/// A call that a worker has entered, and what it waits for.
fn entered(pool: &Pool) -> (Call<u32>, PipeWriter) {
    let (mut told, tell) = std::io::pipe().expect("a pipe");
    let (gate, writer) = std::io::pipe().expect("a pipe");
    let call = stay::call(pool, tell, gate);
    bounded("a call's begin", || told.read_exact(&mut [0])).expect("it is entered");
    (call, writer)
}

#[anyfork::call]
fn whoami() -> u32 {
    id()
}

/// Notes the pid, and never returns in the third worker.
#[anyfork::init]
fn note_and_hang(file: PathBuf) {
    let noted = OpenOptions::new().create(true).append(true).open(&file);
    writeln!(noted.expect("a file"), "{}", id()).expect("a file");
    while pids(&file).len() >= 3 {
        thread::park();
    }
}

fn pids(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// An idle, a busy and a starting worker; tells that they are there.
fn stay_until_killed(folder: &Path) {
    let file = folder.join("pids");
    let base = Process::new().expect("a template");
    let pool = Pool::builder(base).max(3);
    let pool = pool.init(note_and_hang::NAME, args![file.clone()]).build();
    let pool = pool.expect("a pool");
    let (idle, gate) = entered(&pool);
    let (_busy, _gate) = entered(&pool);
    // For this one a third is started, and the first serves it.
    let waiting = whoami::call(&pool);
    until("the third is being started", || pids(&file).len() == 3);
    drop(gate);
    bounded("calls", || idle.blocking().and(waiting.blocking())).expect("they return");
    let stats = pool.stats();
    assert_eq!((stats.idle, stats.busy, stats.starting), (1, 1, 1));
    println!("{}", pids(&file).join(" "));
    loop {
        thread::park();
    }
}

/// What this process may do: its user, and whether programs may do more.
fn rights() -> [String; 2] {
    ["Uid", "NoNewPrivs"].map(|field| status(id(), field))
}

#[anyfork::call]
fn tell_rights() -> (u32, [String; 2]) {
    (id(), rights())
}

/// Waits as long as there is such a file.
#[anyfork::init]
fn wait_for_end_of(file: PathBuf) {
    while file.exists() {
        thread::sleep(Duration::from_millis(1));
    }
}

fn give_up_rights(folder: &Path, what: &str) {
    let gate = folder.join("gate");
    fs::set_permissions(folder, Permissions::from_mode(0o777)).expect("its own folder");
    let pool_of = |max, retire_after| {
        let base = Process::new().expect("a template");
        let pool = Pool::builder(base).max(max).retire_after(retire_after);
        let pool = pool.init(wait_for_end_of::NAME, args![gate.clone()]);
        pool.build().expect("a pool")
    };
    // Two idle workers and a busy one; the last call of an idle one starts another.
    let one = pool_of(4, 3);
    let calls = [entered(&one), entered(&one)];
    let (busy, busy_gate) = entered(&one);
    let idle = calls.map(|(call, gate)| {
        drop(gate);
        bounded("a call", || call.blocking()).expect("it returns")
    });
    bounded("a call", || whoami::call(&one).blocking()).expect("it returns");
    // A worker that is being started.
    let two = pool_of(2, 1000);
    fs::write(&gate, "").expect("a file");
    let first = tell_rights::call(&two);
    until("it is being started", || two.stats().starting == 1);

    match what {
        "user" => {
            setgroups(&[]).expect("root may do that");
            setgid(Gid::from_raw(NOBODY)).expect("root may do that");
            setuid(Uid::from_raw(NOBODY)).expect("root may do that");
        }
        _ => {
            // SAFETY: takes numbers.
            let set = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
            assert_eq!(set, 0);
        }
    }
    // For this call another worker is started.
    let second = tell_rights::call(&two);
    fs::remove_file(&gate).expect("it is everybody's folder");
    for call in [first, second] {
        let (_, told) = bounded("a call", || call.blocking()).expect("it returns");
        assert_eq!(told, rights());
    }

    let last = bounded("a call", || whoami::call(&one).blocking()).expect("it returns");
    assert!(idle.contains(&last), "until there is a start, it serves");
    until("idle workers leave", || {
        idle.iter().all(|it| has_ended(*it))
    });
    drop(busy_gate);
    let busy = bounded("a call", || busy.blocking()).expect("it returns");
    for _ in 0..5 {
        let (pid, told) =
            bounded("a call", || tell_rights::call(&one).blocking()).expect("it returns");
        assert_eq!(told, rights());
        assert!(pid != busy && !idle.contains(&pid));
    }
    until("the busy one leaves", || has_ended(busy));
    for pool in [one, two] {
        bounded("a shutdown", || pool.shutdown(Duration::ZERO).blocking()).expect("it ends");
    }
}
