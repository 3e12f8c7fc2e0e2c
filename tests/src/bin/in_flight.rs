//! A program that gives its rights up, and fills what its user may have of descriptors that
//! are sent and not received (`ETOOMANYREFS`, unix(7)): whoever of anyfork's sends one waits
//! meanwhile. Its argument says who.

#[path = "in_flight/beside.rs"]
mod beside;

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use anyfork::{Args, ErrorKind, Fd, Pool, Process, Sender, args, blocking};
use anyfork_tests::births::stop;
use anyfork_tests::rights::NOBODY;
use anyfork_tests::spares::{idle, until_idle, warm};
use anyfork_tests::{bounded, byte_of, children, end_by, exit_of, held, hold, release};
use anyfork_tests::{send_signal, until};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, getpid, gettid, setgid, setgroups, setuid};
use sendfd::SendWithFd;

/// Number of descriptors that a process of the user may have, and send.
const LIMIT: u64 = 100;

type Scenario = fn();

const SCENARIOS: [(&str, Scenario); 17] = [
    ("launch", launch),
    ("launch with more than a message takes", launch_with_many),
    ("template that is handed over", hand_over),
    ("greeting of a program", greet),
    ("number of spares", keep_warm),
    ("answer of a worker", answer),
    ("answer of a template", answer_of_template),
    ("answer of a program", answer_of_program),
    ("notice of a spare", notice),
    ("number that a spare passes on", pass_on),
    ("child that a monitor gives back", give_back),
    ("call", call),
    ("result", result),
    ("event", event),
    ("call beside others", beside::call),
    ("result beside others", beside::result),
    ("event beside others", beside::event),
];

fn main() {
    setgroups(&[]).expect("root");
    setgid(Gid::from_raw(NOBODY)).expect("root");
    // The limit is the user's, so no other program may be of the same.
    setuid(Uid::from_raw(20_000 + std::process::id() % 40_000)).expect("root");
    setrlimit(Resource::RLIMIT_NOFILE, LIMIT, LIMIT).expect("a lower limit");
    let which = std::env::args().nth(1);
    for (name, scenario) in SCENARIOS {
        if which.as_ref().is_none_or(|it| it == name) {
            println!("{name}");
            scenario();
        }
    }
}

/// So many descriptors in flight that the kernel takes no more of this user.
struct Full {
    _ends: [UnixStream; 2],
}

impl Full {
    fn new() -> Full {
        let null = null();
        let many = vec![null.as_raw_fd(); 200];
        let (full, end) = UnixStream::pair().expect("a pair");
        // What others have sent is received in the end.
        until("there are enough", || {
            let sent = full.send_with_fd(b"!", &many);
            sent.is_err_and(|error| error.raw_os_error() == Some(libc::ETOOMANYREFS))
        });
        Full { _ends: [full, end] }
    }
}

fn null() -> File {
    File::open("/dev/null").expect("a file")
}

fn template() -> Process {
    Process::new_exec().expect("a template")
}

/// How often a thread of a process has waited for something.
fn waits(task: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{task}/status")).unwrap_or_default();
    let waits = status
        .lines()
        .find_map(|it| it.strip_prefix("voluntary_ctxt_switches:"));
    waits.map_or(0, |waits| waits.trim().parse().expect("a number"))
}

/// Waits until a process tries again and again.
fn must_try(task: &str) {
    let before = waits(task);
    until("it tries again", || waits(task) > before + 4);
}

/// Does in a thread what may wait, until it has tried and there is room.
fn in_a_thread<T: Send>(full: Full, work: impl FnOnce() -> T + Send) -> T {
    let (told, tell) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        let worker = scope.spawn(move || {
            told.send(format!("{}/task/{}", getpid(), gettid()))
                .expect("a listener");
            work()
        });
        must_try(&tell.recv().expect("a thread"));
        drop(full);
        bounded("what waits", || worker.join()).expect("no panic")
    })
}

fn launch() {
    let process = template();
    let bystander = held(process.fork());
    let full = Full::new();
    // The request waits, and so does what goes with it.
    let launch = hold::run(process.fork(), args![null()]);
    drop(hold::run(process.fork(), args![]));
    let limited = hold::run(process.fork().timeout(Duration::from_millis(100)), args![]);
    let error = bounded("a launch", || limited.blocking()).expect_err("no room");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    drop(full);
    finish(launch);
    release(bystander);
}

