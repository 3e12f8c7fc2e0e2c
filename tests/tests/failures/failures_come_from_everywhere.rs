//! `Exit::failure` tells why a worker failed whatever its template is, whatever
//! its code has done to hooks and descriptors, and however much there is to
//! tell; and standard error has it, too.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};

use anyfork::{ErrorKind, Exit, Failure, Process, Stdio};
use anyfork_tests::births::{Folder, example, program};
use anyfork_tests::{bounded, exit_of, has_ended, until};

use crate::place_in;

/// Panics, and says where: at the fifth column of a line.
#[inline(never)]
fn fail(what: &str) {
    panic!("{what}, line {}", line!());
}

extern "C" fn cannot_unwind() {
    fail("in C");
}

#[anyfork::worker]
#[inline(never)]
fn work(_socket: OwnedFd, how: String) -> Result<(), String> {
    match how.as_str() {
        "panic" => fail("out of luck"),
        "extern C" => cannot_unwind(),
        "long panic" => panic!("{}", "é".repeat(1 << 19)),
        "long error" => return Err("é".repeat(1 << 19)),
        _ => return Err("the disk is full".to_owned()),
    }
    Ok(())
}

fn end_by(process: Process, how: &str) -> (Exit, Option<Failure>) {
    let exit = exit_of(work::run(process, how.to_owned()));
    let failure = exit.failure().cloned();
    (exit, failure)
}

/// Asserts that a panic has come home with all that belongs to it.
fn assert_whole(failure: &Failure) {
    assert!(failure.is_panic(), "{failure}");
    assert!(failure.message().starts_with("out of luck"), "{failure}");
    assert_eq!(
        failure.location(),
        Some(&*place_in(file!(), failure.message()))
    );
    // By the path of the function, or of its file where a build keeps only the
    // lines.
    assert!(
        failure
            .backtrace()
            .unwrap()
            .contains("failures_come_from_everywhere")
    );
}

#[test]
fn a_worker_of_every_template_reports() {
    let new = Process::new().unwrap();
    let nested = Process::new().unwrap().send_arg("panic");
    let exec = Process::new_exec().unwrap();
    for process in [new, Process::early().unwrap(), exec] {
        let (exit, failure) = end_by(process, "panic");
        assert_eq!(exit.code(), Some(101));
        assert_whole(&failure.unwrap());
    }
    let exit = exit_of(nested.fork().run(work::NAME));
    assert_whole(exit.failure().unwrap());
}

/// The lines of a program that runs its worker there, and its standard error.
fn failing(template: &str, how: &str) -> (Vec<String>, String) {
    let mut program = program(env!("CARGO_BIN_EXE_failing"), template);
    program.arg(how).env_remove("RUST_BACKTRACE");
    let output = bounded(template, || program.output()).unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(String::from_utf8);
    let stderr = stderr.unwrap();
    assert!(output.status.success(), "{stderr}");
    (stdout.unwrap().lines().map(str::to_owned).collect(), stderr)
}

#[test]
fn a_program_is_reported_by_every_template() {
    for template in ["early", "exec", "snapshot"] {
        let (lines, stderr) = failing(template, "panic");
        let [pid, exit, message, place, thread, backtrace @ ..] = &lines[..] else {
            panic!("{lines:?}");
        };
        assert_eq!(exit, "exit status: 101");
        let line = message.strip_prefix("out of luck, line ").unwrap();
        let expected = format!("src/bin/failing.rs:{line}:5");
        assert!(place.ends_with(&expected), "{place}");
        assert_eq!(thread, "none");
        let frame = |name: &str| backtrace.iter().any(|it| it.contains(name));
        // By their paths, or by their names where a build keeps only the lines.
        assert!(frame("fail") && frame("work"), "{lines:?}");

        let prefix = format!("anyfork worker failing::work ({pid}):");
        let begins = |line: &&str| line.starts_with(&prefix);
        assert_eq!(stderr.lines().filter(begins).count(), 1, "{stderr}");
        // A snapshot's program may have a hook already, whose words stay its own.
        if template != "snapshot" {
            let whole = format!("{prefix} panicked at {place}: {message}");
            assert!(stderr.lines().any(|line| line == whole), "{stderr}");
        }
        for words in [format!("panicked at {place}:"), message.clone()] {
            assert_eq!(stderr.matches(&words).count(), 1, "{stderr}");
        }

        let (lines, stderr) = failing(template, "error");
        let pid = &lines[0];
        assert_eq!(
            lines[1..],
            ["exit status: 1", "the disk is full", "none", "none", "none"]
        );
        let line = format!("anyfork worker failing::work ({pid}): the disk is full");
        assert_eq!(stderr.trim_end(), line);
        for how in ["caught", "thread", "nothing"] {
            let (lines, _) = failing(template, how);
            assert_eq!(lines[1..], ["exit status: 0"], "{how}");
        }
    }
}

