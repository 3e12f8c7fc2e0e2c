//! `status` and `output` of a program keep their bounds, awaited and blocking: input is fed
//! while output is read, limits of time and output end the whole group, and what came until
//! then is in the error. Nothing is left behind.

use std::future::IntoFuture;
use std::io::{self, Read};
use std::process::Output;
use std::time::Duration;

use anyfork::{Command, Error, ErrorKind, Exit, Launch, Process, Stdio, Target};
use anyfork_tests::{Scene, alone, bounded, byte_of, has_ended, runtime, send_signal, until};

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
fn binary_input_comes_back_whatever_its_size() {
    for len in [0, 1, 65_536, 65_537, TEN_MEBIBYTES] {
        let input = pattern(len);
        let command = || {
            let mut command = Command::new("cat");
            command.input(input.clone());
            command
        };
        outputs(command, |output| {
            let output = output.unwrap();
            assert!(output.status.success());
            assert!(output.stdout == input);
            assert!(output.stderr.is_empty());
        });
    }
}

#[test]
fn input_that_nobody_reads_is_no_error() {
    let with_input = |mut command: Command| {
        command.input(pattern(TEN_MEBIBYTES));
        command
    };
    // It exits at once; it closes its input, and goes on; it reads a part.
    for script in [
        ":",
        "exec <&-; echo x; sleep 0.1",
        "head -c 100000 >&2; exit",
    ] {
        outputs(
            || with_input(sh(script)),
            |output| assert!(output.unwrap().status.success()),
        );
    }
    statuses(
        || with_input(Command::new("true")),
        |exit| assert!(exit.unwrap().success()),
    );
    // It runs as long as it has its input, and is not waited for after its exit.
    outputs(
        || with_input(sh("exec 3<&0; sleep 0.1; echo done")),
        |output| assert_eq!(output.unwrap().stdout, b"done\n"),
    );
}

/// With the default action, a SIGPIPE would end this process: see `input_raises_no_signal`.
fn with_sigpipe_at_its_default(work: impl FnOnce()) {
    // SAFETY: neither action runs code.
    let before = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    work();
    // SAFETY: as above; the action is one that the call returned.
    unsafe { libc::signal(libc::SIGPIPE, before) };
}

#[test]
fn input_raises_no_signal() {
    with_sigpipe_at_its_default(|| {
        outputs(
            || {
                let mut command = Command::new("true");
                command.input(pattern(TEN_MEBIBYTES));
                command
            },
            |output| assert!(output.unwrap().status.success()),
        );
    });
}

#[test]
fn the_last_of_two_inputs_counts() {
    let _alone = alone();
    let mut command = Command::new("cat");
    command.input("one").input("two");
    assert_eq!(command.output().blocking().unwrap().stdout, b"two");
    // It may be started again.
    assert_eq!(command.output().blocking().unwrap().stdout, b"two");
    command.stdin(Stdio::null());
    assert_eq!(command.output().blocking().unwrap().stdout, b"");
    command.input("three");
    assert_eq!(command.output().blocking().unwrap().stdout, b"three");
}

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

#[test]
fn a_time_limit_ends_a_program_that_ignores_sigterm() {
    let script = "trap '' TERM; echo there >&2; echo here; while :; do sleep 1; done";
    for grace in [Duration::ZERO, Duration::from_millis(20)] {
        late(
            |time| {
                let mut command = sh(script);
                command.time_limit(time).grace(grace);
                command
            },
            |output| has_lines(output, &["here"]),
            |error, output| {
                assert_eq!(output.stdout, b"here\n");
                assert_eq!(output.stderr, b"there\n");
                assert_eq!(error.exit().unwrap().signal(), Some(libc::SIGKILL));
                let text = error.to_string();
                assert!(text.starts_with("`sh` did not exit within its `time_limit` of "));
                assert!(text.ends_with("s, and was killed"), "{text}");
                assert_eq!(io::Error::from(error).kind(), io::ErrorKind::TimedOut);
            },
        );
    }
}

#[test]
fn a_status_has_a_time_limit() {
    let command = || {
        let mut command = Command::new("sleep");
        command.arg("1000").time_limit(Duration::from_millis(300));
        command
    };
    statuses(command, |exit| {
        let error = exit.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        if let Some(output) = error.output() {
            assert!(output.stdout.is_empty() && output.stderr.is_empty());
            assert_eq!(error.exit().unwrap().signal(), Some(libc::SIGKILL));
        }
    });
}

