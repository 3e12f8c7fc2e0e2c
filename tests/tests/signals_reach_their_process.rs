//! A signal reaches the process of the handle, or the group that this process
//! leads, and no other: not the caller's group, and not the process that the
//! kernel gives the number to when this one is gone.

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{self, Command, Stdio};

use anyfork::{ErrorKind, Process, blocking};
use anyfork_tests::births::{in_pid_namespace, succeed};
use anyfork_tests::{bounded, byte_of, error_number, held, new, release, stat, until};

#[anyfork::early]
fn preload() {}

/// Tells the signals that come, by their numbers.
#[anyfork::worker]
fn receive(mut socket: UnixStream) -> io::Result<()> {
    let mut all = MaybeUninit::uninit();
    // SAFETY: makes a set of what is this function's.
    unsafe { libc::sigemptyset(all.as_mut_ptr()) };
    // SAFETY: it was made just now.
    let mut all = unsafe { all.assume_init() };
    for signal in [libc::SIGUSR1, libc::SIGRTMIN() + 3] {
        // SAFETY: adds to the set.
        unsafe { libc::sigaddset(&raw mut all, signal) };
    }
    // SAFETY: reads the set.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, std::ptr::null_mut()) };
    loop {
        socket.write_all(b"?")?;
        let mut signal = 0;
        // SAFETY: reads the set, and writes a number.
        unsafe { libc::sigwait(&raw const all, &raw mut signal) };
        socket.write_all(&[u8::try_from(signal).expect("a small number")])?;
    }
}

/// Leads a child that stays, and has the pipe for as long as the test has it.
#[anyfork::worker]
fn lead(mut socket: UnixStream, pipe: OwnedFd) -> io::Result<()> {
    // SAFETY: this process has one thread.
    if unsafe { libc::fork() } == 0 {
        drop(socket);
        let mut pipe = libc::pollfd {
            fd: pipe.as_raw_fd(),
            events: 0,
            revents: 0,
        };
        // SAFETY: waits for one descriptor, whose other end is to be closed.
        unsafe { libc::poll(&raw mut pipe, 1, -1) };
        // SAFETY: ends the process at once.
        unsafe { libc::_exit(0) };
    }
    drop(pipe);
    socket.write_all(b"!")?;
    io::copy(&mut socket, &mut io::sink())?;
    Ok(())
}

fn launched(process: Process, name: &str) -> blocking::Worker {
    bounded("a launch", || process.run(name).blocking()).unwrap()
}

#[test]
fn signals_reach_the_process() {
    let mut worker = launched(new(), "receive");
    let other = worker.child.handle();
    for signal in [
        libc::SIGUSR1,
        libc::SIGRTMIN() + 3,
        libc::SIGUSR1,
        libc::SIGRTMIN() + 3,
    ] {
        assert_eq!(byte_of(&mut worker.socket), b'?');
        match signal {
            libc::SIGUSR1 => worker.signal(signal).unwrap(),
            _ => other.signal(signal).unwrap(),
        }
        assert_eq!(i32::from(byte_of(&mut worker.socket)), signal);
    }
    // None at all: only asks.
    worker.signal(0).unwrap();
    for signal in [-1, libc::SIGRTMAX() + 1, 1000, i32::MIN, i32::MAX] {
        let error = worker.signal(signal).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert_eq!(error_number(&error), Some(libc::EINVAL), "{error}");
        assert!(error.to_string().contains(&signal.to_string()), "{error}");
    }
    assert!(other.try_wait().unwrap().is_none());
    other.signal(libc::SIGTERM).unwrap();
    let exit = bounded("a wait", || worker.wait()).unwrap();
    assert_eq!(exit.signal(), Some(libc::SIGTERM));
    worker.signal(libc::SIGTERM).unwrap();
    assert_eq!(other.wait().unwrap(), exit);
}

#[test]
fn a_real_time_signal_ends_it_too() {
    for signal in [libc::SIGRTMIN(), libc::SIGRTMAX(), libc::SIGUSR1] {
        let mut worker = held(new());
        worker.child.handle().signal(signal).unwrap();
        let exit = bounded("a wait", || worker.wait()).unwrap();
        assert_eq!(exit.signal(), Some(signal));
    }
}

/// A worker that leads a child, and where the child's end is to be seen.
fn leading(process: Process) -> (blocking::Worker, io::PipeReader) {
    let (read, write) = io::pipe().unwrap();
    let mut worker = launched(process.send_fd(write), "lead");
    assert_eq!(byte_of(&mut worker.socket), b'!');
    (worker, read)
}

fn must_end(mut pipe: impl Read) {
    assert_eq!(bounded("end-of-file", || pipe.read(&mut [0])).unwrap(), 0);
}

