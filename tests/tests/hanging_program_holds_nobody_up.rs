//! A program on a file system that hangs is not executed, and nobody else waits for it:
//! neither workers of the same template nor other programs. It is called off like any.

use std::fs;
use std::io;
use std::time::Duration;

use anyfork::{Command, ErrorKind, Process};
use anyfork_tests::hanging::{Hanging, Lookup};
use anyfork_tests::{alone, bounded, children, early_template, held, release, status, until};

#[anyfork::early]
fn preload() {}

fn mount() -> Option<Hanging> {
    let mounted = Hanging::mount(env!("CARGO_TARGET_TMPDIR"));
    mounted
        .inspect_err(|error| println!("skipped: no file system that hangs: {error}"))
        .ok()
}

fn lookup(hanging: &mut Hanging) -> Lookup {
    bounded("a program on its way", || hanging.lookup())
}

/// Starts a worker and a program, which end.
fn others_start() {
    release(held(Process::early().unwrap()));
    let status = bounded("a program", || Command::new("true").status().blocking());
    assert!(status.unwrap().success());
}

/// The kernel keeps the process until the file system has answered.
fn must_be_killed(mut hanging: Hanging, waiting: &Lookup, template: u32) {
    const SIGKILL: u64 = 1 << (libc::SIGKILL - 1);
    until("the program is killed", || {
        let pending = ["SigPnd", "ShdPnd"].map(|field| status(waiting.pid, field));
        let pending = pending.map(|set| u64::from_str_radix(&set, 16).expect("a set"));
        (pending[0] | pending[1]) & SIGKILL != 0
    });
    hanging.fail(waiting, libc::ENOENT);
    until("it is reaped", || children(template).is_empty());
}

#[test]
fn workers_and_programs_of_the_same_template() {
    let _alone = alone();
    let Some(mut hanging) = mount() else { return };
    let template = early_template();
    let mut launches = Vec::new();
    for number in 1..=3usize {
        launches.push(Command::new(hanging.name(number)).spawn());
        let waiting = lookup(&mut hanging);
        until("the others are reaped", || {
            children(template).len() == number
        });
        assert!(children(template).contains_key(&waiting.pid));
        others_start();
    }
    drop(hanging);
    for launch in launches {
        let error = bounded("a launch", || launch.blocking()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ExecFailed, "{error}");
    }
}

#[test]
fn a_launch_that_is_called_off() {
    let _alone = alone();
    let Some(mut hanging) = mount() else { return };
    let template = early_template();
    let launch = Command::new(hanging.name(1)).spawn();
    let waiting = lookup(&mut hanging);
    drop(launch);
    must_be_killed(hanging, &waiting, template);
}

#[test]
fn a_launch_that_takes_too_long() {
    let _alone = alone();
    let Some(mut hanging) = mount() else { return };
    let template = early_template();
    let mut command = Command::new(hanging.name(1));
    let launch = command.timeout(Duration::from_millis(50)).spawn();
    let waiting = lookup(&mut hanging);
    let error = bounded("a launch", || launch.blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    must_be_killed(hanging, &waiting, template);
}

#[test]
fn a_program_that_is_not_there_in_the_end() {
    let _alone = alone();
    let Some(mut hanging) = mount() else { return };
    let launch = Command::new(hanging.name(1)).spawn();
    let waiting = lookup(&mut hanging);
    hanging.fail(&waiting, libc::ENOENT);
    let error = bounded("a launch", || launch.blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ExecFailed, "{error}");
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::NotFound);
}

/// What is laid out for a program goes when the program is executed.
#[test]
fn a_template_that_has_started_many() {
    let _alone = alone();
    let template = early_template();
    let mappings = || {
        let maps = fs::read_to_string(format!("/proc/{template}/maps")).unwrap();
        maps.lines().count()
    };
    let start = |bytes: usize| {
        let mut command = Command::new("true");
        let status = command.env("ANYFORK_LONG", "x".repeat(bytes)).status();
        assert!(status.blocking().unwrap().success());
    };
    [10, 100_000, 10].into_iter().for_each(start);
    let before = mappings();
    for _ in 0..20 {
        [10, 100_000, 10].into_iter().for_each(start);
    }
    until("the template's memory is as before", || {
        release(held(Process::early().unwrap()));
        mappings() <= before
    });
}
