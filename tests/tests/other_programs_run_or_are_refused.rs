//! The workers of another program that links anyfork can be run; any other kind of
//! program is refused in bounded time, with the reason, and killed.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio, id};
use std::time::{Duration, Instant};

use anyfork::{Error, ErrorKind, Process, args};
use anyfork_tests::births::{Folder, boot_by_hand, running, serving};
use anyfork_tests::{alone, bounded, children, held, release, template_of, until};
use nix::unistd::{Pid, getpgid};

const PLAIN: &str = env!("CARGO_BIN_EXE_plain");
const FOREIGN: &str = env!("CARGO_BIN_EXE_foreign");

fn folder(test: &str) -> Folder {
    Folder::new(env!("CARGO_TARGET_TMPDIR"), test)
}

fn script(folder: &Folder, text: &str) -> PathBuf {
    let path = folder.join("script");
    // Written by another process: see `Folder::copy`.
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-c", "cat > \"$0\" && chmod 755 \"$0\""])
        .arg(&path);
    let mut shell = shell.stdin(Stdio::piped()).spawn().unwrap();
    shell
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    assert!(shell.wait().unwrap().success());
    path
}

fn refused(path: impl AsRef<Path>, limit: Duration) -> Error {
    let path = path.as_ref();
    let error = bounded("a refusal", || Process::exec_program_within(path, limit));
    let error = error.unwrap_err();
    assert!(
        error.to_string().contains(path.to_str().unwrap()),
        "{error}"
    );
    assert_eq!(children(id()), [].into(), "none is left, nor a zombie");
    error
}

/// The limit is not what ends it.
const LONG: Duration = Duration::from_secs(1000);
const SHORT: Duration = Duration::from_millis(300);

#[test]
fn another_programs_workers_are_run() {
    let _alone = alone();
    let exec = Process::exec_program(PLAIN).unwrap();
    let template = exec.init("plain::note", args!["a"]);
    for _ in 0..3 {
        let worker = template.fork().init("note", args!["b"]).run("noted");
        let mut worker = bounded("a launch", || worker.blocking()).unwrap();
        let mut text = String::new();
        worker.socket.read_to_string(&mut text).unwrap();
        assert_eq!(text, "ab");
    }
    let path = fs::read_link(format!("/proc/{}/exe", serving(&template))).unwrap();
    assert_eq!(path, Path::new(PLAIN).canonicalize().unwrap());
    // It has no workers of this one's.
    let error = template.fork().run("only_here").blocking().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownWorker, "{error}");
    let worker = Process::new().unwrap().run("only_here").blocking();
    assert!(worker.unwrap().wait().unwrap().success());
}

#[anyfork::worker]
fn only_here() {}

/// A signal of the terminal's is for all of them.
#[test]
fn its_processes_are_of_the_callers_group() {
    let _alone = alone();
    let group = getpgid(None).unwrap();
    for exec in [Process::exec_program(PLAIN), Process::new_exec()] {
        let worker = held(exec.unwrap());
        for pid in [worker.pid(), template_of(&worker)] {
            assert_eq!(getpgid(Some(Pid::from_raw(pid as i32))).unwrap(), group);
        }
        release(worker);
    }
}

#[test]
fn a_script_may_lead_to_it() {
    let _alone = alone();
    let folder = folder("leads");
    for how in ["exec '", "'"] {
        let script = script(&folder, &format!("#!/bin/sh\nBY=script {how}{PLAIN}'\n"));
        let worker = held(Process::exec_program(&script).unwrap());
        let variables = fs::read_to_string(format!("/proc/{}/environ", worker.pid())).unwrap();
        assert!(variables.contains("BY=script") && !variables.contains("ANYFORK"));
        release(worker);
    }
}

#[test]
fn one_that_ends_is_refused_at_once() {
    let _alone = alone();
    let folder = folder("ends");
    for program in [
        PathBuf::from("/bin/true"),
        "/bin/false".into(),
        script(&folder, "#!/bin/sh\nexit 3\n"),
        script(&folder, "#!/bin/sh\nexec >&- 2>&-\n"),
    ] {
        let error = refused(program, LONG);
        assert_eq!(error.kind(), ErrorKind::NotAnyfork, "{error}");
        assert!(error.to_string().contains("links anyfork?"), "{error}");
    }
}

