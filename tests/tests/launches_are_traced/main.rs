//! With the feature `tracing`, an observer is told of each launch in a span of
//! its own, from its beginning to the process's end, and of each failure in an
//! event there. Nobody has to observe.

mod observer;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyfork::{Args, ErrorKind, Process, Stdio, args};
use anyfork_tests::births::{end, serving};
use anyfork_tests::{bounded, hold, release, runtime, try_held};
use observer::{event, nothing_reported, observe, reported};
use tokio::io::AsyncReadExt;
use tracing::Level;
use tracing::subscriber::{NoSubscriber, with_default};

#[anyfork::early]
fn preload() {}

/// A template that has told who it is.
fn template() -> Process {
    let template = Process::early().unwrap().prepare().blocking();
    template.unwrap()
}

/// Asserts what is told of a process that is ready, and runs.
fn assert_runs(template: &Process, pid: u32) {
    let reported = reported();
    assert_eq!(reported.fields.get("worker"), hold::NAME);
    assert_eq!(
        reported.fields.get("template"),
        template.pid().unwrap().to_string()
    );
    assert_eq!(reported.fields.get("pid"), pid.to_string());
    let _microseconds = reported.fields.number("ready_micros");
    let rest = ["exit_micros", "exit"].map(|field| reported.fields.has(field));
    assert_eq!(rest, [false, false], "{reported:?}");
    assert_ne!(reported.handles, 0, "{reported:?}");
}

/// Asserts what is told once its end is known, and nothing failed.
fn assert_succeeded() {
    let reported = reported();
    assert_eq!(reported.fields.get("exit"), "exit status: 0");
    assert!(reported.fields.number("exit_micros") >= reported.fields.number("ready_micros"));
    assert!(reported.events.is_empty(), "{reported:?}");
}

#[test]
fn a_launch_has_a_span_until_its_last_handle_is_gone() {
    let template = template();
    observe();
    let mut worker = try_held(template.fork()).unwrap();
    assert_runs(&template, worker.pid());
    worker.socket.shutdown(std::net::Shutdown::Write).unwrap();
    let exit = bounded("an end", || worker.wait()).unwrap();
    assert!(exit.success());
    assert_succeeded();
    // What is known already is not told again.
    assert_eq!(worker.wait().unwrap().code(), exit.code());
    assert!(worker.try_wait().unwrap().is_some());
    assert_succeeded();
    assert_ne!(reported().handles, 0);
    drop(worker);
    assert_eq!(reported().handles, 0);
}

#[test]
fn async_code_is_traced_the_same() {
    let template = template();
    observe();
    runtime().block_on(async {
        let mut worker = hold::run(template.fork(), Args::new()).await.unwrap();
        assert_runs(&template, worker.pid());
        // With what it has written unread, it would see no end but an error.
        worker.socket.read_exact(&mut [0]).await.unwrap();
        drop(worker.socket);
        assert!(worker.child.wait().await.unwrap().success());
        assert_succeeded();
        drop(worker.child);
    });
    assert_eq!(reported().handles, 0);
}

#[test]
fn a_template_is_no_launch() {
    observe();
    let template = Process::early().unwrap().env("NESTED", "1");
    let forked = template.fork();
    assert!(nothing_reported());
    release(try_held(forked).unwrap());
    assert_succeeded();
}

#[anyfork::init]
fn refuse() -> Result<(), String> {
    Err("not today".to_owned())
}

#[anyfork::init]
fn hang() {
    loop {
        thread::park();
    }
}

#[anyfork::init]
fn die() {
    // SAFETY: takes a number.
    unsafe { libc::raise(libc::SIGKILL) };
}

/// Has a launch fail, in blocking code and in async code.
fn assert_failure_is_reported(
    kind: &str,
    message: &str,
    process: impl Fn() -> Process,
    worker: &str,
) {
    let assert_reported = |error: anyfork::Error| {
        assert!(format!("{:?}", error.kind()).starts_with(kind), "{error:?}");
        let event = event(Level::ERROR);
        assert_eq!(event.get("kind"), format!("{:?}", error.kind()));
        assert_eq!(event.get("message"), error.to_string());
        assert!(error.to_string().contains(message), "{error}");
        let reported = reported();
        let more = ["pid", "ready_micros", "exit_micros", "exit"];
        assert!(
            !more.iter().any(|field| reported.fields.has(field)),
            "{reported:?}"
        );
        assert_eq!(reported.handles, 0, "{reported:?}");
    };
    let process_of_one = process();
    observe();
    let launch = process_of_one.run(worker);
    assert_reported(bounded("a launch", || launch.blocking()).unwrap_err());

    let process_of_one = process();
    observe();
    let failed = runtime().block_on(async { process_of_one.run(worker).await });
    assert_reported(failed.unwrap_err());
}

