//! A limit of output ends a program, and who is left behind is waited for as long as allowed.

use std::process::Output;
use std::time::Duration;

use anyfork::{Command, Error, ErrorKind, Exit};
use anyfork_tests::{has_ended, send_signal, until};

use crate::{LONG, late, outputs, printed_pid, sh};

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