fn finish(launch: anyfork::Launch<anyfork::Worker>) {
    let mut worker = bounded("a launch", || launch.blocking()).expect("a worker");
    byte_of(&mut worker.socket);
    release(worker);
}

fn launch_with_many() {
    let process = template();
    let full = Full::new();
    // One file, for there are but few descriptors.
    let message: Vec<_> = (0..40).map(|_| OwnedFd::from(null())).collect();
    let launch = hold::run(process.fork().send_fds(message), args![]);
    drop(full);
    finish(launch);
}

/// Starts a worker from the template that it is given.
#[anyfork::worker]
fn start_from(_socket: UnixStream, template: OwnedFd) -> anyfork::Result<()> {
    release(held(Process::from_fd(template)?));
    Ok(())
}

fn hand_over() {
    let end = template().into_fd().expect("an end");
    let process = template();
    let full = Full::new();
    let launch = start_from::run(process, end);
    drop(full);
    assert!(exit_of(launch).success());
}

fn greet() {
    let made = in_a_thread(Full::new(), Process::new_exec);
    release(held(made.expect("a template")));
}

fn keep_warm() {
    let (template, pid) = warm(template(), 0);
    let template = in_a_thread(Full::new(), || template.keep_warm(2));
    until_idle(pid, 2);
    drop(template);
}

/// Waits until its caller lets it go.
#[anyfork::init]
fn wait(mut gate: PipeReader) {
    gate.read_to_end(&mut Vec::new()).expect("a pipe");
}

/// The only child of a template, once it waits.
fn only_child(template: u32) -> u32 {
    let mut found = None;
    until("a child waits", || {
        found = children(template)
            .into_iter()
            .find(|(_, state)| *state == 'S');
        found.is_some()
    });
    found.expect("a child").0
}

fn answer() {
    let (process, template) = warm(template(), 0);
    let (gate, open) = io::pipe().expect("a pipe");
    let launch = hold::run(process.fork().init("wait", args![gate]), Args::new());
    let child = only_child(template);
    let full = Full::new();
    drop(open);
    must_try(&child.to_string());
    drop(full);
    finish(launch);
}

fn answer_of_template() {
    let (process, template) = warm(template(), 0);
    let (gate, open) = io::pipe().expect("a pipe");
    let launch = process.fork().init("wait", args![gate]).prepare();
    let child = only_child(template);
    let full = Full::new();
    drop(open);
    must_try(&child.to_string());
    drop(full);
    let prepared = bounded("a template", || launch.blocking()).expect("a template");
    release(held(prepared));
}

fn answer_of_program() {
    let (process, template) = warm(template(), 0);
    release(held(process.fork()));
    stop(template);
    let launch = process.exec("/bin/true").spawn();
    let full = Full::new();
    send_signal(template, libc::SIGCONT);
    let child = only_child(template);
    must_try(&child.to_string());
    drop(full);
    let mut child = bounded("a launch", || launch.blocking()).expect("a program");
    assert!(
        bounded("an exit", || child.wait())
            .expect("a status")
            .success()
    );
}

/// Has the spare of a template take what `send` sends when all is full. The template goes on
/// only when the spare has tried.
fn by_spare<T>(template: u32, send: impl FnOnce() -> T) -> T {
    let spare = until_idle(template, 1)[0];
    stop(template);
    stop(spare);
    let sent = send();
    let full = Full::new();
    send_signal(spare, libc::SIGCONT);
    must_try(&spare.to_string());
    drop(full);
    send_signal(template, libc::SIGCONT);
    sent
}

fn notice() {
    let (process, template) = warm(template(), 1);
    let launch = by_spare(template, || end_by::run(process.fork(), 7, 0));
    let mut worker = bounded("a launch", || launch.blocking()).expect("a worker");
    must_end(&mut worker);
}

/// Its template tells of the exit: it has the status pipe.
fn must_end(worker: &mut blocking::Worker) {
    worker
        .socket
        .shutdown(std::net::Shutdown::Write)
        .expect("it is there");
    let exit = bounded("an exit", || worker.wait()).expect("a status");
    assert_eq!(exit.code(), Some(7), "{exit}");
    assert!(exit.usage().peak_memory > 0, "{exit}");
}