#[test]
fn a_failed_launch_is_an_error_with_its_kind() {
    let new = || Process::new().unwrap();
    assert_failure_is_reported("UnknownWorker", "nobody", new, "nobody");
    let refusing = || new().init("refuse", args![]);
    assert_failure_is_reported("InitFailed", "not today", refusing, "hold");
    // Told by its template.
    assert_failure_is_reported("InitFailed", "not today", || refusing().fork(), "hold");
    assert_failure_is_reported("Died", "SIGKILL", || new().init("die", args![]), "hold");
    let late = Duration::from_millis(1);
    let hanging = || new().timeout(late).init("hang", args![]);
    assert_failure_is_reported("TimedOut", "timeout", hanging, "hold");
}

#[test]
fn a_launch_without_a_template_is_an_error_too() {
    let gone = Process::new_exec().unwrap();
    end(serving(&gone));
    let message = "has ended";
    assert_failure_is_reported("TemplateGone", message, || gone.fork(), "hold");
    // Not even asked for: there was nobody to be forked from.
    let nested = || gone.fork().env("NESTED", "1").fork();
    assert_failure_is_reported("TemplateGone", message, nested, "hold");
}

#[test]
fn a_failed_preparation_is_an_error_too() {
    observe();
    let refusing = Process::new().unwrap().init("refuse", args![]);
    let error = refusing.prepare().blocking().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InitFailed);
    assert_eq!(event(Level::ERROR).get("kind"), "InitFailed");
}

#[test]
fn a_dropped_launch_is_no_failure() {
    let template = template();
    observe();
    drop(hold::run(template.fork(), Args::new()));
    let reported = reported();
    assert!(reported.events.is_empty(), "{reported:?}");
    assert_eq!(reported.handles, 0);
}

/// Fails in many ways.
#[anyfork::worker]
fn fail(_socket: OwnedFd, how: String) -> Result<ExitCode, String> {
    match how.as_str() {
        "panic" => panic!("a test's panic"),
        "error" => return Err("a test's error".to_owned()),
        // SAFETY: takes a number.
        "kill" => drop(unsafe { libc::raise(libc::SIGKILL) }),
        _ => {}
    }
    Ok(ExitCode::from(3))
}

#[test]
fn a_worker_that_fails_is_a_warning() {
    let failures = [
        ("code", "exit status: 3", None),
        ("kill", "signal: 9 (SIGKILL)", None),
        ("error", "exit status: 1", Some("a test's error")),
        ("panic", "exit status: 101", Some("a test's panic")),
    ];
    let assert_reported = |exit: &str, failure: Option<&str>| {
        let event = event(Level::WARN);
        assert_eq!(event.get("exit"), exit);
        assert_eq!(reported().fields.get("exit"), exit);
        assert_eq!(event.has("failure"), failure.is_some(), "{event:?}");
        if let Some(failure) = failure {
            assert!(event.get("failure").contains(failure), "{event:?}");
        }
    };
    let quiet = || Process::new().unwrap().stderr(Stdio::null());
    for (how, exit, failure) in failures {
        observe();
        let launch = fail::run(quiet(), how.to_owned());
        let mut worker = bounded("a launch", || launch.blocking()).unwrap();
        let _ = bounded("an end", || worker.wait()).unwrap();
        assert_reported(exit, failure);
        drop(worker);

        observe();
        runtime().block_on(async {
            let launch = fail::run(quiet(), how.to_owned());
            let _ = launch.await.unwrap().child.wait().await.unwrap();
        });
        assert_reported(exit, failure);
    }
}

/// Launches from within a worker, which has nobody to tell.
#[anyfork::worker]
fn relay(mut socket: UnixStream) -> io::Result<()> {
    release(try_held(Process::new().unwrap()).unwrap());
    io::Write::write_all(&mut socket, b"done")
}

#[test]
fn nobody_has_to_observe() {
    observe();
    with_default(NoSubscriber::default(), || {
        release(try_held(Process::new().unwrap()).unwrap());
        let mut worker = relay::run(Process::new().unwrap()).blocking().unwrap();
        assert_eq!(io::read_to_string(&mut worker.socket).unwrap(), "done");
        let error = Process::new().unwrap().run("nobody").blocking();
        assert_eq!(error.unwrap_err().kind(), ErrorKind::UnknownWorker);
    });
    assert!(nothing_reported());
}
