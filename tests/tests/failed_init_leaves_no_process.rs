//! An init function that fails or panics is the `InitFailed` of every launch from
//! its process, and one that never ends lives no longer than somebody waits for
//! it. No process is left.

use std::fs::File;
use std::future::IntoFuture;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::thread;

use anyfork::{Args, Error, ErrorKind, Process, args};
use anyfork_tests::births::program;
use anyfork_tests::{Scene, alone, bounded, has_ended, held, release, until};

#[anyfork::early]
fn preload() {}

#[anyfork::init]
fn fail(how: String) -> Result<(), String> {
    match how.as_str() {
        "error" => Err("the disk is full".into()),
        "panic" => panic!("the disk is {}", "full"),
        "exit" => std::process::exit(7),
        "kill" => {
            // SAFETY: ends this process, which is none of the test's.
            unsafe { libc::raise(libc::SIGKILL) };
            Ok(())
        }
        _ => Ok(()),
    }
}

#[anyfork::init]
fn fail_with_a_code() -> std::process::ExitCode {
    std::process::ExitCode::from(3)
}

/// Says which process it is in, and stays there.
#[anyfork::init]
fn hang(mut to: File) -> io::Result<()> {
    writeln!(to, "{}", std::process::id())?;
    drop(to);
    loop {
        thread::park();
    }
}

/// A process whose preparation never ends, and where it says which one it is.
fn hanging(process: Process) -> (Process, BufReader<io::PipeReader>) {
    let (read, write) = io::pipe().unwrap();
    let process = process.send_arg("x").init("hang", args![write]);
    (process, BufReader::new(read))
}

fn number(from: &mut impl BufRead) -> u32 {
    let mut line = String::new();
    bounded("a line", || from.read_line(&mut line)).unwrap();
    line.trim().parse().unwrap_or_else(|_| panic!("{line:?}"))
}

fn launch(process: Process) -> Result<(), Error> {
    let launch = process.run("hold");
    bounded("a launch", || launch.blocking()).map(release)
}

#[test]
fn every_launch_from_the_process_reports_it() {
    let _alone = alone();
    let scene = Scene::early();
    for (how, text) in [
        (
            "error",
            "`failed_init_leaves_no_process::fail` failed: the disk is full",
        ),
        (
            "panic",
            "`failed_init_leaves_no_process::fail` panicked: the disk is full",
        ),
    ] {
        let failing = || Process::new().unwrap().init("fail", args![how]);
        let template = failing();
        let nested = template.fork().send_arg("x");
        for error in [
            launch(failing()).unwrap_err(),
            launch(template.fork()).unwrap_err(),
            launch(template.fork()).unwrap_err(),
            launch(nested.fork().fork()).unwrap_err(),
            failing().prepare().blocking().unwrap_err(),
            failing().into_fd().unwrap_err(),
            template.prepare().blocking().unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InitFailed, "{error}");
            assert!(error.to_string().contains(text), "{error}");
        }
    }
    let error = launch(Process::new().unwrap().init("fail_with_a_code", ())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InitFailed, "{error}");
    assert!(error.to_string().contains("exit code 3"), "{error}");
    scene.must_return();
}

#[test]
fn one_that_ends_the_process_is_reported_by_its_status() {
    let _alone = alone();
    let scene = Scene::early();
    for (how, code, signal) in [("exit", Some(7), None), ("kill", None, Some(libc::SIGKILL))] {
        let process = Process::new().unwrap().init("fail", args![how]);
        let error = launch(process).unwrap_err();
        let exit = error.exit().unwrap_or_else(|| panic!("{error}"));
        assert_eq!((exit.code(), exit.signal()), (code, signal));
        let template = Process::new().unwrap().init("fail", args![how]);
        let error = launch(template.fork()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}");
    }
    scene.must_return();
}

/// As many have it in what they run before an exec.
#[anyfork::init]
fn close_all() {
    // SAFETY: what is used afterwards is the library's.
    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
}