#[test]
fn a_program_ends_itself_in_its_grace() {
    let stopped = "trap 'echo tidied; exit 7' TERM; echo up; kill -STOP $$; \
                   while :; do sleep 0.01; done";
    let running = "trap 'echo tidied; exit 7' TERM; echo up; while :; do sleep 0.01; done";
    for script in [running, stopped] {
        late(
            |time| {
                let mut command = sh(script);
                command.time_limit(time).grace(LONG);
                command
            },
            |output| has_lines(output, &["up"]),
            |error, output| {
                assert_eq!(output.stdout, b"up\ntidied\n");
                assert_eq!(error.exit().unwrap().code(), Some(7));
            },
        );
    }
}

/// The pid that a script has printed first.
fn printed_pid(output: &Output) -> u32 {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().next().unwrap().parse().unwrap()
}

#[test]
fn a_time_limit_ends_the_whole_group() {
    let child = "(trap '' TERM; echo up; while :; do sleep 1; done)";
    // The program has exited, and who it has left behind holds the streams; or it waits.
    let left = format!("echo $$; {child} & exit 5");
    let waits = format!("echo $$; {child} & wait");
    for (script, code) in [(left, Some(5)), (waits, None)] {
        for grace in [Duration::ZERO, Duration::from_millis(50)] {
            late(
                |time| {
                    let mut command = sh(&script);
                    command.time_limit(time).grace(grace);
                    command
                },
                |output| has_lines(output, &["up"]) && output.status.code() == code,
                |_, output| {
                    let group = printed_pid(&output);
                    until("all have ended", || is_empty(group));
                },
            );
        }
    }
}

/// Whether no process of a group runs.
fn is_empty(group: u32) -> bool {
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, fields) = stat.rsplit_once(") ")?;
        let fields: Vec<_> = fields.split(' ').collect();
        Some((fields[0] != "Z") && fields[2] == group.to_string())
    });
    !pids.into_iter().any(|is_in_it| is_in_it)
}

/// The program exits at SIGTERM, and its child takes longer.
#[test]
fn a_group_has_its_grace_after_its_leader() {
    let script =
        "(trap 'sleep 0.2; echo child; exit' TERM; echo one; while :; do sleep 0.01; done) &
        trap 'exit 7' TERM; echo other; while :; do sleep 0.01; done";
    late(
        |time| {
            let mut command = sh(script);
            command.time_limit(time).grace(LONG);
            command
        },
        |output| has_lines(output, &["one", "other"]),
        |_, output| {
            assert_eq!(output.status.code(), Some(7));
            assert!(has_lines(&output, &["child"]), "{output:?}");
        },
    );
}

#[test]
fn a_group_that_is_not_the_programs_own_is_left_alone() {
    let _alone = alone();
    let scene = Scene::early();
    let mut other = Command::new("sleep");
    let mut other = other
        .arg("1000")
        .process_group(0)
        .spawn()
        .blocking()
        .unwrap();
    let mut command = Command::new("sleep");
    command.arg("1000").process_group(other.pid().cast_signed());
    command.time_limit(Duration::from_millis(300));
    let error = command.status().blocking().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(other.try_wait().unwrap().is_none());
    other.kill().unwrap();
    drop(other);
    scene.must_return();
}

#[test]
fn a_program_leads_a_group_only_for_its_limits() {
    let _alone = alone();
    let group = |command: &mut Command| {
        let output = command.output().blocking().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let fields: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
        fields[0] == fields[4]
    };
    let stat = || {
        let mut command = Command::new("cat");
        command.arg("/proc/self/stat");
        command
    };
    assert!(!group(&mut stat()));
    assert!(!group(stat().input("x").drain_limit(LONG)));
    assert!(group(stat().time_limit(LONG)));
    assert!(group(stat().output_limit(10_000)));
    let own = nix::unistd::getpgrp().as_raw();
    assert!(!group(stat().time_limit(LONG).process_group(own)));
}

#[anyfork::init]
fn hang() {
    std::thread::sleep(LONG);
}

#[test]
fn a_launch_that_hangs_has_the_time_limit() {
    let _alone = alone();
    let scene = Scene::early();
    let mut command = Command::new("true");
    command
        .init("hang", ())
        .time_limit(Duration::from_millis(50));
    let error = command.output().blocking().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.output().is_none() && error.exit().is_none());
    assert!(
        error.to_string().contains("`time_limit` of 50ms"),
        "{error}"
    );
    let error = runtime()
        .block_on(command.status().into_future())
        .unwrap_err();
    assert!(
        error.to_string().contains("`time_limit` of 50ms"),
        "{error}"
    );
    command.time_limit(LONG).timeout(Duration::from_millis(50));
    let error = command.output().blocking().unwrap_err();
    assert!(error.to_string().contains("`timeout`"), "{error}");
    scene.must_return();
}

