//! What becomes of a pool whose program is killed or gives up rights, in programs of their own.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyfork_tests::births::{Folder, succeed};
use anyfork_tests::rights::may_become_nobody;
use anyfork_tests::{bounded, has_ended, stat, until};

fn program(what: &str, folder: &Folder) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_has_a_pool"));
    program.arg(what).arg(&**folder);
    program
}

#[test]
fn nothing_is_left_of_a_killed_program() {
    let folder = Folder::new(env!("CARGO_TARGET_TMPDIR"), "killed");
    let mut program = program("stays", &folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(program.stdout.take().unwrap());
    bounded("workers", || output.read_line(&mut line)).unwrap();
    let workers: Vec<u32> = line
        .split_whitespace()
        .map(|it| it.parse().unwrap())
        .collect();
    assert_eq!(workers.len(), 3, "{line:?}");
    let (_, template) = stat(workers[0]).unwrap();
    program.kill().unwrap();
    program.wait().unwrap();
    until("an idle, a busy and a starting worker are gone", || {
        workers.iter().all(|it| has_ended(*it))
    });
    until("their template is gone", || has_ended(template));
}

#[test]
fn no_worker_has_more_than_a_program_that_is_another_users() {
    give_up("user");
}

#[test]
fn no_worker_has_more_than_a_program_that_gets_no_new_privileges() {
    give_up("privileges");
}

fn give_up(what: &str) {
    if may_become_nobody() {
        let folder = Folder::new(env!("CARGO_TARGET_TMPDIR"), what);
        succeed(program("gives-up", &folder).arg(what));
    }
}
