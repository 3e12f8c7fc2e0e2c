//! A program without an early template: does what its first argument says, and
//! asserts what must hold.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::{Barrier, Mutex};
use std::thread;

use anyfork::{ErrorKind, Process, args};
use anyfork_tests::births::{NOT_PERMITTED, assert_same_streams, kill_now, serving};
use anyfork_tests::{bounded, held, release, status, template_of};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

fn main() -> ExitCode {
    let what = env::args().nth(1).unwrap_or_default();
    match what.as_str() {
        "environment" => environment(),
        "file" => file(),
        "first-need" => first_need(),
        "hash-keys" => hash_keys(),
        "hang-in-init" => hang_in_init(),
        "large" => large(),
        "main-once" => main_once(),
        "streams" => assert_same_streams(),
        "without-proc" => return without_proc(),
        _ => return ExitCode::from(2),
    }
    ExitCode::SUCCESS
}

fn first_need() {
    let barrier = Barrier::new(16);
    let new = || {
        barrier.wait();
        let worker = held(Process::new().expect("a template"));
        let template = template_of(&worker);
        release(worker);
        template
    };
    let templates: BTreeSet<u32> = thread::scope(|scope| {
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(new)).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.map(|template| template.expect("no panic")).collect()
    });
    assert_eq!(templates.len(), 1, "{templates:?}");
}

fn main_once() {
    println!("main runs");
    for process in [Process::new_exec(), Process::new(), Process::new_exec()] {
        release(held(process.expect("a template")));
    }
}

fn environment() {
    // SAFETY: there is one thread.
    unsafe { env::set_var("LATER", "set in main") };
    // SAFETY: as above.
    unsafe { env::set_var("ANYFORK_TEMPLATE", "7") };
    let wanted = ["GREETING=hello", "EMPTY=", "LATER=set in main"];
    let process = Process::new_exec().expect("a template");
    let worker = held(process.fork());
    for pid in [worker.pid(), template_of(&worker)] {
        let variables = std::fs::read(format!("/proc/{pid}/environ")).expect("a process");
        let variables = String::from_utf8_lossy(&variables);
        let found: Vec<_> = variables.split('\0').collect();
        for wanted in wanted {
            assert!(found.contains(&wanted), "{wanted} in {found:?}");
        }
        assert!(!variables.contains("ANYFORK"), "{found:?}");
    }
    release(worker);
}

/// Two templates, at most one of them there before something happens to the
/// program's file.
fn file() {
    let early = env::args().nth(3).is_some_and(|when| when == "late");
    let before = early.then(|| Process::new_exec().expect("a template"));
    let own = env::current_exe().expect("a path");
    match env::args().nth(2).as_deref() {
        Some("delete") => fs::remove_file(own).expect("a file to delete"),
        Some("replace") => {
            let other = own.with_extension("new");
            fs::copy("/bin/true", &other).expect("a program");
            fs::rename(other, own).expect("a file to replace");
        }
        Some("leave") => env::set_current_dir("/").expect("a folder"),
        _ => {}
    }
    let this = fs::metadata("/proc/self/exe").expect("a program");
    let new = [Process::new(), Process::new_exec(), Process::new()];
    let new = new.map(|process| process.expect("a template"));
    for process in new.into_iter().chain(before) {
        let worker = held(process);
        for pid in [worker.pid(), template_of(&worker)] {
            let theirs = fs::metadata(format!("/proc/{pid}/exe")).expect("a program");
            assert_eq!((theirs.dev(), theirs.ino()), (this.dev(), this.ino()));
        }
        release(worker);
    }
}

/// Tells what a `HashMap` that was made here would hash by.
#[anyfork::worker]
fn hash_key(mut socket: UnixStream) -> io::Result<()> {
    write!(socket, "{}", RandomState::new().hash_one(0))
}

fn hash_keys() {
    for exec in [Process::new(), Process::new_exec()] {
        let exec = exec.expect("a template");
        let template = exec.fork().init("note", args!["a"]);
        let ask = |n| {
            answer(
                if n % 2 == 0 {
                    exec.fork()
                } else {
                    template.fork()
                },
                "hash_key",
            )
        };
        let keys: BTreeSet<String> = (0..20).map(ask).collect();
        assert_eq!(keys.len(), 20);
    }
}

