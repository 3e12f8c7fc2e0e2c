//! A program that gives its rights up, and starts workers as nobody: one of them tries to
//! reach what their template has.

use std::fs;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;

use anyfork::Process;
use anyfork_tests::rights::NOBODY;
use anyfork_tests::{bounded, byte_of, held, release, template_of};
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};

/// Tells what it can of a process: 1 its descriptors, 2 its memory, 4 that it can be traced.
#[anyfork::worker]
fn look_into(mut socket: UnixStream, pid: u32) -> io::Result<()> {
    let mut seen = 0;
    if fs::read_dir(format!("/proc/{pid}/fd")).is_ok_and(|it| it.count() > 0) {
        seen |= 1;
    }
    if fs::File::open(format!("/proc/{pid}/mem")).is_ok() {
        seen |= 2;
    }
    let none = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: traces a process of the test's, until this process ends.
    if unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid as libc::pid_t, none, none) } == 0 {
        seen |= 4;
    }
    socket.write_all(&[seen])
}

fn main() -> anyfork::Result<()> {
    setgroups(&[]).expect("root");
    setgid(Gid::from_raw(NOBODY)).expect("root");
    setuid(Uid::from_raw(NOBODY)).expect("root");
    look_into_a_template()
}

fn look_into_a_template() -> anyfork::Result<()> {
    let process = Process::new_exec()?;
    let victim = held(process.fork());
    let template = template_of(&victim);
    for (pid, seen) in [(template, 0), (std::process::id(), 0)] {
        let mut worker = bounded("a launch", || {
            look_into::run(process.fork(), pid).blocking()
        })?;
        assert_eq!(byte_of(&mut worker.socket), seen, "of {pid}");
        assert!(bounded("an exit", || worker.wait())?.success());
    }
    // A sibling is as open as any process: it can be seen, and traced where that is allowed.
    let mut worker = bounded("a launch", || {
        look_into::run(process.fork(), victim.pid()).blocking()
    })?;
    assert_eq!(byte_of(&mut worker.socket) & 1, 1);
    assert!(bounded("an exit", || worker.wait())?.success());
    release(victim);
    Ok(())
}
