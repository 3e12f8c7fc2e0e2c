//! A status is what the kernel says of a process, whatever the process, or a sibling of
//! it, writes into its status pipe. Where the kernel does not keep it (before Linux 6.15),
//! what nobody else can reach is right all the same.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::process::Command;

use anyfork::{Args, Process, blocking};
use anyfork_tests::births::succeed;
use anyfork_tests::hostile::{record, status_pipe};
use anyfork_tests::rights::may_become_nobody;
use anyfork_tests::{
    alone, bounded, byte_of, descriptors, has_ended, held, hold, kernel_keeps_status, new, release,
    runtime, template_of, until,
};

#[anyfork::early]
fn preload() {}

/// Writes these bytes into its status pipe, says so, and exits with 3.
#[anyfork::worker]
fn claim_success(mut socket: UnixStream, bytes: Vec<u8>) -> io::Result<()> {
    status_pipe().write_all(&bytes)?;
    socket.write_all(b"!")?;
    // SAFETY: exits at once.
    unsafe { libc::_exit(3) }
}

/// The same, and waits to be killed.
#[anyfork::worker]
fn claim_success_and_stay(mut socket: UnixStream, bytes: Vec<u8>) -> io::Result<()> {
    status_pipe().write_all(&bytes)?;
    socket.write_all(b"!")?;
    std::thread::park();
    Ok(())
}

/// What such a worker writes: records of its template's and of its own, whole and in part.
fn lies() -> Vec<Vec<u8>> {
    let success = record(0);
    let mut own = success;
    own[1] = 1;
    let mut lies = vec![success.to_vec(), own.to_vec(), [success, success].concat()];
    lies.extend([1, 4, 16, 31].map(|len| success[..len].to_vec()));
    lies.push(vec![2, 0, 0, 0, 200, 0, 0, 0, 1]);
    lies.push(vec![7; 3]);
    lies
}

#[test]
fn no_record_of_a_child_is_better_than_the_kernels() {
    let _alone = alone();
    if !kernel_keeps_status() {
        return;
    }
    for bytes in lies() {
        let launch = claim_success::run(new(), bytes.clone());
        let mut worker = bounded("a launch", || launch.blocking()).unwrap();
        assert_eq!(byte_of(&mut worker.socket), b'!');
        let exit = bounded("an exit", || worker.wait()).unwrap();
        assert_eq!(exit.code(), Some(3), "after {bytes:?}");

        let launch = claim_success_and_stay::run(new(), bytes.clone());
        let mut worker = bounded("a launch", || launch.blocking()).unwrap();
        assert_eq!(byte_of(&mut worker.socket), b'!');
        worker.start_kill().unwrap();
        let exit = bounded("an exit", || worker.wait()).unwrap();
        assert_eq!(exit.signal(), Some(libc::SIGKILL), "after {bytes:?}");

        let exit = bounded("an exit", || {
            runtime().block_on(async {
                let mut worker = claim_success_and_stay::run(new(), bytes.clone()).await?;
                tokio::io::AsyncReadExt::read_u8(&mut worker.socket)
                    .await
                    .unwrap();
                worker.start_kill()?;
                worker.wait().await
            })
        });
        assert_eq!(
            exit.unwrap().signal(),
            Some(libc::SIGKILL),
            "after {bytes:?}"
        );
    }
}

/// On every kernel: the template's record is the last that is written.
#[test]
fn half_a_record_does_not_become_one() {
    let _alone = alone();
    for bytes in lies().into_iter().filter(|it| it.len() < 32) {
        let launch = claim_success::run(new(), bytes.clone());
        let mut worker = bounded("a launch", || launch.blocking()).unwrap();
        let exit = bounded("an exit", || worker.wait()).unwrap();
        assert_eq!(exit.code(), Some(3), "after {bytes:?}");
    }
}