/// Nothing here or in the library may look into `/proc`.
fn without_proc() -> ExitCode {
    if hide_proc().is_err() {
        return ExitCode::from(NOT_PERMITTED);
    }
    assert!(!Path::new("/proc/self").exists());
    assert!(Process::early().is_err());
    let exec = Process::new_exec().expect("a template");
    for process in [exec.fork(), Process::new().expect("a template"), exec] {
        let template = process.init("note", args!["a"]);
        for _ in 0..2 {
            assert_eq!(noted(template.fork().init("note", args!["b"])), "ab");
        }
    }
    // Another program, which finds none when it starts.
    let other = env::args().nth(2).expect("a program");
    let status = Command::new(other).arg("early").status();
    assert!(status.expect("a program").success());
    // Threads are seen all the same.
    let threaded = Process::new()
        .expect("a template")
        .init("leave_a_thread", ());
    let error = threaded
        .fork()
        .run("noted")
        .blocking()
        .expect_err("a thread");
    assert_eq!(error.kind(), ErrorKind::InitFailed, "{error}");
    let exec = Process::new_exec()
        .expect("a template")
        .prepare()
        .blocking();
    let exec = exec.expect("a template");
    let mut worker = held(exec.fork());
    // Nor is `/proc` needed to learn of an end without a template.
    kill_now(exec.pid().expect("it has answered"));
    worker.start_kill().expect("it runs");
    let exit = bounded("wait", || worker.wait());
    match exit {
        Ok(exit) => assert_eq!(exit.signal(), Some(libc::SIGKILL)),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Died, "{error}"),
    }
    ExitCode::SUCCESS
}

/// Puts an empty folder in the place of `/proc`, for this process and those that
/// it starts.
fn hide_proc() -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let (none, private) = (None::<&str>, MsFlags::MS_PRIVATE | MsFlags::MS_REC);
    mount(none, "/", none, private, none)?;
    mount(Some("none"), "/proc", Some("tmpfs"), MsFlags::empty(), none)
}

static NOTES: Mutex<String> = Mutex::new(String::new());

#[anyfork::init]
fn note(text: String) {
    NOTES.lock().expect("no panic").push_str(&text);
}

#[anyfork::worker(name = "noted")]
fn tell_notes(mut socket: UnixStream) -> io::Result<()> {
    socket.write_all(NOTES.lock().expect("no panic").as_bytes())
}

fn noted(process: Process) -> String {
    answer(process, "noted")
}

fn answer(process: Process, worker: &str) -> String {
    let worker = bounded("a launch", || process.run(worker).blocking());
    let mut worker = worker.expect("a worker");
    let mut text = String::new();
    worker.socket.read_to_string(&mut text).expect("an answer");
    assert!(worker.wait().expect("a status").success());
    text
}

#[anyfork::init]
fn leave_a_thread() {
    thread::spawn(thread::park);
}

/// Says which process it is in, and stays there.
#[anyfork::init]
fn hang() {
    println!("{}", std::process::id());
    loop {
        thread::park();
    }
}

fn hang_in_init() {
    let hanging = || Process::new().expect("a template").init("hang", ());
    let exec = Process::new_exec().expect("a template");
    let _launches = [
        hanging().run("hold"),
        hanging().fork().run("hold"),
        exec.init("hang", ()).run("hold"),
    ];
    loop {
        thread::park();
    }
}

fn large() {
    const SIZE: usize = 1 << 30;
    // Touched, and not left out by the compiler.
    let memory = std::hint::black_box(vec![1_u8; SIZE]);
    let kib = |pid, field| -> usize {
        let value = status(pid, field);
        let number = value.split(' ').next().and_then(|kib| kib.parse().ok());
        number.expect("a number of KiB")
    };
    assert!(kib(std::process::id(), "VmRSS") > SIZE / 1024);
    thread::scope(|scope| {
        scope.spawn(|| {
            let process = Process::new_exec().expect("a template");
            let template = serving(&process);
            let worker = held(process.fork());
            for pid in [template, worker.pid()] {
                // Not even reserved.
                assert!(kib(pid, "VmSize") < SIZE / 1024);
                assert!(kib(pid, "VmHWM") < 64 * 1024);
            }
            release(worker);
        });
    });
    drop(memory);
}
