//! Whoever waits for a child is woken when it has exited, and when it is reaped, whose exit
//! tells all. What comes into the status pipe before that counts for nothing, and wakes nobody.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::id;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyfork::{Exit, Process, blocking};
use anyfork_tests::births::stop;
use anyfork_tests::hostile::{record, send_with, status_pipe};
use anyfork_tests::spares::warm;
use anyfork_tests::{alone, bounded, has_ended, kernel_keeps_status, new, send_signal, until};
use nix::unistd::gettid;
use sendfd::RecvWithFd;

#[anyfork::early]
fn preload() {}

/// How long a caller waits for a template that does not report, before it looks itself.
const PATIENCE_OF_CALLERS: Duration = Duration::from_secs(1);

/// Gives its status pipe away, and stays until its caller lets it go.
#[anyfork::worker]
fn give_away(mut socket: UnixStream) -> io::Result<()> {
    send_with(&socket, b"!", &[status_pipe()]);
    io::copy(&mut socket, &mut io::sink()).map(drop)
}

/// A thread that waits for a child.
struct Waiter {
    task: String,
    thread: thread::JoinHandle<anyfork::Result<Exit>>,
}

impl Waiter {
    /// Waits in a thread, and returns when that sleeps.
    fn of(child: &blocking::Child) -> Waiter {
        let (handle, (tell, told)) = (child.handle(), mpsc::channel());
        let thread = thread::spawn(move || {
            tell.send(gettid()).expect("somebody listens");
            handle.wait()
        });
        let task = format!("/proc/{}/task/{}", id(), told.recv().expect("a thread"));
        let waiter = Waiter { task, thread };
        until("it sleeps", || waiter.sleeps());
        waiter
    }

    /// Whether it sleeps in poll(2), which is `ppoll` elsewhere.
    fn sleeps(&self) -> bool {
        let call = fs::read_to_string(format!("{}/syscall", self.task)).unwrap_or_default();
        let number = call.split(' ').next().and_then(|it| it.parse().ok());
        #[cfg(target_arch = "x86_64")]
        if number == Some(libc::SYS_poll) {
            return true;
        }
        number == Some(libc::SYS_ppoll)
    }

    /// How often it has gone to sleep.
    fn sleeps_begun(&self) -> u64 {
        let status = fs::read_to_string(format!("{}/status", self.task)).expect("it lives");
        let mut lines = status.lines();
        let count = lines.find_map(|it| it.strip_prefix("voluntary_ctxt_switches:"));
        count.expect("a line").trim().parse().expect("a number")
    }

    /// How often it has gone to sleep, once it does. `None`: it waits for nothing any more.
    fn asleep(&self) -> Option<u64> {
        until("it sleeps, or is done", || {
            self.sleeps() || self.thread.is_finished()
        });
        (!self.thread.is_finished()).then(|| self.sleeps_begun())
    }
}

/// A worker of this template's, and the write end of its status pipe.
fn worker(template: &Process) -> (blocking::Worker, File) {
    let launch = give_away::run(template.fork());
    let worker = bounded("a launch", || launch.blocking()).unwrap();
    let (mut byte, mut fds) = ([0], [-1]);
    let received = worker.socket.recv_with_fd(&mut byte, &mut fds).unwrap();
    assert_eq!(received, (1, 1));
    // SAFETY: it has just been received.
    let pipe = unsafe { OwnedFd::from_raw_fd(fds[0]) };
    (worker, pipe.into())
}

#[test]
fn what_the_child_writes_while_it_runs() {
    let _alone = alone();
    let (template, _) = warm(new(), 0);
    let (worker, mut pipe) = worker(&template);
    let waiter = Waiter::of(&worker.child);
    let before = waiter.sleeps_begun();
    pipe.write_all(&record(0)).unwrap();
    assert_eq!(waiter.asleep(), Some(before), "it was woken");
    drop(worker.socket);
    let exit = bounded("an exit", || waiter.thread.join().unwrap());
    assert!(exit.unwrap().success());
}

/// The template is stopped, so that what is written is not its own word.
#[test]
fn what_is_written_before_the_reap() {
    if !kernel_keeps_status() {
        return;
    }
    let _alone = alone();
    // A machine that is in no hurry may need another try.
    let is_told = (0..20).any(|_| {
        let (template, its_pid) = warm(new(), 0);
        let (worker, mut pipe) = worker(&template);
        let pid = worker.pid();
        let waiter = Waiter::of(&worker.child);
        let before = waiter.sleeps_begun();
        stop(its_pid);
        let begun = Instant::now();
        send_signal(pid, libc::SIGKILL);
        until("it has exited", || has_ended(pid));
        until("its caller knows", || {
            waiter.thread.is_finished() || waiter.sleeps_begun() > before
        });
        let known = waiter.asleep();
        pipe.write_all(&record(0)).unwrap();
        let written = waiter.asleep();
        let is_told = begun.elapsed() < PATIENCE_OF_CALLERS;
        send_signal(its_pid, libc::SIGCONT);
        let exit = bounded("an exit", || waiter.thread.join().unwrap()).unwrap();
        assert_eq!(exit.signal(), Some(libc::SIGKILL), "{exit}");
        if is_told {
            assert_eq!(known, Some(before + 1), "it is woken once by the exit");
            assert_eq!(written, known, "it was woken by what was written");
        }
        is_told
    });
    assert!(is_told, "always late");
}