#[test]
fn a_group_is_all_that_the_process_leads() {
    for signal in [libc::SIGKILL, libc::SIGTERM, libc::SIGRTMIN() + 1] {
        let (mut worker, pipe) = leading(new().process_group(0));
        worker.signal_group(signal).unwrap();
        must_end(pipe);
        let exit = bounded("a wait", || worker.wait()).unwrap();
        assert_eq!(exit.signal(), Some(signal));
        // Nobody is left.
        worker.signal_group(signal).unwrap();
    }
}

#[test]
fn a_group_outlives_its_leader() {
    let (mut worker, pipe) = leading(new().process_group(0));
    worker.start_kill().unwrap();
    let _ = bounded("a wait", || worker.wait()).unwrap();
    until("the leader is gone", || stat(worker.pid()).is_none());
    worker.signal_group(libc::SIGKILL).unwrap();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = kernel.split(|it: char| !it.is_ascii_digit());
    let mut next = || numbers.next().unwrap().parse::<u32>().unwrap();
    if (next(), next()) < (6, 9) {
        eprintln!("skipped: Linux {kernel} does not reach such a group");
        // SAFETY: nobody else has been given the number: its group has it.
        unsafe { libc::kill(-worker.pid().cast_signed(), libc::SIGKILL) };
    }
    must_end(pipe);
}

/// The group that it is in is the caller's own.
#[test]
fn one_who_leads_no_group_has_none() {
    let worker = held(new());
    for sent in [
        worker.signal_group(libc::SIGKILL),
        worker.child.handle().signal_group(libc::SIGTERM),
    ] {
        let error = io::Error::from(sent.unwrap_err());
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
    }
    release(worker);
}

/// A worker that has been killed and reaped, and of which nobody asked
/// whether it has.
fn gone(process: Process) -> blocking::Child {
    let blocking::Worker {
        socket, mut child, ..
    } = held(process);
    child.start_kill().unwrap();
    drop(socket);
    until("a worker is reaped", || stat(child.pid()).is_none());
    child
}

/// A process that has this pid, and leads a group of that number.
fn next_of(pid: u32) -> process::Child {
    let mut found = None;
    until("a pid is used again", || {
        fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).unwrap();
        let mut command = Command::new("cat");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.process_group(0).spawn().unwrap();
        if child.id() != pid {
            child.kill().unwrap();
            child.wait().unwrap();
            return false;
        }
        found = Some(child);
        true
    });
    found.expect("a process")
}

/// Asserts that a process copies what it reads, as if nothing had happened.
fn must_be_well(mut process: process::Child) {
    let mut stdin = process.stdin.take().expect("a pipe");
    stdin.write_all(b"well").unwrap();
    drop(stdin);
    let stdout = process.stdout.take().expect("a pipe");
    let text = bounded("an answer", || io::read_to_string(stdout)).unwrap();
    assert_eq!(text, "well");
    assert!(process.wait().unwrap().success());
}

const NAME: &str = "no_call_reaches_the_next_process_of_that_pid";
const INSIDE: &str = "ANYFORK_TESTS_INSIDE";

#[test]
fn no_call_reaches_the_next_process_of_that_pid() {
    if env::var_os(INSIDE).is_some() {
        return with_pids_of_ones_own();
    }
    // Pids are given out anew in no time where nobody else uses them.
    let Some(mut command) = in_pid_namespace() else {
        return;
    };
    command.arg(env::current_exe().unwrap()).env(INSIDE, "1");
    let text = succeed(command.args([NAME, "--exact", "--nocapture"]));
    assert!(text.contains("well thrice"), "{text}");
}

fn with_pids_of_ones_own() {
    // The end of one is known before, and that of the other is not.
    for asked in [true, false] {
        let mut child = gone(new());
        if asked {
            let _ = bounded("a wait", || child.wait()).unwrap();
        }
        let next = next_of(child.pid());
        let handle = child.handle();
        for _ in 0..2 {
            handle.signal(libc::SIGKILL).unwrap();
            handle.signal(libc::SIGTERM).unwrap();
            handle.signal_group(libc::SIGKILL).unwrap();
            handle.start_kill().unwrap();
            bounded("a kill", || handle.kill()).unwrap();
            bounded("a kill", || child.kill()).unwrap();
            let exit = bounded("a wait", || child.wait()).unwrap();
            assert_eq!(exit.signal(), Some(libc::SIGKILL));
            assert_eq!(handle.try_wait().unwrap(), Some(exit));
        }
        must_be_well(next);
    }
    let child = gone(new().kill_on_drop(true));
    let next = next_of(child.pid());
    drop(child);
    must_be_well(next);
    println!("well thrice");
}
