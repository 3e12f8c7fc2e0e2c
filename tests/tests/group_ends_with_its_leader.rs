//! Whoever ends a process that leads a group ends the group: by a kill, by dropping
//! the last handle, or by being killed itself.

use std::io;

use anyfork::{Command, blocking};
use anyfork_tests::births::{kill_now, program};
use anyfork_tests::{Scene, alone, bounded, byte_of, new, runtime};

#[anyfork::early]
fn preload() {}

/// Says something once a process in its group runs, which has its pipe, too.
const LEADER: &str = "sleep 600 & echo; wait";

/// A program that leads, and a pipe that it and its group hold open.
fn leader(command: Command) -> (Command, io::PipeReader) {
    let (read, write) = io::pipe().unwrap();
    let mut command = command;
    command.args(["-c", LEADER]).stdout(write).process_group(0);
    (command, read)
}

fn started(command: Command) -> (blocking::Child, io::PipeReader) {
    let (mut command, mut read) = leader(command);
    let child = bounded("a launch", || command.spawn().blocking()).unwrap();
    assert_eq!(byte_of(&mut read), b'\n');
    (child, read)
}

fn sh() -> Command {
    Command::new("sh")
}

fn must_end(read: io::PipeReader) {
    bounded("all have ended", || io::read_to_string(read)).unwrap();
}

#[test]
fn a_kill() {
    let _alone = alone();
    let scene = Scene::early();
    let (mut child, read) = started(sh());
    child.kill().unwrap();
    must_end(read);
    drop(child);
    let (mut child, read) = started(new().exec("sh"));
    child.start_kill().unwrap();
    must_end(read);
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    drop(child);
    let (child, read) = started(sh());
    child.handle().kill().unwrap();
    must_end(read);
    drop(child);
    scene.must_return();
}

#[test]
fn a_kill_that_is_awaited() {
    let _alone = alone();
    let scene = Scene::early();
    runtime().block_on(async {
        for starts in [false, true] {
            let (mut command, mut read) = leader(sh());
            let mut child = command.spawn().await.unwrap();
            drop(command);
            assert_eq!(byte_of(&mut read), b'\n');
            match starts {
                true => child.start_kill().unwrap(),
                false => child.kill().await.unwrap(),
            }
            must_end(read);
            assert_eq!(child.wait().await.unwrap().signal(), Some(libc::SIGKILL));
        }
    });
    scene.must_return();
}

#[test]
fn a_drop() {
    let _alone = alone();
    let scene = Scene::early();
    for process in [
        new().kill_on_drop(true),
        new().env("NESTED", "1").kill_on_drop(true),
    ] {
        let (child, read) = started(process.exec("sh"));
        let handle = child.handle();
        drop(child);
        drop(handle);
        must_end(read);
    }
    let mut command = sh();
    command.kill_on_drop(true);
    let (child, read) = started(command);
    drop(child);
    must_end(read);
    scene.must_return();
}

#[test]
fn a_process_that_leads_none_ends_alone() {
    let _alone = alone();
    let (read, write) = io::pipe().unwrap();
    let mut command = sh();
    // It has the pipe, and another standard input, so that it ends with the test.
    command
        .args(["-c", "exec 2>&1; cat <&3 & echo; wait"])
        .stdout(write);
    let (held, hold) = io::pipe().unwrap();
    let mut child = command.fd(3, held).spawn().blocking().unwrap();
    drop(command);
    let mut read = read;
    assert_eq!(byte_of(&mut read), b'\n');
    child.kill().unwrap();
    // It is there, and copies.
    io::Write::write_all(&mut &hold, b"x").unwrap();
    assert_eq!(byte_of(&mut read), b'x');
    drop(hold);
    must_end(read);
}

/// Its template does it in its place.
#[test]
fn the_callers_death() {
    let _alone = alone();
    for template in ["early", "exec", "nested", "snapshot"] {
        let mut command = program(env!("CARGO_BIN_EXE_lets_go"), "leads");
        command.arg(template).stdin(std::process::Stdio::piped());
        let mut caller = command
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = caller.stdout.take().unwrap();
        assert_eq!(byte_of(&mut stdout), b'\n');
        assert_eq!(byte_of(&mut stdout), b'!');
        kill_now(caller.id());
        bounded("all have ended", || io::read_to_string(stdout)).unwrap();
        caller.wait().unwrap();
    }
}