#[test]
fn one_that_is_killed_is_told_as_killed() {
    let _alone = alone();
    let folder = folder("killed");
    let error = refused(script(&folder, "#!/bin/sh\nkill -9 $$\n"), LONG);
    assert_eq!(error.kind(), ErrorKind::Died, "{error}");
    let exit = error.exit().expect("an exit");
    assert_eq!(exit.signal(), Some(libc::SIGKILL), "{error}");
}

#[test]
fn one_that_does_not_answer_is_killed_with_all_it_started() {
    let _alone = alone();
    let folder = folder("stays");
    let sleep = folder.copy("/bin/sleep", "sleep");
    for how in ["exec ", "", "trap '' HUP INT TERM; "] {
        let text = format!("#!/bin/sh\n{how}'{}' 1000 \n", sleep.display());
        let script = script(&folder, &text);
        let before = Instant::now();
        let error = refused(&script, SHORT);
        assert!(before.elapsed() >= SHORT);
        assert_eq!(error.kind(), ErrorKind::NotAnyfork, "{error}");
        assert!(error.to_string().contains("in time"), "{error}");
        until("it is gone", || running(&sleep).is_empty());
    }
}

#[test]
fn one_that_answers_otherwise_is_killed() {
    let _alone = alone();
    let folder = folder("foreign");
    for (name, limit, kind, text) in [
        ("version", LONG, ErrorKind::Protocol, "version 9"),
        ("nonsense", LONG, ErrorKind::Protocol, "does not speak"),
        ("half", LONG, ErrorKind::NotAnyfork, "without an answer"),
        ("closed", LONG, ErrorKind::NotAnyfork, "without an answer"),
        ("out-of-turn", LONG, ErrorKind::Protocol, "without a pidfd"),
        ("silent", SHORT, ErrorKind::NotAnyfork, "in time"),
        ("greets-and-stays", SHORT, ErrorKind::NotAnyfork, "in time"),
    ] {
        let program = folder.join(name);
        symlink(FOREIGN, &program).unwrap();
        let error = refused(program, limit);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(text), "{error}");
        until("it is gone", || running(Path::new(FOREIGN)).is_empty());
    }
}

#[test]
fn one_that_cannot_be_executed_is_an_error_of_its_own() {
    let _alone = alone();
    let folder = folder("not-executed");
    let text = script(&folder, "no program at all");
    let locked = folder.join("locked");
    fs::write(&locked, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o644)).unwrap();
    for (program, kind) in [
        (folder.join("missing"), Some(io::ErrorKind::NotFound)),
        (folder.join("\0"), Some(io::ErrorKind::InvalidInput)),
        (locked, Some(io::ErrorKind::PermissionDenied)),
        (folder.to_path_buf(), Some(io::ErrorKind::PermissionDenied)),
        (text, None),
    ] {
        let error = refused(&program, LONG);
        assert_eq!(error.kind(), ErrorKind::ExecFailed, "{error}");
        let io = io::Error::from(error);
        assert!(kind.is_none_or(|kind| io.kind() == kind), "{io:?}");
    }
    // A name is no path: it is not looked for.
    let error = refused("true", LONG);
    assert_eq!(error.kind(), ErrorKind::ExecFailed, "{error}");
}

/// The other way round: this version is exec'ed by another one.
#[test]
fn a_caller_of_another_version_gets_the_reason() {
    let _alone = alone();
    let (_control, served, mut answer) = boot_by_hand(9);
    let mut program = Command::new(PLAIN);
    program.env("ANYFORK_TEMPLATE", served.as_raw_fd().to_string());
    let mut program = program.spawn().unwrap();
    drop(served);
    let mut text = Vec::new();
    bounded("an answer", || answer.read_to_end(&mut text)).unwrap();
    assert_eq!(text[..4], [2, 1, 6, 0]);
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains("speaks version 9"), "{text}");
    assert_eq!(program.wait().unwrap().code(), Some(1));
}