#[test]
fn one_that_closes_the_descriptors_is_named() {
    let _alone = alone();
    let scene = Scene::early();
    let closing = || close_all::init(Process::new().unwrap());
    let launches: [fn(Process) -> Result<(), Error>; 5] = [
        launch,
        |process| launch(process.fork()),
        |process| launch(process.fork().send_arg("x").fork()),
        |process| bounded("prepare", || process.prepare().blocking()).map(drop),
        |process| bounded("a program", || process.exec("true").status().blocking()).map(drop),
    ];
    for launch in launches {
        if let Err(error) = launch(closing()) {
            for words in ["failed_init_leaves_no_process::close_all", "descriptors"] {
                assert!(error.to_string().contains(words), "{error}");
            }
        }
    }
    scene.must_return();
}

#[test]
fn a_dropped_process_takes_its_unfinished_preparation_with_it() {
    let _alone = alone();
    let scene = Scene::early();
    let (process, mut says) = hanging(Process::new().unwrap());
    let child = process.fork();
    let pid = number(&mut says);
    drop(process);
    assert!(!has_ended(pid), "its child's owner still waits");
    drop((child, says));
    until("nobody waits any more", || has_ended(pid));
    scene.must_return();
}

#[test]
fn a_dropped_launch_takes_its_unfinished_preparation_with_it() {
    let _alone = alone();
    let scene = Scene::early();
    for nested in [false, true] {
        let (process, mut says) = hanging(Process::new().unwrap());
        let child = nested.then(|| process.fork());
        let launch = child.unwrap_or(process).run("hold");
        let pid = number(&mut says);
        assert!(!has_ended(pid));
        drop(launch);
        until("nobody waits any more", || has_ended(pid));
    }
    scene.must_return();
}

#[test]
fn a_dropped_future_takes_its_unfinished_preparation_with_it() {
    let _alone = alone();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let scene = Scene::early();
    runtime.block_on(async {
        let (process, mut says) = hanging(Process::new().unwrap());
        let launch = tokio::spawn(process.run("hold").into_future());
        let (prepared, mut says_too) = hanging(Process::new().unwrap());
        let prepared = tokio::spawn(prepared.prepare().into_future());
        let pids = [number(&mut says), number(&mut says_too)];
        launch.abort();
        prepared.abort();
        assert!(launch.await.unwrap_err().is_cancelled());
        assert!(prepared.await.unwrap_err().is_cancelled());
        for pid in pids {
            until("nobody waits any more", || has_ended(pid));
        }
    });
    scene.must_return();
}

#[test]
fn a_killed_callers_unfinished_preparation_ends_with_it() {
    let _alone = alone();
    let path = env!("CARGO_BIN_EXE_plain");
    let mut caller = program(path, "hang-in-init");
    let mut caller = caller.stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(caller.stdout.take().unwrap());
    // A worker's, a template's, and that of one that was exec'ed.
    let pids = [(); 3].map(|()| number(&mut stdout));
    assert!(!pids.into_iter().any(has_ended));
    caller.kill().unwrap();
    caller.wait().unwrap();
    for pid in pids {
        until("nobody waits any more", || has_ended(pid));
    }
    let mut text = String::new();
    bounded("the end", || stdout.read_to_string(&mut text)).unwrap();
    assert_eq!(text, "", "all of its processes are gone");
}

/// Goes on when its caller has closed the socket.
#[anyfork::worker]
fn outlive(mut socket: UnixStream, mut to: File, _rest: Args) -> io::Result<()> {
    io::copy(&mut socket, &mut io::sink())?;
    // Nothing of the library's is left on it, which would kill this process now.
    // SAFETY: both only ask.
    let signal = unsafe { libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(&socket), 11) };
    write!(to, "signal {signal}")
}

#[test]
fn a_worker_may_outlive_its_socket_after_an_init() {
    let _alone = alone();
    let (read, write) = io::pipe().unwrap();
    let process = Process::new().unwrap().init("fail", args!["not"]);
    let mut worker = process.send_fd(write).run("outlive").blocking().unwrap();
    drop(worker.socket);
    let said = bounded("a word", || io::read_to_string(read)).unwrap();
    assert_eq!(said, "signal 0");
    assert!(worker.child.wait().unwrap().success());
}

#[test]
fn a_template_may_be_used_long_after_its_init() {
    let _alone = alone();
    let template = Process::new().unwrap().init("fail", args!["not"]);
    let template = template.prepare().blocking().unwrap();
    let pid = template.pid().unwrap();
    release(held(template.fork()));
    let fd = template.into_fd().unwrap();
    // The answer's socket has been closed here.
    assert!(!has_ended(pid));
    release(held(Process::from_fd(fd).unwrap()));
}