#[test]
fn standard_error_has_it_in_a_line() {
    for (backtrace, shows) in [(None, false), (Some("0"), false), (Some("1"), true)] {
        let process = Process::new().unwrap().stderr(Stdio::piped());
        let process = match backtrace {
            None => process.env_remove("RUST_BACKTRACE"),
            Some(value) => process.env("RUST_BACKTRACE", value),
        };
        let worker = work::run(process, "panic".to_owned());
        let mut worker = bounded("a launch", || worker.blocking()).unwrap();
        let mut text = String::new();
        let mut stderr = worker.child.stderr.take().unwrap();
        bounded("stderr", || stderr.read_to_string(&mut text)).unwrap();
        let failure = worker.wait().unwrap().failure().cloned().unwrap();
        assert_whole(&failure);
        let name = format!("anyfork worker {}::work ({})", module_path!(), worker.pid());
        assert_eq!(text.lines().next(), Some(&*format!("{name}: {failure}")));
        assert_eq!(text.contains("stack backtrace:"), shows, "{text}");
    }
}

fn with_plugin() -> Process {
    let plugin = example(env!("CARGO_BIN_EXE_failing"), "plugin_of_tests");
    Process::new().unwrap().require(plugin)
}

#[test]
fn a_worker_of_a_plugin_reports() {
    for process in [with_plugin(), with_plugin().init("replace_hook", ())] {
        let exit = exit_of(process.send_arg("panic").run("plugin_end"));
        assert_eq!(exit.code(), Some(101));
        let failure = exit.failure().unwrap();
        assert_eq!(failure.message(), "a test's panic in a plugin");
        let place = failure.location().unwrap();
        assert!(place.contains("examples/plugin_of_tests.rs:"), "{place}");
        assert_eq!(failure.thread(), None);
        let backtrace = failure.backtrace().unwrap();
        // By the path of the function, or by its file, as the build has kept it.
        assert!(backtrace.contains("plugin_of_tests"), "{backtrace}");
    }
    let exit = exit_of(with_plugin().send_arg("7").run("plugin_end"));
    assert_eq!((exit.code(), exit.failure()), (Some(7), None));
    // Its own hook comes after the program's, and tells, too.
    let template = with_plugin().init("plugin_note", anyfork::args!["break"]);
    let launch = template.fork().run("plugin_tell");
    let error = bounded("a launch", || launch.blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Died, "{error}");
    assert!(
        error.to_string().contains("a plugin's hook panicked"),
        "{error}"
    );
}

#[anyfork::init]
fn replace_hook() {
    panic::set_hook(Box::new(|_| {}));
}

#[anyfork::init]
fn chain_hook() {
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        eprint!("a hook of the program's: ");
        previous(info);
    }));
}

#[test]
fn a_hook_of_the_programs_may_come_before() {
    let new = || Process::new().unwrap().init("chain_hook", ());
    let template = new();
    for process in [new(), template.fork()] {
        let (exit, failure) = end_by(process, "panic");
        assert_eq!(exit.code(), Some(101));
        assert_whole(&failure.unwrap());
    }
    let (exit, failure) = end_by(template.fork(), "extern C");
    assert_eq!(exit.signal(), Some(libc::SIGABRT));
    assert!(failure.unwrap().message().starts_with("in C, line "));
}

