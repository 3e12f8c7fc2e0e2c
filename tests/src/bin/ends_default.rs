//! A program that ends its default templates: the early one, and those that are
//! exec'ed.

use std::fs;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;

use anyfork::{Command, ErrorKind, Process};
use anyfork_tests::{has_ended, held, new, release, template_of, text_of, until};
use nix::sched::{CloneFlags, unshare};

#[anyfork::early]
fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("ends") => ends(),
        Some("namespace") => namespace(),
        other => panic!("{other:?}"),
    }
}

fn ends() {
    // Both before there is anything to end.
    Process::reset_default();
    let worker = held(Process::early().expect("an early template"));
    let early = template_of(&worker);
    let before = new();
    let own = new().env("NESTED", "1");
    release(held(own.fork()));
    for _ in 0..2 {
        Process::end_early();
    }
    let error = Process::early().expect_err("it was ended");
    assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}");
    assert!(error.to_string().contains("end_early"), "{error}");
    gone(before);

    // Its children live on, and are reported.
    release(worker);
    release(held(own.fork()));
    until("the early template is gone", || has_ended(early));
    let mut templates = vec![early];
    for _ in 0..3 {
        let worker = held(new());
        let template = template_of(&worker);
        assert!(!templates.contains(&template));
        assert_eq!(template_of(&held(new())), template);
        let before = new();
        Process::reset_default();
        Process::end_early();
        gone(before);
        release(worker);
        until("the default template is gone", || has_ended(template));
        templates.push(template);
    }
    let status = Command::new("true").status().blocking();
    assert!(status.expect("a status").success());
}

/// Nothing can be started from a process whose template was ended.
fn gone(process: Process) {
    let error = process.run("hold").blocking().expect_err("it was ended");
    assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}");
}

const HOSTNAME: &str = "/proc/sys/kernel/hostname";

#[anyfork::worker]
fn host(mut socket: UnixStream) -> io::Result<()> {
    write!(socket, "{}", fs::read_to_string(HOSTNAME)?)
}

/// A namespace that anyfork does not compare.
fn namespace() {
    release(held(new()));
    for template in ["early", "exec"] {
        unshare(CloneFlags::CLONE_NEWUTS).expect("root may do that");
        fs::write(HOSTNAME, template).expect("it is this program's");
        Process::end_early();
        Process::reset_default();
        assert_eq!(text_of(host::run(new())).trim_end(), template);
        let output = Command::new("uname").arg("-n").output().blocking();
        let output = output.expect("a program");
        assert_eq!(output.stdout, format!("{template}\n").into_bytes());
    }
}
