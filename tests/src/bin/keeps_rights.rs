//! A program that gives up root, and whose early template keeps its rights until the
//! program ends it.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;

use anyfork::{Command, ErrorKind, Process};
use anyfork_tests::rights::NOBODY;
use anyfork_tests::{has_ended, new, text_of, until};
use nix::unistd::{Gid, Uid, getppid, setgid, setgroups, setuid};

#[anyfork::worker]
fn who(mut socket: UnixStream) -> io::Result<()> {
    let (user, template) = (nix::unistd::getuid(), getppid());
    write!(socket, "{user} {template}")
}

/// The user of a worker, and its template.
fn user(process: Process) -> (u32, u32) {
    let text = text_of(who::run(process));
    let (user, template) = text.split_once(' ').expect("two numbers");
    let number = |text: &str| text.parse().expect("a number");
    (number(user), number(template))
}

fn user_of_command() -> String {
    let output = Command::new("id").arg("-u").output().blocking();
    String::from_utf8(output.expect("a program").stdout).expect("UTF-8")
}

#[anyfork::early(keep_rights)]
fn main() {
    let (_, template) = user(new());
    setgroups(&[]).expect("root may do that");
    setgid(Gid::from_raw(NOBODY)).expect("root may do that");
    setuid(Uid::from_raw(NOBODY)).expect("root may do that");
    let before = new();
    for process in [
        new(),
        Process::early().expect("an early template"),
        new().env("NESTED", "1").fork(),
    ] {
        assert_eq!(user(process).0, 0);
    }
    assert_eq!(user(before), (0, template));
    assert_eq!(user_of_command(), "0\n");
    // What is executed has what the program has.
    assert_eq!(user(Process::new_exec().expect("a template")).0, NOBODY);

    let before = new();
    Process::end_early();
    until("the early template is gone", || has_ended(template));
    assert_eq!(user(new()).0, NOBODY);
    assert_eq!(user_of_command(), format!("{NOBODY}\n"));
    let launch = before.run(who::NAME).blocking();
    let error = launch.expect_err("its template is gone");
    assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}");
}
