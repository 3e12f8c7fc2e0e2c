//! A child may write what it likes, without end, wherever its caller reads: on the reply
//! socket, before its answer, and into the status pipe. The caller reads no more than
//! belongs there, a time limit holds, and others are served.

use std::future::IntoFuture;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyfork::{Args, Error, ErrorKind, Process, blocking};
use anyfork_tests::births::{Folder, running};
use anyfork_tests::hostile::{
    HELLO, failure, in_a_fork, reply_socket, status_pipe, write_for_ever,
};
use anyfork_tests::{alone, bounded, has_ended, held, hold, new, release, runtime, until};

#[anyfork::early]
fn preload() {}

/// Greets its caller without end.
#[anyfork::init]
fn greets() {
    write_for_ever(reply_socket(), &HELLO);
}

/// Fails without end, in its status pipe.
#[anyfork::init]
fn fails() {
    write_for_ever(status_pipe(), &failure("again"));
}

/// Fails by a report without an end.
#[anyfork::init]
fn fails_at_length() {
    let mut pipe = status_pipe();
    pipe.write_all(&[2, 0, 0, 0, 0, 0, 2, 0]).expect("room");
    write_for_ever(pipe, &[0]);
}

/// Runs while the hostile ones are about, and asserts that others are served.
fn with_bystander<T>(test: impl FnOnce() -> T) -> T {
    let _alone = alone();
    let bystander = held(new());
    let value = test();
    release(held(new()));
    release(bystander);
    value
}

fn assert_refused(error: &Error) {
    let is_refused = matches!(
        error.kind(),
        ErrorKind::Protocol | ErrorKind::TimedOut | ErrorKind::TemplateGone
    );
    assert!(is_refused, "{error}");
}

/// All ways to launch from a process end.
fn assert_ends(process: impl Fn() -> Process) {
    let error = bounded("a launch", || hold::run(process(), Args::new()).blocking());
    assert_refused(&error.unwrap_err());

    let begun = Instant::now();
    let limited = || hold::run(process().timeout(Duration::from_secs(1)), Args::new());
    let error = bounded("a launch", || limited().blocking()).unwrap_err();
    assert_refused(&error);
    let error = bounded("a launch", || runtime().block_on(limited().into_future()));
    assert_refused(&error.unwrap_err());
    // Only what hangs takes so long, as it did.
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn an_init_function_that_greets_without_end() {
    with_bystander(|| {
        assert_ends(|| new().init("greets", anyfork::args![]));
        // In a template: its launches are refused, whoever waits for it.
        let template = new().init("greets", anyfork::args![]);
        assert_ends(|| template.fork());
        let prepared = template.prepare();
        assert_refused(&bounded("a template", || prepared.blocking()).unwrap_err());
    });
}

#[test]
fn an_init_function_that_fails_without_end() {
    with_bystander(|| {
        assert_ends(|| new().init("fails", anyfork::args![]));
        assert_ends(|| new().init("fails_at_length", anyfork::args![]));
    });
}

#[test]
fn a_program_that_greets_without_end() {
    with_bystander(|| {
        let folder = Folder::new(env!("CARGO_TARGET_TMPDIR"), "greets");
        let program = folder.copy(env!("CARGO_BIN_EXE_foreign"), "greets");
        // It never becomes a template, and is killed then.
        let made = bounded("a greeting", || {
            Process::exec_program_within(&program, Duration::from_secs(1))
        });
        assert_eq!(made.err().map(|it| it.kind()), Some(ErrorKind::NotAnyfork));
        until("the program has ended", || running(&program).is_empty());
    });
}

/// Leaves a process behind that reports failures without end, and exits.
#[anyfork::worker]
fn leave_failing(mut socket: UnixStream) -> io::Result<()> {
    let pid = in_a_fork(|| write_for_ever(status_pipe(), &failure("again")));
    socket.write_all(&pid.to_le_bytes())?;
    // SAFETY: exits at once.
    unsafe { libc::_exit(3) }
}

/// Writes this into its status pipe, and exits with 3.
#[anyfork::worker]
fn scribble(_socket: UnixStream, bytes: Vec<u8>) {
    status_pipe().write_all(&bytes).expect("room");
    // SAFETY: exits at once.
    unsafe { libc::_exit(3) }
}

#[test]
fn a_child_that_fails_without_end_has_exited() {
    with_bystander(|| {
        let launch = leave_failing::run(new());
        let mut worker = bounded("a launch", || launch.blocking()).unwrap();
        let mut pid = [0; 4];
        io::Read::read_exact(&mut worker.socket, &mut pid).unwrap();
        let exit = bounded("an exit", || {
            until("it is told", || worker.try_wait().unwrap().is_some());
            worker.wait().unwrap()
        });
        assert_eq!(exit.code(), Some(3));
        // Nobody reads the pipe any more.
        drop(worker);
        until("its process has ended", || {
            has_ended(u32::from_le_bytes(pid))
        });
    });
}

#[test]
fn what_is_no_report_spoils_no_status() {
    let wrong = [
        failure("half")[..20].to_vec(),
        [failure("twice"), failure("twice")].concat(),
        vec![7; 100],
        vec![0; 8],
        [2, 0, 0, 0, 255, 255, 255, 255].to_vec(),
    ];
    with_bystander(|| {
        for bytes in wrong {
            let launch = scribble::run(new(), bytes.clone());
            let worker = bounded("a launch", || launch.blocking());
            let blocking::Worker { mut child, .. } = worker.unwrap();
            let exit = bounded("an exit", || child.wait()).unwrap();
            assert_eq!(exit.code(), Some(3), "after {bytes:?}");
        }
    });
}
