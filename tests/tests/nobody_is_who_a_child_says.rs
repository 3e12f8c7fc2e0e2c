//! A child tells its caller who it is, and may tell what it likes: an init function runs
//! other people's code, a template that was handed over may be anybody's. No other process
//! is ever taken for the child, whatever is told, and none is killed in its place.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::id;
use std::thread;
use std::time::Duration;

use anyfork::{Args, Error, ErrorKind, Process, args, blocking};
use anyfork_tests::hostile::{CLAIM, failed, in_a_fork, lingering, pidfd_of, ready};
use anyfork_tests::hostile::{reply_socket, send_with, status_pipe};
use anyfork_tests::rights::{NOBODY, may_become_nobody};
use anyfork_tests::{alone, bounded, has_ended, held, hold, new, release, runtime};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use sendfd::{RecvWithFd, SendWithFd};

#[anyfork::early]
fn preload() {}

/// Says that this process is that one.
#[anyfork::init]
fn names(victim: u32) {
    send_with(&reply_socket(), &ready(victim), &[pidfd_of(victim)]);
}

/// The same, and never returns.
#[anyfork::init]
fn names_and_stays(victim: u32) {
    names(victim);
    thread::park();
}

/// Tells its own number, and has another process behind it.
#[anyfork::init]
fn names_itself(victim: u32) {
    send_with(&reply_socket(), &ready(id()), &[pidfd_of(victim)]);
}

/// In two pieces, the first with the descriptor.
#[anyfork::init]
fn names_in_pieces(victim: u32) {
    let (socket, frame) = (reply_socket(), ready(victim));
    send_with(&socket, &frame[..3], &[pidfd_of(victim)]);
    (&socket).write_all(&frame[3..]).unwrap();
}

/// A number, and nothing behind it.
#[anyfork::init]
fn numbers(victim: u32) {
    reply_socket().write_all(&ready(victim)).unwrap();
}

/// Another kind of descriptor.
#[anyfork::init]
fn hands_a_pipe(victim: u32) {
    send_with(&reply_socket(), &ready(victim), &[io::pipe().unwrap().0]);
}

/// The process that it was forked from.
#[anyfork::init]
fn names_its_template(_victim: u32) {
    names(std::os::unix::process::parent_id());
}

/// Before anything else, and then ends.
#[anyfork::init]
fn claims(victim: u32) {
    send_with(&reply_socket(), &CLAIM, &[pidfd_of(victim)]);
    // SAFETY: exits at once.
    unsafe { libc::_exit(3) }
}

/// By the mark of the status pipe, and ends.
#[anyfork::init]
fn owns(victim: u32) {
    // SAFETY: takes numbers.
    unsafe { libc::fcntl(status_pipe().as_raw_fd(), libc::F_SETOWN, victim) };
    // SAFETY: exits at once.
    unsafe { libc::_exit(3) }
}

const LIARS: [&str; 9] = [
    "names",
    "names_and_stays",
    "names_itself",
    "names_in_pieces",
    "numbers",
    "hands_a_pipe",
    "names_its_template",
    "claims",
    "owns",
];

/// Processes that run such a function, as this test's user and as nobody.
fn liars(victim: u32) -> impl Iterator<Item = (&'static str, Process)> {
    let users = [false, true]
        .into_iter()
        .filter(|nobody| !nobody || may_become_nobody());
    users.flat_map(move |nobody| {
        LIARS.map(|name| {
            let process = new().init(name, args![victim]).kill_on_drop(true);
            // What a program has told is read when it is executed, or has ended.
            let process = process.timeout(match name {
                "names_and_stays" => Duration::from_secs(1),
                _ => Duration::from_secs(60),
            });
            match nobody {
                true => (name, process.gid(NOBODY).uid(NOBODY)),
                false => (name, process),
            }
        })
    })
}

fn assert_refused(name: &str, error: &Error) {
    let is_refused = match error.kind() {
        ErrorKind::Protocol | ErrorKind::Died => true,
        ErrorKind::TimedOut => name == "names_and_stays",
        _ => false,
    };
    assert!(is_refused, "{name}: {error}");
}

/// The victim works still.
fn must_live(victim: &blocking::Worker) {
    assert!(!has_ended(victim.pid()));
    release(held(new()));
}

#[test]
fn a_launch_that_is_told_of_another_process() {
    let _alone = alone();
    let victim = held(new());
    let launch = |process| hold::run(process, Args::new());
    for (name, process) in liars(victim.pid()) {
        let error = bounded(name, || launch(process).blocking());
        let error = error.map(|it| panic!("{name}: {it:?}"));
        assert_refused(name, &error.unwrap_err());
        must_live(&victim);
    }
    for (name, process) in liars(victim.pid()) {
        let launched = bounded(name, || runtime().block_on(launch(process).into_future()));
        assert_refused(name, &launched.err().unwrap());
        must_live(&victim);
    }
    // Dropped, whatever has come by then.
    for (_, process) in liars(victim.pid()) {
        drop(launch(process));
    }
    must_live(&victim);
    release(victim);
}

