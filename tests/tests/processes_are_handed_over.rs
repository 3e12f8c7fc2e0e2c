//! A prepared process is handed over to another process and used there, with its
//! preparation; one template serves many processes at the same time.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::id;
use std::sync::OnceLock;
use std::thread;

use anyfork::{Args, ErrorKind, Process, args};
use anyfork_tests::births::{end, serving};
use anyfork_tests::{
    Scene, alone, bounded, flags, has_ended, held, pipe_with, release, rest_of, until,
};
use sendfd::{RecvWithFd, SendWithFd};

#[anyfork::early]
fn preload() {}

static LOADED: OnceLock<String> = OnceLock::new();

#[anyfork::init]
fn load(text: String) {
    LOADED.set(text).unwrap();
}

/// Tells all that it has, and who it is.
#[anyfork::worker]
fn tell(mut socket: UnixStream, own: Option<String>, rest: Args) -> io::Result<()> {
    let loaded = LOADED.get().map_or("nothing", String::as_str);
    write!(socket, "{} {loaded} {}", id(), own.unwrap_or_default())?;
    for arg in rest {
        match arg {
            anyfork::Arg::Bytes(bytes) => socket.write_all(&bytes)?,
            anyfork::Arg::Fd(fd) => {
                socket.write_all(io::read_to_string(File::from(fd))?.as_bytes())?
            }
        }
    }
    Ok(())
}

/// What one of `process`'s workers told, and its pid.
fn reported(process: Process) -> (u32, String) {
    let mut worker = bounded("a launch", || process.run("tell").blocking()).unwrap();
    let text = rest_of(&mut worker);
    let (pid, text) = text.split_once(' ').unwrap();
    assert_eq!(pid, worker.pid().to_string());
    (worker.pid(), text.to_owned())
}

/// Receives a process and starts workers from it, in so many threads; tells how
/// many there were.
#[anyfork::worker]
fn use_it(mut socket: UnixStream, threads: usize, first: usize, step: usize, end: usize) {
    let mut fd = [0];
    let (_, count) = socket.recv_with_fd(&mut [0; 8], &mut fd).unwrap();
    assert_eq!(count, 1);
    // SAFETY: it was just received.
    let process = Process::from_fd(unsafe { OwnedFd::from_raw_fd(fd[0]) }).unwrap();
    // sendfd leaves descriptors open to programs that are executed.
    assert_eq!(flags(id(), fd[0]) & libc::O_CLOEXEC, libc::O_CLOEXEC);
    let start = |thread| {
        let numbers = (first + thread * step..end).step_by(step * threads);
        let pids = numbers.map(|number| {
            let (pid, text) = reported(process.fork().send_arg(number).send_arg("."));
            assert_eq!(text, format!("all of it {number}."));
            pid
        });
        pids.collect::<Vec<_>>()
    };
    let pids = thread::scope(|scope| {
        let threads = (0..threads).map(|thread| scope.spawn(move || start(thread)));
        let threads: Vec<_> = threads.collect();
        let joined = threads.into_iter().map(|thread| thread.join().unwrap());
        joined.collect::<Vec<_>>().concat()
    });
    for pid in pids {
        writeln!(socket, "{pid}").unwrap();
    }
}

/// Sends a process to a worker.
fn hand_over(fd: &OwnedFd, to: &UnixStream) {
    to.send_with_fd(b"process!", &[fd.as_raw_fd()]).unwrap();
}

#[test]
fn a_prepared_process_is_used_elsewhere() {
    let _alone = alone();
    let scene = Scene::early();
    let process = Process::new().unwrap().init("load", args!["all of it"]);
    let fd = process.into_fd().unwrap();
    let worker = use_it::run(Process::new().unwrap(), 1, 0, 1, 10);
    let mut worker = worker.blocking().unwrap();
    hand_over(&fd, &worker.socket);
    let mut pids = String::new();
    worker.socket.read_to_string(&mut pids).unwrap();
    assert!(worker.wait().unwrap().success());
    assert_eq!(pids.lines().collect::<BTreeSet<_>>().len(), 10);
    drop((worker, fd));
    scene.must_return();
}

