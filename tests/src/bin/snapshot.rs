//! A program that forks itself: does what its first argument says, and asserts
//! what must hold.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::env;
use std::io::{self, BufWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{self, ExitCode};
use std::sync::Mutex;
use std::sync::mpsc;
use std::thread;

use anyfork::{ErrorKind, Process};
use anyfork_tests::births::{running, serving};
use anyfork_tests::{children, descriptors, has_ended, held, release, template_of, until};

static STATE: Mutex<Vec<String>> = Mutex::new(Vec::new());

thread_local! {
    static LOCAL: RefCell<String> = const { RefCell::new(String::new()) };
}

fn main() -> ExitCode {
    let what = env::args().nth(1).unwrap_or_default();
    match what.as_str() {
        "buffers" => buffers(),
        "closed" => closed(),
        "descriptors" => only_its_own_descriptors(),
        "destructors" => destructors(),
        "in-a-worker" => in_a_worker(),
        "new-in-a-worker" => new_in_a_worker(),
        "state" => state(),
        "threads" => threads(),
        _ => return ExitCode::from(2),
    }
    ExitCode::SUCCESS
}

fn snapshot() -> Process {
    Process::snapshot().expect("one thread")
}

/// What a worker wrote; it has succeeded.
fn answer(process: Process, worker: &str) -> String {
    let worker = process.run(worker).blocking();
    let mut worker = worker.expect("a worker");
    let mut text = String::new();
    let read = worker.socket.read_to_string(&mut text);
    read.expect("an answer");
    assert!(worker.wait().expect("a status").success(), "{text}");
    text
}

fn set(text: &str) {
    let mut state = STATE.lock().expect("no panic");
    state.push(text.to_owned());
    LOCAL.with_borrow_mut(|local| local.push_str(text));
}

#[anyfork::worker]
fn tell(mut socket: UnixStream) -> io::Result<()> {
    set("w");
    let state = STATE.lock().expect("no panic").join(",");
    write!(socket, "{state} {}", LOCAL.with_borrow(String::clone))
}

fn state() {
    set("a");
    let first = snapshot();
    set("b");
    let second = snapshot();
    set("c");
    for _ in 0..3 {
        assert_eq!(answer(first.fork(), "tell"), "a,w aw");
        assert_eq!(answer(second.fork(), "tell"), "a,b,w abw");
    }
    assert_eq!(*STATE.lock().expect("no panic"), ["a", "b", "c"]);
    let template = serving(&first);
    assert_ne!(serving(&second), template);
    // It is nobody's child that somebody here would have to wait for.
    assert_eq!(children(process::id()).len(), 0);
    drop(first);
    until("an unused template is gone", || has_ended(template));
}

fn threads() {
    let own = env::current_exe().expect("a path");
    let alone = BTreeSet::from([process::id()]);
    let (end, more) = mpsc::channel::<()>();
    let thread = thread::spawn(move || more.recv());
    let error = Process::snapshot().expect_err("two threads");
    assert_eq!(error.kind(), ErrorKind::MultiThreaded, "{error}");
    assert!(error.to_string().contains("2 threads"), "{error}");
    assert_eq!(running(Path::new(&own)), alone);
    drop(end);
    let _ = thread.join();
    set("a");
    for _ in 0..20 {
        assert_eq!(answer(snapshot(), "tell"), "a,w aw");
        // The kernel still sees a thread that was joined a moment ago.
        thread::spawn(|| ()).join().expect("no panic");
        drop(snapshot());
        // One of a scope may not even have ended.
        thread::scope(|scope| drop(scope.spawn(|| ())));
    }
    until("all templates are gone", || {
        running(Path::new(&own)) == alone
    });
}

/// Says that it is dropped.
struct Loud(&'static str);

impl Drop for Loud {
    fn drop(&mut self) {
        println!("{} is dropped", self.0);
    }
}

thread_local! {
    static LOUD: Loud = const { Loud("thread-local") };
}

extern "C" fn at_exit() {
    println!("at exit");
}

#[anyfork::worker]
fn end(_socket: OwnedFd, how: String) {
    let _own = Loud("a worker's");
    match how.as_str() {
        "panic" => panic!("a test's panic"),
        "snapshot" => assert_eq!(answer(snapshot(), "tell"), "w w"),
        _ => {}
    }
}

fn destructors() {
    let kept = Loud("kept");
    LOUD.with(|loud| assert_eq!(loud.0, "thread-local"));
    // SAFETY: the function can be called at the end.
    unsafe { libc::atexit(at_exit) };
    {
        let _moved = Loud("moved on");
        let template = snapshot();
        for how in ["return", "panic", "snapshot"] {
            let worker = template.fork().send_arg(how).run("end").blocking();
            let exit = worker.expect("a worker").wait().expect("a status");
            assert_eq!(exit.success(), how != "panic");
        }
        let pid = serving(&template);
        drop(template);
        until("the template is gone", || has_ended(pid));
    }
    drop(kept);
}

fn buffers() {
    print!("std's text ");
    // SAFETY: prints a C string.
    unsafe { libc::printf(c"C's text ".as_ptr()) };
    let mut writer = BufWriter::new(io::stdout());
    write!(writer, "the program's text ").expect("room in the buffer");
    let template = snapshot();
    assert_eq!(answer(template.fork(), "tell"), "w w");
    assert_eq!(answer(template, "say"), "");
    writer.flush().expect("stdout is open");
}

#[anyfork::worker]
fn say() {
    print!("a worker's text ");
}

/// Takes a snapshot of its own, two deep.
#[anyfork::worker]
fn relay(mut socket: UnixStream, depth: u32) -> anyfork::Result<()> {
    set(&depth.to_string());
    let process = snapshot();
    let text = match depth {
        0 => answer(process, "tell"),
        _ => answer(process.send_arg(depth - 1), "relay"),
    };
    Ok(socket.write_all(text.as_bytes())?)
}

fn in_a_worker() {
    set("main");
    assert_eq!(
        answer(snapshot().send_arg(2), "relay"),
        "main,2,1,0,w main210w"
    );
    let exec = Process::new_exec().expect("a template");
    assert_eq!(answer(exec.send_arg(1), "relay"), "1,0,w 10w");
}

/// Says which templates it gets.
#[anyfork::worker]
fn templates(mut socket: UnixStream) -> anyfork::Result<()> {
    let error = Process::early().expect_err("no early template");
    assert!(error.to_string().contains("forked by anyfork"), "{error}");
    let default = [Process::new()?, Process::new()?].map(|process| {
        let worker = held(process);
        let template = template_of(&worker);
        release(worker);
        template
    });
    assert_eq!(default[0], default[1]);
    write!(socket, "{}", default[0])?;
    Ok(())
}

fn new_in_a_worker() {
    let default = || {
        let worker = held(Process::new().expect("a template"));
        let template = template_of(&worker);
        release(worker);
        template
    };
    let unused = snapshot();
    let own = default();
    // These have this process's default template in their memory.
    let used = snapshot();
    let more = Process::new().expect("a template").send_arg("x");
    let more_used = snapshot();
    let mut seen = BTreeSet::from([own]);
    for process in [unused, used.fork(), used, more_used.fork().fork()] {
        let theirs = answer(process, "templates").parse().expect("a pid");
        assert!(seen.insert(theirs), "{theirs} in {seen:?}");
        until("the worker's template is gone", || has_ended(theirs));
    }
    assert_eq!(default(), own);
    release(held(more));
}

fn only_its_own_descriptors() {
    let (mut read, write) = io::pipe().expect("a pipe");
    let template = snapshot();
    let serving = serving(&template);
    // Its first worker may not be reaped yet.
    until("the template has its own descriptors only", || {
        let open = descriptors(serving);
        (open.range(0..3).count(), open.len()) == (3, 6)
    });
    drop(write);
    let mut text = String::new();
    // The template does not hold it open.
    assert_eq!(read.read_to_string(&mut text).expect("the end"), 0);
    release(held(template));
}

/// With the standard streams closed long after the start.
fn closed() {
    for number in 0..3 {
        // SAFETY: nobody owns the standard streams.
        assert_eq!(unsafe { libc::close(number) }, 0);
    }
    let templates = [
        snapshot(),
        Process::new_exec().expect("a template"),
        Process::new().expect("a template").send_arg("x"),
    ];
    // No descriptor of the library's takes a standard stream's place.
    println!("this goes nowhere");
    assert!((0..3).all(|number| !descriptors(process::id()).contains_key(&number)));
    for template in templates {
        let worker = held(template.fork());
        for pid in [worker.pid(), template_of(&worker)] {
            let open = descriptors(pid);
            assert!(
                (0..3).all(|number| open[&number] == "/dev/null"),
                "{open:?}"
            );
        }
        release(worker);
    }
}
