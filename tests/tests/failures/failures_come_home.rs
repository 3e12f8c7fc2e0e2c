//! `Exit::failure` tells why a worker failed: what it said, where, and how it
//! came there; and nothing if it has not failed, or could not say why.

use std::io;
use std::os::fd::OwnedFd;
use std::panic::{catch_unwind, panic_any, resume_unwind};
use std::process::{ExitCode, exit};
use std::thread;

use anyfork::{Failure, Process, Stdio};
use anyfork_tests::{bounded, exit_of};

use crate::place_in;

/// Panics, and says where: at the fifth column of a line.
#[inline(never)]
fn fail(what: &str) {
    panic!("{what}, line {}", line!());
}

/// Panics with a text that is none of a `String`.
fn fail_by_a_literal() {
    panic!(concat!("a literal, line ", line!()));
}

fn fail_by_a_number() {
    panic_any(4711);
}

struct FailsInDrop(&'static str);

impl Drop for FailsInDrop {
    fn drop(&mut self) {
        fail(self.0);
    }
}

fn fail_twice() {
    let _second = FailsInDrop("the second");
    fail("the first");
}

extern "C" fn cannot_unwind() {
    fail("in C");
}

/// How a thread has ended: by a panic.
fn join(thread: thread::Builder) -> thread::Result<()> {
    thread.spawn(|| fail("a thread")).unwrap().join()
}

fn named() -> thread::Builder {
    thread::Builder::new().name("helper".to_owned())
}

fn catch_one() {
    catch_unwind(|| fail("caught")).unwrap_err();
}

#[anyfork::worker]
#[inline(never)]
fn work(_socket: OwnedFd, how: String) -> Result<ExitCode, String> {
    match how.as_str() {
        "literal" => fail_by_a_literal(),
        "format" => fail("a format"),
        "number" => fail_by_a_number(),
        "payload fails in drop" => {
            print!("printed before");
            panic_any(FailsInDrop("a payload"));
        }
        "destructor" => drop(FailsInDrop("a destructor")),
        "two" => fail_twice(),
        "extern C" => cannot_unwind(),
        "unwrapped" => join(named()).unwrap(),
        "unwrapped unnamed" => join(thread::Builder::new()).unwrap(),
        "resumed" => resume_unwind(join(named()).unwrap_err()),
        "thread" => drop(join(named())),
        "thread, code" => {
            drop(join(named()));
            return Ok(3.into());
        }
        "thread, error" => {
            drop(join(named()));
            return Err("the disk is full".to_owned());
        }
        "caught" => catch_one(),
        "caught, code" => {
            catch_one();
            return Ok(3.into());
        }
        "caught, error" => {
            catch_one();
            return Err("the disk is full".to_owned());
        }
        "caught, panic" => {
            (0..100).for_each(|_| catch_one());
            fail("the last");
        }
        "caught, exit" => {
            catch_one();
            exit(9);
        }
        "caught, abort" => {
            catch_one();
            std::process::abort();
        }
        "error" => return Err("the disk is full".to_owned()),
        "code" => return Ok(3.into()),
        "exit" => exit(9),
        _ => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// How a worker ended that fails so: code or signal.
fn end_by(how: &str) -> (Result<i32, i32>, Option<Failure>) {
    let process = Process::new().unwrap().env_remove("RUST_BACKTRACE");
    let exit = exit_of(work::run(process, how.to_owned()));
    let end = exit.code().ok_or_else(|| exit.signal().unwrap());
    (end, exit.failure().cloned())
}

const PANICKED: Result<i32, i32> = Ok(101);
const ABORTED: Result<i32, i32> = Err(libc::SIGABRT);

/// How it ended by a panic, which must be all there.
fn panic_by(how: &str, end: Result<i32, i32>) -> Failure {
    let (ended, failure) = end_by(how);
    assert_eq!(ended, end, "{how}");
    let failure = failure.unwrap_or_else(|| panic!("no failure: {how}"));
    assert!(failure.is_panic(), "{failure}");
    let place = failure.location().unwrap_or_else(|| panic!("{failure}"));
    assert!(place.starts_with(file!()), "{failure}");
    let backtrace = failure.backtrace().unwrap_or_else(|| panic!("{failure}"));
    // What is called inside a thread is not called by the worker.
    if failure.thread().is_none() {
        // By the path of the function, or of its file where a build keeps only
        // the lines.
        assert!(backtrace.contains("failures_come_home"), "{backtrace}");
        assert!(!backtrace.contains("anyfork::template"), "{backtrace}");
    }
    failure
}

#[test]
fn a_panic_is_reported_with_its_place() {
    for (how, text) in [
        ("literal", "a literal, line "),
        ("format", "a format, line "),
        ("destructor", "a destructor, line "),
        ("caught, panic", "the last, line "),
    ] {
        let failure = panic_by(how, PANICKED);
        let message = failure.message();
        let line = message
            .strip_prefix(text)
            .unwrap_or_else(|| panic!("{message}"));
        assert!(line.parse::<u32>().is_ok(), "{message}");
        assert_eq!(failure.location(), Some(&*place_in(file!(), message)));
        assert_eq!(failure.thread(), None);
        let shown = format!("panicked at {}: {message}", place_in(file!(), message));
        assert_eq!(failure.to_string(), shown);
    }
    let failure = panic_by("format", PANICKED);
    let backtrace = failure.backtrace().unwrap();
    assert!(backtrace.contains("failures_come_home"), "{backtrace}");
}

#[test]
fn a_payload_that_is_no_text_is_named_so() {
    for how in ["number", "payload fails in drop"] {
        let failure = panic_by(how, PANICKED);
        assert_eq!(failure.message(), "a value that is no text");
        assert_eq!(failure.thread(), None);
    }
    // Nothing else that was to be done at the end is left undone.
    let process = Process::new().unwrap().stdout(Stdio::piped());
    let launch = work::run(process, "payload fails in drop".to_owned());
    let mut worker = bounded("a launch", || launch.blocking()).unwrap();
    let stdout = worker.child.stdout.take().unwrap();
    let printed = bounded("stdout", || io::read_to_string(stdout));
    assert_eq!(printed.unwrap(), "printed before");
}

#[test]
fn what_aborts_is_reported_from_its_beginning() {
    let failure = panic_by("two", ABORTED);
    let (first, then) = failure.message().split_once("; then: ").unwrap();
    assert!(first.starts_with("the first, line "), "{failure}");
    assert!(then.starts_with("the second, line "), "{failure}");
    assert!(then.contains("destructor"), "{failure}");
    assert_eq!(failure.location(), Some(&*place_in(file!(), first)));

    let failure = panic_by("extern C", ABORTED);
    let (first, then) = failure.message().split_once("; then: ").unwrap();
    assert!(first.starts_with("in C, line "), "{failure}");
    assert!(then.contains("cannot unwind"), "{failure}");
    assert_eq!(failure.location(), Some(&*place_in(file!(), first)));
}

#[test]
fn a_threads_panic_goes_with_the_workers() {
    for (how, name) in [("unwrapped", "helper"), ("unwrapped unnamed", "unnamed")] {
        let failure = panic_by(how, PANICKED);
        let message = failure.message();
        assert!(message.contains("`Result::unwrap()`"), "{message}");
        let place = place_in(file!(), message);
        let before = format!("; before, thread `{name}` panicked at {place}: a thread, line ");
        assert!(message.contains(&before), "{message}");
        assert_eq!(failure.thread(), None);
        assert_ne!(failure.location(), Some(&*place));
    }
}

#[test]
fn a_panic_that_is_resumed_keeps_its_place() {
    let failure = panic_by("resumed", PANICKED);
    let message = failure.message();
    assert!(message.starts_with("a thread, line "), "{message}");
    assert!(!message.contains("before"), "{message}");
    assert_eq!(failure.location(), Some(&*place_in(file!(), message)));
    assert_eq!(failure.thread(), Some("helper"));
    let backtrace = failure.backtrace().unwrap();
    assert!(backtrace.contains("failures_come_home"), "{backtrace}");
    let shown = failure.to_string();
    assert!(shown.starts_with("thread `helper` panicked at "), "{shown}");
}

#[test]
fn a_threads_panic_alone_is_no_failure() {
    assert_eq!(end_by("thread"), (Ok(0), None));
    // It is all that is known of the reason for a code.
    let (end, failure) = end_by("thread, code");
    let failure = failure.unwrap();
    assert_eq!((end, failure.thread()), (Ok(3), Some("helper")));
    assert!(failure.is_panic() && failure.message().starts_with("a thread, line "));
    assert_eq!(
        failure.location(),
        Some(&*place_in(file!(), failure.message()))
    );

    let (end, failure) = end_by("thread, error");
    let failure = failure.unwrap();
    assert!(end == Ok(1) && !failure.is_panic(), "{failure}");
    let before = "the disk is full; before, thread `helper` panicked at ";
    assert!(failure.message().starts_with(before), "{failure}");
}

#[test]
fn a_panic_that_is_caught_is_no_failure() {
    assert_eq!(end_by("caught"), (Ok(0), None));
    assert_eq!(end_by("caught, code"), (Ok(3), None));
    assert_eq!(end_by("caught, exit"), (Ok(9), None));
    assert_eq!(end_by("caught, abort"), (ABORTED, None));
}

#[test]
fn an_error_is_reported() {
    for how in ["error", "caught, error"] {
        let (end, failure) = end_by(how);
        let failure = failure.unwrap();
        assert_eq!((end, failure.message()), (Ok(1), "the disk is full"));
        assert_eq!(failure.to_string(), "the disk is full");
        assert!(!failure.is_panic());
        assert_eq!((failure.location(), failure.thread()), (None, None));
        assert_eq!(failure.backtrace(), None);
    }
}

#[test]
fn a_code_says_nothing() {
    assert_eq!(end_by("code"), (Ok(3), None));
    assert_eq!(end_by("exit"), (Ok(9), None));
    assert_eq!(end_by("success"), (Ok(0), None));
}

#[anyfork::worker]
async fn of_a_task(_socket: OwnedFd) {
    tokio::spawn(async { fail("a task") }).await.unwrap();
}

#[anyfork::worker(flavor = "multi_thread", worker_threads = 1)]
async fn of_a_pool(_socket: OwnedFd) {
    tokio::spawn(async { fail("a task") }).await.unwrap();
}

#[anyfork::worker]
async fn of_itself(_socket: OwnedFd) {
    tokio::task::yield_now().await;
    fail("async");
}

/// Asked by async code, too.
#[tokio::test]
async fn an_async_workers_panic_is_reported() {
    for (name, text, before) in [
        ("of_a_task", "a task, line ", false),
        ("of_a_pool", "a task, line ", true),
        ("of_itself", "async, line ", false),
    ] {
        let process = Process::new().unwrap();
        let mut worker = process.run(name).await.unwrap();
        let exit = worker.wait().await.unwrap();
        assert_eq!(exit.code(), Some(101), "{exit}");
        let failure = exit.failure().unwrap();
        assert!(failure.message().contains(text), "{failure}");
        let of_thread = format!(
            " panicked at {}: {text}",
            place_in(file!(), failure.message())
        );
        assert_eq!(failure.message().contains(&of_thread), before, "{failure}");
        assert!(failure.backtrace().unwrap().contains("failures_come_home"));
        assert!(failure.location().unwrap().starts_with(file!()));
        assert_eq!(failure.thread(), None);
        let again = worker.try_wait().unwrap().unwrap();
        assert_eq!(again.failure(), Some(failure));
    }
}