/// The error of an output limit, and what came until then.
#[track_caller]
fn too_large(result: Result<Output, Error>) -> (Error, Output) {
    let error = result.expect_err("a limit");
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    let output = error.output().expect("it was executed").clone();
    assert_eq!(error.exit().map(Exit::status), Some(output.status));
    (error, output)
}

#[test]
fn an_output_limit_counts_bytes_of_each_stream() {
    let exactly = "printf 12345; printf 12345 >&2";
    let limit = |script: &'static str, limit| {
        move || {
            let mut command = sh(script);
            command.output_limit(limit);
            command
        }
    };
    outputs(limit(exactly, 5), |output| {
        let output = output.unwrap();
        assert_eq!(
            (&output.stdout[..], &output.stderr[..]),
            (&b"12345"[..], &b"12345"[..])
        );
    });
    for (script, stream) in [
        ("printf 12345; printf 1234 >&2", "stdout"),
        ("printf 12345 >&2; printf 1234", "stderr"),
    ] {
        outputs(limit(script, 4), |output| {
            let (error, output) = too_large(output);
            let text = format!("`sh` printed more than its `output_limit` of 4 bytes on {stream}");
            assert!(error.to_string().starts_with(&text), "{error}");
            let (one, other) = match stream {
                "stdout" => (output.stdout, output.stderr),
                _ => (output.stderr, output.stdout),
            };
            assert_eq!(one, b"1234");
            assert!(other.is_empty() || other == b"1234", "{other:?}");
        });
    }
    outputs(limit(":", 0), |output| {
        assert!(output.unwrap().status.success())
    });
    outputs(limit("echo", 0), |output| {
        too_large(output);
    });
    const SIZE: usize = 1 << 20;
    outputs(limit("head -c 1048576 /dev/zero", SIZE), |output| {
        assert_eq!(output.unwrap().stdout.len(), SIZE);
    });
    outputs(limit("head -c 1048577 /dev/zero", SIZE), |output| {
        let (_, output) = too_large(output);
        assert_eq!(output.stdout.len(), SIZE);
    });
}

#[test]
fn endless_output_is_ended() {
    for grace in [Duration::ZERO, LONG] {
        let command = || {
            let mut command = Command::new("yes");
            command.output_limit(100_001).grace(grace);
            command
        };
        outputs(command, |output| {
            let (error, output) = too_large(output);
            assert!(output.stdout == b"y\n".repeat(50_001)[..100_001]);
            let signal = match grace.is_zero() {
                true => libc::SIGKILL,
                false => libc::SIGTERM,
            };
            assert_eq!(error.exit().unwrap().signal(), Some(signal));
        });
    }
    // A time limit holds while there is always something to read.
    late(
        |time| {
            let mut command = sh("while :; do echo; done");
            command.time_limit(time);
            command
        },
        |output| output.stdout.len() > 1000,
        |error, _| assert_eq!(error.exit().unwrap().signal(), Some(libc::SIGKILL)),
    );
}

#[test]
fn who_is_left_behind_is_waited_for_as_long_as_allowed() {
    for limit in [Duration::ZERO, Duration::from_millis(30)] {
        let command = || {
            let mut command = sh("sleep 1000 & echo $!; printf out");
            command.drain_limit(limit);
            command
        };
        outputs(command, |output| {
            let output = output.unwrap();
            assert!(output.status.success());
            assert!(output.stdout.ends_with(b"\nout"), "{output:?}");
            let left = printed_pid(&output);
            assert!(!has_ended(left));
            send_signal(left, libc::SIGKILL);
            until("it has ended", || has_ended(left));
        });
    }
    // It ends in time.
    let command = || {
        let mut command = sh("(sleep 0.1; echo later) & echo now");
        command.drain_limit(LONG);
        command
    };
    outputs(command, |output| {
        assert_eq!(output.unwrap().stdout, b"now\nlater\n");
    });
}

#[test]
fn all_that_a_program_printed_before_its_exit_is_there() {
    // More than a chunk, and somebody who holds the pipe.
    let command = || {
        let mut command = sh("sleep 0.5 & head -c 60000 /dev/zero; exit 3");
        command.drain_limit(Duration::ZERO);
        command
    };
    for _ in 0..5 {
        outputs(command, |output| {
            let output = output.unwrap();
            assert_eq!(output.status.code(), Some(3));
            assert_eq!(output.stdout.len(), 60_000);
        });
    }
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