#[test]
fn a_hook_of_the_programs_may_stand_instead() {
    let new = || Process::new().unwrap().init("replace_hook", ());
    let template = new();
    for process in [new(), template.fork()] {
        let (exit, failure) = end_by(process, "panic");
        let failure = failure.unwrap();
        assert!(exit.code() == Some(101) && failure.is_panic());
        assert!(
            failure.message().starts_with("out of luck, line "),
            "{failure}"
        );
        assert_eq!((failure.location(), failure.thread()), (None, None));
        assert_eq!(failure.backtrace(), None);
    }
    // That was the last moment to say something.
    let (exit, failure) = end_by(template.fork(), "extern C");
    assert_eq!((exit.signal(), failure), (Some(libc::SIGABRT), None));
    let (_, failure) = end_by(template.fork(), "error");
    assert_eq!(failure.unwrap().message(), "the disk is full");
}

/// Closes all that the library has here, opens files with the same numbers, and
/// then fails.
#[anyfork::worker]
fn close_all(socket: OwnedFd, folder: String, panics: bool) -> Result<(), String> {
    std::mem::forget(socket);
    // SAFETY: takes numbers; what is behind them is not used here any more.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
    assert_eq!(closed, 0);
    for number in 0..FILES {
        std::mem::forget(File::create(format!("{folder}/{number}")).unwrap());
    }
    match panics {
        true => panic!("nobody is told"),
        false => Err("nobody is told".to_owned()),
    }
}

const FILES: usize = 50;

#[test]
fn a_file_with_the_pipes_number_stays_as_it_is() {
    let folder = Folder::new(env!("CARGO_TARGET_TMPDIR"), "close-all");
    for (panics, code) in [(true, 101), (false, 1)] {
        let path = folder.to_str().unwrap().to_owned();
        let exit = exit_of(close_all::run(Process::new().unwrap(), path, panics));
        assert_eq!((exit.code(), exit.failure()), (Some(code), None), "{exit}");
        let files: Vec<_> = fs::read_dir(&*folder)
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(files.len(), FILES);
        for file in files {
            assert_eq!(file.metadata().unwrap().len(), 0, "{file:?}");
            fs::remove_file(file.path()).unwrap();
        }
    }
}

/// The caller need not read for the worker to end.
#[test]
fn a_long_message_is_cut_and_holds_nobody_up() {
    for (how, code) in [("long panic", 101), ("long error", 1)] {
        let process = Process::new().unwrap().stderr(Stdio::null());
        let worker = work::run(process, how.to_owned());
        let mut worker = bounded("a launch", || worker.blocking()).unwrap();
        let pid = worker.pid();
        until("a worker with much to say is gone", || has_ended(pid));
        let exit = bounded("wait", || worker.wait()).unwrap();
        assert_eq!(exit.code(), Some(code));
        let failure = exit.failure().unwrap();
        let text = failure.message().strip_suffix('…').unwrap();
        assert!((1..=16 * 1024).contains(&text.len()), "{}", text.len());
        assert!(text.chars().all(|it| it == 'é'));
        // There is room for the rest.
        assert_eq!(failure.backtrace().is_some(), failure.is_panic());
        let place = failure.location().unwrap_or(file!());
        assert!(place.starts_with(file!()), "{place}");
    }
}

static BROKEN: AtomicBool = AtomicBool::new(false);

#[anyfork::init]
fn break_forks() {
    BROKEN.store(true, Ordering::Relaxed);
}

#[anyfork::after_fork]
fn hook() {
    if BROKEN.load(Ordering::Relaxed) {
        fail("a hook");
    }
}

#[test]
fn a_panic_after_a_fork_is_in_the_launches_error() {
    let template = Process::new().unwrap().init("break_forks", ());
    let launch = template.fork().run(work::NAME);
    let error = bounded("a launch", || launch.blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Died, "{error}");
    let exit = error.exit().unwrap();
    let failure = exit.failure().unwrap_or_else(|| panic!("{error}"));
    assert!(failure.message().starts_with("a hook, line "), "{failure}");
    assert_eq!(
        failure.location(),
        Some(&*place_in(file!(), failure.message()))
    );
    assert_eq!(exit.code(), Some(101));
    assert!(error.to_string().contains(&failure.to_string()), "{error}");
}
