//! The supervisor restarts workers that have died, replaces all of them on SIGHUP, and
//! leaves no process behind.

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A supervisor, killed if its test fails.
struct Supervisor {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Supervisor {
    fn start() -> Supervisor {
        let mut child = Command::new(support::example("supervisor"))
            .arg("2")
            .stdout(Stdio::piped())
            .spawn()
            .expect("run the example");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Supervisor { child, lines }
    }

    fn line(&mut self) -> String {
        let line = self.lines.next().expect("another line");
        line.expect("read a line")
    }

    /// The next two workers that are ready, by their number.
    fn two(&mut self) -> BTreeMap<u32, i32> {
        let lines = [self.line(), self.line()];
        let ready = lines.iter().map(|line| {
            let line = line.strip_prefix("worker ").expect("a worker is ready");
            let (number, pid) = line.split_once(" is process ").expect("a worker is ready");
            (
                number.parse().expect("a number"),
                pid.parse().expect("a pid"),
            )
        });
        ready.collect()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        kill(pid, signal).expect("signal the supervisor");
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until the process is gone.
fn gone(pid: i32) {
    while Path::new(&format!("/proc/{pid}")).exists() {
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn workers_are_started_again_and_replaced() {
    let mut supervisor = Supervisor::start();
    let first = supervisor.two();
    assert_eq!(first.keys().copied().collect::<Vec<_>>(), [1, 2]);

    kill(Pid::from_raw(first[&1]), Signal::SIGKILL).expect("kill a worker");
    assert_eq!(supervisor.line(), "worker 1 has ended: signal: 9 (SIGKILL)");
    let again = supervisor.line();
    let pid = again.strip_prefix("worker 1 is process ").expect(&again);
    let again: i32 = pid.parse().expect("a pid");
    assert_ne!(again, first[&1]);

    supervisor.signal(Signal::SIGHUP);
    let second = supervisor.two();
    assert_eq!(second.keys().copied().collect::<Vec<_>>(), [1, 2]);
    gone(again);
    gone(first[&2]);

    supervisor.signal(Signal::SIGKILL);
    supervisor.child.wait().expect("wait for the supervisor");
    for pid in second.values() {
        gone(*pid);
    }
}
