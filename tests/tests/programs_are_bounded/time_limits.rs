//! A limit of time ends a program and its whole group, which has its grace.

use std::io;
use std::time::Duration;

use anyfork::{Command, ErrorKind};
use anyfork_tests::{Scene, alone, runtime, until};

use crate::{LONG, has_lines, late, printed_pid, sh, statuses};

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