/// Writes "success" into every pipe that its template has open, and tells how many it has
/// reached.
#[anyfork::worker]
fn write_through_the_template(mut socket: UnixStream, template: u32) -> io::Result<()> {
    let mut reached = 0u8;
    for number in 3..100 {
        let path = format!("/proc/{template}/fd/{number}");
        let is_pipe =
            fs::read_link(&path).is_ok_and(|it| it.to_string_lossy().starts_with("pipe:"));
        let pipe: io::Result<File> = OpenOptions::new().write(true).open(path);
        if let (true, Ok(mut pipe)) = (is_pipe, pipe) {
            reached += u8::from(pipe.write_all(&record(0)).is_ok());
        }
    }
    socket.write_all(&[reached])
}

/// How a bystander is told that is killed after a sibling has written into what it could
/// reach; and how many pipes the sibling has reached.
fn told_after_a_sibling(process: &Process) -> (anyfork::Exit, u8) {
    let mut victim: blocking::Worker = held(process.fork());
    let template = template_of(&victim);
    let launch = write_through_the_template::run(process.fork(), template);
    let mut sibling = bounded("a launch", || launch.blocking()).unwrap();
    let reached = byte_of(&mut sibling.socket);
    assert!(bounded("an exit", || sibling.wait()).unwrap().success());
    victim.start_kill().unwrap();
    (bounded("an exit", || victim.wait()).unwrap(), reached)
}

#[test]
fn a_sibling_with_all_rights_changes_nothing() {
    let _alone = alone();
    if kernel_keeps_status() {
        let (exit, _) = told_after_a_sibling(&new());
        assert_eq!(exit.signal(), Some(libc::SIGKILL));
    }
}

/// A sibling without rights reaches no pipe: [`hostile`](../src/bin/hostile.rs).
#[test]
fn a_sibling_without_rights_reaches_nothing() {
    if may_become_nobody() {
        succeed(&mut Command::new(env!("CARGO_BIN_EXE_hostile")));
    }
}

/// A worker is as open to its user as the program is.
#[test]
fn children_are_as_open_as_the_program() {
    let _alone = alone();
    let dumpable = |process: Process| {
        let launch = tell_dumpable::run(process);
        let mut worker = bounded("a launch", || launch.blocking()).unwrap();
        let told = byte_of(&mut worker.socket);
        assert!(bounded("an exit", || worker.wait()).unwrap().success());
        told
    };
    let own = own_dumpable();
    assert_eq!(dumpable(new()), own);
    let template = new().env("A", "b");
    assert_eq!(dumpable(template.fork()), own);
    let (template, _) = anyfork_tests::spares::warm(new(), 1);
    assert_eq!(dumpable(template.fork()), own);
    drop(template);
    // The template's own descriptors are root's to look at, if anybody's.
    let worker = held(new());
    assert!(!descriptors(worker.pid()).is_empty());
    release(worker);
}

fn own_dumpable() -> u8 {
    // SAFETY: takes a number.
    unsafe { libc::prctl(libc::PR_GET_DUMPABLE) as u8 }
}

#[anyfork::worker]
fn tell_dumpable(mut socket: UnixStream) -> io::Result<()> {
    socket.write_all(&[own_dumpable()])
}

/// One that is killed while a tracer holds it is told before the tracer lets it go.
#[test]
fn a_traced_child_is_told_in_time() {
    let _alone = alone();
    let mut worker = bounded("a launch", || hold::run(new(), Args::new()).blocking()).unwrap();
    let pid = worker.pid();
    let (mut here, there) = UnixStream::pair().unwrap();
    let tracer = std::thread::spawn(move || {
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: traces a process of this test's, until this thread ends.
        let seized = unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid as libc::pid_t, none, none) };
        let mut there = there;
        there.write_all(&[u8::from(seized == 0)]).unwrap();
        let _ = io::Read::read(&mut there, &mut [0]);
    });
    if byte_of(&mut here) == 0 {
        eprintln!("skipped: this process may not trace");
        drop(here);
        tracer.join().unwrap();
        return drop(worker);
    }
    worker.start_kill().unwrap();
    until("it has exited", || has_ended(pid));
    let exit = bounded("an exit", || worker.wait()).unwrap();
    assert_eq!(exit.signal(), Some(libc::SIGKILL));
    assert!(here.as_raw_fd() > 0, "the tracer still holds it");
    drop(here);
    tracer.join().unwrap();
}
