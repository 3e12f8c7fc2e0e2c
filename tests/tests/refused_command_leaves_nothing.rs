//! A program that cannot be started is an error of the launch, with the kind and
//! number that std's has, and a text that names the step and the program; and no
//! process is left, nor a descriptor.

use std::error::Error as _;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::mem::discriminant;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyfork::{Command, Error, ErrorKind, Process, Stdio, args};
use anyfork_tests::births::Folder;
use anyfork_tests::{Scene, alone, bounded, error_number, runtime, stat, until};

#[anyfork::early]
fn preload() {}

#[anyfork::init]
fn refuse(why: String) -> Result<(), String> {
    Err(why)
}

#[anyfork::init]
fn panics() {
    panic!("no use");
}

#[anyfork::init]
fn end(code: i32) {
    std::process::exit(code);
}

#[anyfork::init]
fn hang() {
    loop {
        thread::park();
    }
}

/// The error of each way of starting it, which must be the same.
fn refused(command: &mut Command) -> Error {
    let scene = Scene::early();
    let launch = command.spawn();
    let error = bounded("spawn", || launch.blocking()).unwrap_err();
    let launch = command.status();
    let status = bounded("status", || launch.blocking()).unwrap_err();
    let launch = command.output();
    let output = bounded("output", || launch.blocking()).unwrap_err();
    let launch = command.spawn();
    let runtime = runtime();
    let awaited = bounded("await", || runtime.block_on(async { launch.await })).unwrap_err();
    drop(runtime);
    for other in [status, output, awaited] {
        // Not the whole of it: an `Exit` has the time that was used.
        assert_eq!(discriminant(&other.kind()), discriminant(&error.kind()));
        assert_eq!(other.to_string(), error.to_string());
        assert_eq!(error_number(&other), error_number(&error));
    }
    scene.must_return();
    error
}

#[track_caller]
fn assert_says(error: &Error, kind: ErrorKind, number: i32, texts: &[&str]) {
    assert_eq!(error.kind(), kind, "{error}");
    assert_eq!(error_number(error), Some(number), "{error}");
    let of_number = io::Error::from_raw_os_error(number);
    assert_eq!(io::Error::from(error.clone()).kind(), of_number.kind());
    let text = error.to_string();
    for part in texts {
        assert!(text.contains(part), "no `{part}` in: {text}");
    }
    assert!(text.contains(&of_number.to_string()), "{text}");
}

fn folder(test: &str) -> Folder {
    Folder::new(env!("CARGO_TARGET_TMPDIR"), test)
}

fn file(folder: &Folder, name: &str, text: &str, mode: u32) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    path
}

#[test]
fn programs_that_cannot_be_executed() {
    let _alone = alone();
    let folder = folder("none");
    let text = file(&folder, "text", "no program\n", 0o755);
    let plain = file(&folder, "plain", "#!/bin/sh\n", 0o644);
    let lost = file(&folder, "lost", "#!/no/interpreter\n", 0o755);
    let inside = plain.join("inside");
    for (path, number) in [
        (PathBuf::from("no-such-program"), libc::ENOENT),
        ("/no/such/program".into(), libc::ENOENT),
        (lost, libc::ENOENT),
        (plain, libc::EACCES),
        ("/".into(), libc::EACCES),
        (text, libc::ENOEXEC),
        (inside, libc::ENOTDIR),
    ] {
        // The PATH of this process may have folders in it that are closed to its
        // user.
        let error = refused(Command::new(&path).env("PATH", "/usr/bin:/bin"));
        let what = format!("execute `{}`", path.display());
        assert_says(&error, ErrorKind::ExecFailed, number, &[&what]);
        assert!(error.source().is_some());
    }
}

#[test]
fn arguments_that_are_too_big() {
    let _alone = alone();
    for args in [vec!["x".repeat(200_000)], vec!["x".repeat(100_000); 100]] {
        let error = refused(Command::new("true").args(args));
        assert_says(
            &error,
            ErrorKind::ExecFailed,
            libc::E2BIG,
            &["execute `true`"],
        );
    }
}

#[test]
fn settings_that_cannot_be_applied() {
    let _alone = alone();
    let start = "start `some-program`";
    let new = || Command::new("some-program");
    let error = refused(new().current_dir("/no/such/directory"));
    let named = [start, "current_dir `/no/such/directory`"];
    assert_says(&error, ErrorKind::Io, libc::ENOENT, &named);
    let error = refused(new().current_dir("/dev/null"));
    let named = [start, "current_dir `/dev/null`"];
    assert_says(&error, ErrorKind::Io, libc::ENOTDIR, &named);
    let error = refused(new().process_group(-1));
    let named = [start, "process_group -1"];
    assert_says(&error, ErrorKind::Io, libc::EINVAL, &named);
    let error = refused(new().rlimit(u32::MAX, 0, 0));
    assert_says(&error, ErrorKind::Io, libc::EINVAL, &[start, "rlimit"]);
    // The number of a descriptor, too.
    for number in [i32::MAX - 1, -1] {
        let null = File::open("/dev/null").unwrap();
        let error = refused(new().fd(number, null));
        let named = [start, "give a descriptor its number"];
        assert_says(&error, ErrorKind::Io, libc::EBADF, &named);
    }
}

