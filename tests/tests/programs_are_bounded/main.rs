//! `status` and `output` of a program keep their bounds, awaited and blocking: input is fed
//! while output is read, limits of time and output end the whole group, and what came until
//! then is in the error. Nothing is left behind.

mod input;
mod output_limits;
mod time_limits;

use std::io::{self, Read};
use std::process::Output;
use std::time::Duration;

use anyfork::{Command, Error, ErrorKind, Exit, Launch, Process, Target};
use anyfork_tests::{Scene, alone, bounded, byte_of, runtime};

#[anyfork::early]
fn preload() {}

/// Runs between fork and exec, so that the program is started by a fork.
#[anyfork::init]
fn forked() {}

const LONG: Duration = Duration::from_secs(1000);

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// The output of a command, in each of the ways to get it.
fn outputs(command: impl Fn() -> Command, test: impl Fn(Result<Output, Error>)) {
    let done = |output| {
        test(output);
        true
    };
    each(|_| command(), Command::output, done);
}

fn statuses(command: impl Fn() -> Command, test: impl Fn(Result<Exit, Error>)) {
    let done = |exit| {
        test(exit);
        true
    };
    each(|_| command(), Command::status, done);
}

/// The output of a command that reaches a time limit, once it has come far before.
fn late(
    command: impl Fn(Duration) -> Command,
    is_far: impl Fn(&Output) -> bool,
    test: impl Fn(Error, Output),
) {
    each(command, Command::output, |output| {
        let error = output.expect_err("a limit");
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        let output = error.output().cloned().filter(|output| is_far(output));
        let came_far = output.is_some();
        if let Some(output) = output {
            assert_eq!(error.exit().map(Exit::status), Some(output.status));
            test(error, output);
        }
        came_far
    });
}

/// Launches in each of the ways, each with more and more time until the test is content.
fn each<T: Target<Blocking = T> + 'static>(
    command: impl Fn(Duration) -> Command,
    launch: impl Fn(&mut Command) -> Launch<T>,
    test: impl Fn(Result<T, Error>) -> bool,
) {
    let _alone = alone();
    let scene = Scene::early();
    for (forks, awaits) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut time = Duration::from_millis(100);
        loop {
            let mut command = command(time);
            if forks {
                command.init(forked::NAME, ());
            }
            let launch = launch(&mut command);
            drop(command);
            let result = bounded("a launch", || match awaits {
                true => runtime().block_on(launch.into_future()),
                false => launch.blocking(),
            });
            if test(result) {
                break;
            }
            time *= 4;
            assert!(time < LONG, "it never comes far");
        }
        scene.must_return();
    }
}

/// Whether the output has all of these lines.
fn has_lines(output: &Output, lines: &[&str]) -> bool {
    let text = String::from_utf8_lossy(&output.stdout);
    lines.iter().all(|line| text.lines().any(|it| it == *line))
}

/// Every byte at its place, and none of them text.
fn pattern(len: usize) -> Vec<u8> {
    let bytes =
        (0..len.div_ceil(4) as u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes());
    bytes.take(len).collect()
}

const TEN_MEBIBYTES: usize = 10 << 20;

#[test]
fn bounds_that_are_not_reached_change_nothing() {
    let command = || {
        let mut command = sh("cat; echo err >&2; exit 3");
        command.input("out").time_limit(LONG).grace(LONG);
        command.output_limit(4).drain_limit(LONG);
        command
    };
    outputs(command, |output| {
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(output.stdout, b"out");
        assert_eq!(output.stderr, b"err\n");
    });
    // Nor do limits that no clock can tell.
    let command = || {
        let mut command = sh("echo out");
        let max = Duration::MAX;
        command.time_limit(max).grace(max).drain_limit(max);
        command.output_limit(usize::MAX);
        command
    };
    outputs(command, |output| {
        assert_eq!(output.unwrap().stdout, b"out\n")
    });
    statuses(
        || {
            let mut command = sh("exit 3");
            command.time_limit(LONG);
            command
        },
        |exit| assert_eq!(exit.unwrap().code(), Some(3)),
    );
}

/// The pid that a script has printed first.
fn printed_pid(output: &Output) -> u32 {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().next().unwrap().parse().unwrap()
}

#[test]
fn a_prepared_process_executes_within_bounds() {
    late(
        |time| {
            let template = Process::new().unwrap().env("COLOR", "red");
            let mut command = template.fork().exec("sh");
            command.args(["-c", "cat; echo $COLOR; exec sleep 1000"]);
            command.input("ink ").time_limit(time);
            command
        },
        |output| has_lines(output, &["ink red"]),
        |_, output| assert_eq!(output.stdout, b"ink red\n"),
    );
}

#[test]
fn spawn_refuses_what_it_would_not_keep() {
    let _alone = alone();
    let refused = |command: &mut Command, name: &str| {
        let error = command.spawn().blocking().unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::InvalidInput);
    };
    refused(Command::new("true").input("x"), "`input`");
    refused(Command::new("true").time_limit(LONG), "`time_limit`");
    refused(Command::new("true").output_limit(1), "`output_limit`");
    let mut command = Command::new("true");
    let mut child = command.drain_limit(LONG).spawn().blocking().unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_launch_that_is_dropped_leaves_nobody_of_the_group() {
    let _alone = alone();
    let scene = Scene::early();
    let script = "sleep 600 & echo; wait";
    for n in 0..10 {
        let (mut read, write) = io::pipe().unwrap();
        let mut command = sh(script);
        command.stdout(write).input(pattern(TEN_MEBIBYTES));
        command.time_limit(LONG).grace(LONG);
        let launch = command.output();
        drop(command);
        let runtime = runtime();
        if n % 2 == 0 {
            assert_eq!(byte_of(&mut read), b'\n');
            drop(launch);
        } else {
            let mut started = read.try_clone().unwrap();
            runtime.block_on(async {
                let started = tokio::task::spawn_blocking(move || byte_of(&mut started));
                tokio::select! {
                    output = launch.into_future() => panic!("{output:?}"),
                    byte = started => assert_eq!(byte.unwrap(), b'\n'),
                }
            });
        }
        bounded("all have ended", || read.read_to_end(&mut Vec::new())).unwrap();
        drop((runtime, read));
        scene.must_return();
    }
}