fn pass_on() {
    let (process, template) = warm(template(), 1);
    let process = Process::from_fd(process.into_fd().expect("an end")).expect("a template");
    let process = by_spare(template, || process.keep_warm(3));
    until("there are more spares", || idle(template).len() == 3);
    drop(process);
}

fn give_back() {
    let (process, template) = warm(template(), 0);
    let end = process.into_fd().expect("an end");
    let process = Process::from_fd(end.try_clone().expect("room")).expect("a template");
    let mut worker = bounded("a launch", || end_by::run(process.fork(), 7, 0).blocking());
    let worker = worker.as_mut().expect("a worker");
    let mut others = Vec::new();
    for _ in 0..3 {
        let caller = start_many::run(
            Process::new_exec().expect("a template"),
            end.try_clone().expect("room"),
        );
        let mut caller = bounded("a launch", || caller.blocking()).expect("a worker");
        byte_of(&mut caller.socket);
        others.push(caller);
    }
    let monitor = || {
        let mut all = children(template).into_keys();
        all.find(|pid| {
            let title = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            title.starts_with(b"anyfork: monitor of ")
        })
    };
    until("there is a monitor", || monitor().is_some());
    let monitor = monitor().expect("it stays");
    let full = Full::new();
    worker
        .socket
        .shutdown(std::net::Shutdown::Write)
        .expect("it is there");
    must_try(&monitor.to_string());
    drop(full);
    must_end(worker);
    others.into_iter().for_each(release);
}

/// Starts as many workers as it has room for, and stays.
#[anyfork::worker]
fn start_many(mut socket: UnixStream, template: OwnedFd) -> anyfork::Result<()> {
    let template = Process::from_fd(template)?;
    let workers: Vec<_> = (0..16).map(|_| held(template.fork())).collect();
    io::Write::write_all(&mut socket, b"!").expect("a caller");
    io::copy(&mut socket, &mut io::sink()).expect("a caller");
    workers.into_iter().for_each(release);
    Ok(())
}

/// Gives back what it gets.
#[anyfork::call]
fn pass(file: File, mut gate: PipeReader, pid: Sender<u32>) -> File {
    pid.send(std::process::id()).blocking().expect("a caller");
    gate.read_to_end(&mut Vec::new()).expect("a pipe");
    file
}

fn pool() -> Pool {
    Pool::builder(template()).max(1).build().expect("a pool")
}

fn call() {
    let pool = pool();
    let (gate, open) = io::pipe().expect("a pipe");
    drop(open);
    bounded("a call", || {
        pass::call(&pool, null(), gate.try_clone().expect("room")).blocking()
    })
    .expect("a result");
    in_a_thread(Full::new(), || pass::call(&pool, null(), gate).blocking()).expect("a result");
}

fn result() {
    let pool = pool();
    let (gate, open) = io::pipe().expect("a pipe");
    let mut call = pass::call(&pool, null(), gate);
    let pid = bounded("an event", || call.recv().blocking()).expect("an event");
    let full = Full::new();
    drop(open);
    must_try(&pid.to_string());
    drop(full);
    bounded("a call", || call.blocking()).expect("a result");
}

/// Tells that it is entered, and sends what it gets.
#[anyfork::call]
fn send(file: File, mut told: PipeWriter, mut gate: PipeReader, files: Sender<Fd<File>>) {
    told.write_all(b"!").expect("a pipe");
    drop(told);
    gate.read_to_end(&mut Vec::new()).expect("a pipe");
    files.send(Fd(file)).blocking().expect("a caller");
}

fn event() {
    let pool = pool();
    let (mut told, tell) = io::pipe().expect("a pipe");
    let (gate, open) = io::pipe().expect("a pipe");
    let mut call = send::call(&pool, null(), tell, gate);
    bounded("a begin", || told.read_exact(&mut [0])).expect("it is entered");
    let pid = call.pid().expect("just seen");
    let full = Full::new();
    drop(open);
    must_try(&pid.to_string());
    drop(full);
    bounded("an event", || call.recv().blocking()).expect("an event");
    bounded("a call", || call.blocking()).expect("a result");
}