#[test]
fn texts_with_a_nul() {
    let _alone = alone();
    let nul = "a\0b";
    for command in [
        &mut Command::new(nul),
        Command::new("true").arg(nul),
        Command::new("true").arg0(nul),
        Command::new("true").env(nul, "x"),
        Command::new("true").env("x", nul),
        Command::new("true").current_dir(nul),
    ] {
        let error = refused(command);
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert!(error.to_string().starts_with("start `"), "{error}");
        let kind = io::Error::from(error).kind();
        assert_eq!(kind, io::ErrorKind::InvalidInput);
    }
}

#[test]
fn inits_that_fail() {
    let _alone = alone();
    for (name, said) in [(refuse::NAME, "it rains"), (panics::NAME, "no use")] {
        let args = match name {
            refuse::NAME => args!["it rains"],
            _ => args![],
        };
        let mut command = Command::new("true");
        let error = refused(command.init(name, args));
        assert_eq!(error.kind(), ErrorKind::InitFailed, "{error}");
        for part in ["start `true`", name, said] {
            assert!(error.to_string().contains(part), "{error}");
        }
    }
    let error = refused(Command::new("true").init(refuse::NAME, ()));
    assert_eq!(error.kind(), ErrorKind::BadArgument, "{error}");
    assert!(error.to_string().contains("start `true`"), "{error}");
    let error = refused(Command::new("true").init("no_such_init", ()));
    assert_eq!(error.kind(), ErrorKind::UnknownWorker, "{error}");
    assert!(error.to_string().contains("start `true`"), "{error}");
    let error = refused(Command::new("true").init(end::NAME, args![3]));
    assert_eq!(
        error.exit().and_then(|exit| exit.code()),
        Some(3),
        "{error}"
    );
    assert!(error.to_string().contains("`true`"), "{error}");
}

/// The command is there to be tried again, and so is the template.
#[test]
fn a_command_that_was_refused_once() {
    let _alone = alone();
    let folder = folder("again");
    let path = folder.join("program");
    let mut command = Command::new(&path);
    let error = refused(&mut command);
    assert_says(&error, ErrorKind::ExecFailed, libc::ENOENT, &["program"]);
    std::os::unix::fs::symlink("/bin/true", &path).unwrap();
    assert!(command.status().blocking().unwrap().success());
}

/// It is open for writing for as long as `work` takes.
fn written<T>(path: &Path, work: impl FnOnce(File) -> T) -> T {
    let file = OpenOptions::new().append(true).open(path).unwrap();
    assert!(file.as_raw_fd() > 2);
    work(file)
}

#[test]
fn a_program_that_is_written_for_ever() {
    let _alone = alone();
    let folder = folder("written");
    let path = folder.copy("/bin/true", "program");
    let error = written(&path, |_open| refused(&mut Command::new(&path)));
    let named = format!("execute `{}`", path.display());
    assert_says(&error, ErrorKind::ExecFailed, libc::ETXTBSY, &[&named]);
    assert!(Command::new(&path).status().blocking().unwrap().success());
}

/// On a busy machine this test may be late with closing it: then it is refused,
/// and the next try counts.
#[test]
fn a_program_that_is_written_for_a_while() {
    let _alone = alone();
    let scene = Scene::early();
    let folder = folder("while");
    let path = folder.copy("/bin/true", "program");
    let mut tries = 0..50;
    let exit = loop {
        tries.next().expect("one that is executed");
        let launch = written(&path, |open| {
            let launch = Command::new(&path).status();
            // It sleeps nowhere else. It may have been refused already.
            let late = Instant::now() + Duration::from_secs(1);
            until("it was tried", || {
                let mut workers = scene.workers().into_iter();
                Instant::now() > late || workers.any(|pid| matches!(stat(pid), Some(('S', _))))
            });
            drop(open);
            launch
        });
        match bounded("status", || launch.blocking()) {
            Err(error) if error_number(&error) == Some(libc::ETXTBSY) => {}
            result => break result.unwrap(),
        }
    };
    assert!(exit.success());
    scene.must_return();
}

#[test]
fn a_launch_that_takes_too_long() {
    let _alone = alone();
    let mut command = Command::new("true");
    command
        .init(hang::NAME, ())
        .timeout(Duration::from_millis(50));
    let error = refused(&mut command);
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(error.to_string().contains("`true`"), "{error}");
    // Its steps may belong to the process that it is made from.
    let process = Process::new().unwrap().init(hang::NAME, ());
    let mut command = process.timeout(Duration::from_millis(50)).exec("true");
    let error = refused(command.stdout(Stdio::piped()));
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
}