#[test]
fn a_program_that_is_told_of_another_process() {
    let _alone = alone();
    let victim = held(new());
    for (name, process) in liars(victim.pid()) {
        let launch = process.exec("/bin/true").spawn();
        assert_refused(name, &bounded(name, || launch.blocking()).err().unwrap());
        must_live(&victim);
    }
    release(victim);
}

#[test]
fn a_template_that_is_told_of_another_process() {
    let _alone = alone();
    let victim = held(new());
    for (name, process) in liars(victim.pid()) {
        // It ends in time, whatever it is told: it may know no better.
        let prepared = bounded(name, || process.prepare().blocking());
        if let Ok(template) = prepared {
            let _ = bounded(name, || hold::run(template, Args::new()).blocking());
        }
        must_live(&victim);
    }
    release(victim);
}

/// A false template: takes requests, and answers each with another process.
#[anyfork::worker]
fn false_template(socket: UnixStream, victim: u32) -> io::Result<()> {
    let (family, kind) = (AddressFamily::Unix, SockType::SeqPacket);
    let (owner, mine) = socketpair(family, kind, None, SockFlag::SOCK_CLOEXEC)?;
    socket.send_with_fd(b"!", &[owner.as_raw_fd()])?;
    drop(owner);
    let mine = UnixDatagram::from(mine);
    let (mut bytes, mut fds) = (vec![0; 65536], [0; 16]);
    loop {
        let (len, count) = mine.recv_with_fd(&mut bytes, &mut fds)?;
        if len == 0 {
            return Ok(());
        }
        let mut own = fds[..count].iter().map(|fd| {
            // SAFETY: it has just been received, and is owned here once.
            unsafe { <OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(*fd) }
        });
        if let Some(reply) = own.next().map(UnixStream::from) {
            send_with(&reply, &ready(victim), &[pidfd_of(victim)]);
        }
    }
}

#[test]
fn a_false_template_that_tells_of_another_process() {
    let _alone = alone();
    let victim = held(new());
    let mut liar = bounded("a launch", || {
        false_template::run(new(), victim.pid()).blocking().unwrap()
    });
    let (mut byte, mut fds) = ([0], [0]);
    let received = bounded("a socket", || liar.socket.recv_with_fd(&mut byte, &mut fds));
    assert_eq!(received.unwrap(), (1, 1));
    // SAFETY: it has just been received.
    let owner: OwnedFd = unsafe { std::os::fd::FromRawFd::from_raw_fd(fds[0]) };
    let process = Process::from_fd(owner).unwrap();
    for _ in 0..3 {
        let launch = hold::run(process.fork().kill_on_drop(true), Args::new());
        let error = bounded("a launch", || launch.blocking()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
        must_live(&victim);
    }
    drop(process);
    assert!(bounded("its exit", || liar.wait()).unwrap().success());
    release(victim);
}

/// A process that has ended, and was reaped, before it is told of.
#[anyfork::init]
fn names_the_dead() {
    let pid = in_a_fork(|| {});
    let pidfd = pidfd_of(pid);
    // SAFETY: waits for a child of this process's.
    unsafe { libc::waitpid(pid as i32, std::ptr::null_mut(), 0) };
    send_with(&reply_socket(), &ready(pid), &[pidfd]);
}

/// It can be neither hit nor waited for.
#[test]
fn one_that_has_ended_is_nobody() {
    let _alone = alone();
    let launch = hold::run(new().init("names_the_dead", args![]), Args::new());
    if let Ok(mut worker) = bounded("a launch", || launch.blocking()) {
        worker.start_kill().unwrap();
        let _ = bounded("an exit", || worker.wait());
    }
    release(held(new()));
}

/// Answers with what takes an hour to close.
#[anyfork::init]
fn lingers() {
    let socket = reply_socket();
    let mut ends = Vec::new();
    for frame in [&CLAIM[..], &ready(id()), &failed("x"), &failed("y")] {
        let (stream, end) = lingering();
        send_with(&socket, frame, &[stream]);
        ends.push(end);
    }
    let _ = (&socket).read(&mut [0]);
    thread::park();
}

#[test]
fn what_takes_long_to_close_holds_nobody_up() {
    let _alone = alone();
    let process = || new().init("lingers", args![]);
    let error = bounded("a launch", || hold::run(process(), Args::new()).blocking());
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Protocol);
    let launch = hold::run(process(), Args::new()).into_future();
    let error = bounded("a launch", || runtime().block_on(launch));
    assert_eq!(error.err().map(|it| it.kind()), Some(ErrorKind::Protocol));
    release(held(new()));
}