#[test]
fn eight_processes_with_four_threads_each_use_one_template() {
    const WORKERS: usize = 2000;
    let _alone = alone();
    let scene = Scene::early();
    let process = Process::new().unwrap().init("load", args!["all of it"]);
    let template = process.fork();
    let fd = process.into_fd().unwrap();
    let mut users: Vec<_> = (0..8)
        .map(|n| {
            let user = use_it::run(Process::new().unwrap(), 4, n, 8, WORKERS);
            let user = user.blocking().unwrap();
            hand_over(&fd, &user.socket);
            user
        })
        .collect();
    // Here, too, at the same time.
    for n in 0..100 {
        assert_eq!(
            reported(template.fork().send_arg(n)).1,
            format!("all of it {n}")
        );
    }
    let mut count = 0;
    for user in &mut users {
        let mut text = String::new();
        bounded("an end", || user.socket.read_to_string(&mut text)).unwrap();
        assert!(user.wait().unwrap().success());
        count += text.lines().count();
    }
    assert_eq!(count, WORKERS);
    drop((users, template, fd));
    scene.must_return();
}

#[test]
fn arguments_and_descriptors_stay_with_it() {
    let _alone = alone();
    let process = Process::new().unwrap().send_arg("a");
    let process = process.send_fd(pipe_with("b")).send_arg("c").fork();
    let fd = process.send_arg("d").into_fd().unwrap();
    let process = Process::from_fd(fd.try_clone().unwrap()).unwrap();
    let deeper = process.send_arg("e").fork().send_arg("f");
    assert_eq!(reported(deeper).1, "nothing abcdef");
    // The descriptor is at its end; the process can be used again.
    let process = Process::from_fd(fd).unwrap();
    assert_eq!(reported(process.fork().send_arg("g")).1, "nothing acdg");
    assert_eq!(reported(process).1, "nothing acd");
}

#[test]
fn it_lives_as_long_as_its_last_owner() {
    let _alone = alone();
    let scene = Scene::early();
    let process = Process::new().unwrap().send_arg("x");
    let pid = serving(&process);
    let mut fd = Some(process.into_fd().unwrap());
    release(held(
        Process::from_fd(fd.as_ref().unwrap().try_clone().unwrap()).unwrap(),
    ));
    assert!(!has_ended(pid));
    drop(fd.take());
    until("the last owner is gone", || has_ended(pid));

    // The owner is another process.
    let fd = Process::new().unwrap().into_fd().unwrap();
    let pid = serving(&Process::from_fd(fd.try_clone().unwrap()).unwrap());
    let owner = held(Process::new().unwrap().send_fd(fd));
    release(held(Process::new().unwrap()));
    assert!(!has_ended(pid));
    release(owner);
    until("the last owner is gone", || has_ended(pid));
    scene.must_return();
}

#[anyfork::init]
fn fail() -> Result<(), &'static str> {
    Err("on purpose")
}

#[test]
fn what_cannot_be_handed_over_is_an_error() {
    let _alone = alone();
    let failing = Process::new().unwrap().init("fail", ());
    let error = failing.into_fd().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InitFailed, "{error}");

    let (stream, _other) = UnixStream::pair().unwrap();
    let (datagram, _other) = UnixDatagram::pair().unwrap();
    for fd in [
        OwnedFd::from(stream),
        datagram.into(),
        File::open("/dev/null").unwrap().into(),
        pipe_with("x"),
    ] {
        let error = Process::from_fd(fd).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    }
}

#[test]
fn one_that_has_died_is_gone_for_all_its_owners() {
    let _alone = alone();
    let process = Process::new().unwrap().send_arg("x");
    let pid = serving(&process);
    let kept = process.fork();
    let fd = process.into_fd().unwrap();
    end(pid);
    let received = Process::from_fd(fd).unwrap();
    for process in [received.fork(), received.send_arg("y").fork(), kept] {
        let launch = process.run("hold");
        let error = bounded("a launch", || launch.blocking()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}");
    }
}
