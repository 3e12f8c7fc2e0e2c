//! What raises signals in programs that write, read or map carelessly: closed pipes, a
//! terminal in whose background they are, files that are cut.

use std::fs::{self, OpenOptions};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyfork::{Args, ErrorKind, Pool, Process};
use anyfork_tests::{bounded, end_by, held, hold, release};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::pty::openpty;
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};

fn new() -> Process {
    Process::new().expect("a template")
}

/// Cuts all memory files that it reaches, also those that are mapped only. Their number.
#[anyfork::call]
pub(crate) fn cut_all() -> u32 {
    let mut cut = 0;
    for folder in ["/proc/self/fd", "/proc/self/map_files"] {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let link = fs::read_link(entry.path()).unwrap_or_default();
            if link.to_string_lossy().contains("memfd:") {
                let file = OpenOptions::new().write(true).open(entry.path());
                cut += u32::from(file.is_ok_and(|file| file.set_len(0).is_ok()));
            }
        }
    }
    cut
}

/// Closes all, and ends.
#[anyfork::call]
fn close_all() -> u32 {
    // SAFETY: ends this process right after.
    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
    std::process::abort();
}

#[anyfork::call]
fn len(bytes: Vec<u8>) -> usize {
    println!("{} bytes", bytes.len());
    bytes.len()
}

/// Calls while workers cut and close what they can.
pub(crate) fn cut_files() {
    let pool = Pool::builder(new()).max(2).build().expect("a pool");
    for _ in 0..5 {
        let call = cut_all::call(&pool);
        assert_eq!(bounded("a call", || call.blocking()).expect("a result"), 0);
        let call = cut_all::call(new());
        assert_eq!(bounded("a call", || call.blocking()).expect("a result"), 0);
        let call = close_all::call(&pool);
        let error = bounded("a call", || call.blocking()).expect_err("it aborts");
        assert_eq!(error.kind(), ErrorKind::Died, "{error}");
    }
}

/// Uses what writes to pipes, sockets and terminals, with readers that go away.
pub(crate) fn use_all() {
    release(held(new()));
    drop(end_by::run(new(), 3, 0));
    // One that reads nothing, of more than a pipe holds.
    let input = vec![0; 1 << 20];
    let mut command = anyfork::Command::new("/bin/true");
    let output = bounded("an output", || command.input(input).output().blocking());
    assert!(output.expect("it ran").status.success());
    // A worker that is killed before it is sent something.
    let pool = Pool::builder(new()).max(1);
    let lines = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&lines);
    let pool = pool.stdout(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let pool = pool.build().expect("a pool");
    for _ in 0..3 {
        let call = len::call(&pool, vec![0; 1 << 20]);
        assert_eq!(
            bounded("a call", || call.blocking()).expect("a result"),
            1 << 20
        );
        let call = close_all::call(&pool);
        bounded("a call", || call.blocking()).expect_err("it aborts");
    }
    assert!(lines.load(Ordering::Relaxed) > 0);
    // Nobody waits for what is dropped.
    drop(hold::run(new().send_arg(vec![0; 1 << 20]), Args::new()));
}

/// Leads a session with a terminal, and runs this program in its background.
#[expect(clippy::zombie_processes, reason = "waitpid(2) reports a stop, too")]
pub(crate) fn lead_a_terminal() {
    let pty = openpty(None, None).expect("a terminal");
    let mut modes = tcgetattr(&pty.slave).expect("a terminal");
    modes.local_flags.insert(LocalFlags::TOSTOP);
    tcsetattr(&pty.slave, SetArg::TCSANOW, &modes).expect("a terminal");
    let slave = || Stdio::from(pty.slave.try_clone().expect("room"));
    let program = std::env::current_exe().expect("a program");
    // SAFETY: this process leads a session of its own, and no other has the terminal.
    unsafe {
        libc::setsid();
        assert_eq!(libc::ioctl(pty.slave.as_raw_fd(), libc::TIOCSCTTY, 0), 0);
    }
    let mut background = Command::new(program);
    background.arg("in-the-background").process_group(0);
    let background = background.stdin(slave()).stdout(slave()).stderr(slave());
    let child = background.spawn().expect("a program");
    let mut status = 0;
    // A stop is seen, too.
    // SAFETY: waits for the child.
    let waited = bounded("the program", || unsafe {
        libc::waitpid(child.id() as i32, &raw mut status, libc::WUNTRACED)
    });
    assert_eq!(waited, child.id() as i32);
    let exited = libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0;
    assert!(exited, "{status:#x}: {}", printed(&pty.master));
    // Its end would be this process's, too (SIGHUP).
    std::mem::forget(pty.master);
}

/// What there is to read: nothing, if the program was stopped before.
fn printed(master: &OwnedFd) -> String {
    fcntl(master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("a terminal");
    let mut text = vec![0; 65536];
    let len = nix::unistd::read(master, &mut text).unwrap_or_default();
    String::from_utf8_lossy(&text[..len]).into_owned()
}
