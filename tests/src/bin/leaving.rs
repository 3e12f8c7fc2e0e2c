//! A program that leaves its workers behind: of which template, and how, its
//! arguments say. Prints what processes there are before it goes.

use std::env;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{self, Command};
use std::thread;

use anyfork::Process;
use anyfork_tests::template_of;
use nix::unistd::dup2_stdout;

#[anyfork::init]
fn prepare() {}

/// Stays until it is killed. Before, it may fork a process that has all of its
/// descriptors but standard output, until standard input is at its end.
#[anyfork::worker]
fn stay(mut socket: UnixStream, forks: bool) -> io::Result<()> {
    let mut pid = process::id().cast_signed();
    if forks {
        // SAFETY: this process has one thread.
        pid = unsafe { libc::fork() };
        if pid == 0 {
            let _ = dup2_stdout(io::stdin());
            wait_for_input();
            // SAFETY: ends the process at once.
            unsafe { libc::_exit(0) };
        }
    }
    socket.write_all(&pid.to_le_bytes())?;
    loop {
        thread::park();
    }
}

/// Goes on when the program is gone.
#[anyfork::worker]
fn go_on(mut socket: UnixStream) -> io::Result<()> {
    socket.write_all(&process::id().to_le_bytes())?;
    wait_for_input();
    println!("it has gone on");
    Ok(())
}

fn wait_for_input() {
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
}

/// Starts a worker, says of what kind it is and what its pids are, and forgets
/// its handle.
fn start(kind: &str, process: Process, name: &str) {
    let mut worker = process.run(name).blocking().expect("a worker");
    let mut pid = [0; 4];
    worker.socket.read_exact(&mut pid).expect("a pid");
    println!("template {}", template_of(&worker));
    println!("{kind} {}", worker.pid());
    let pid = u32::from_le_bytes(pid);
    if pid != worker.pid() {
        println!("grandchild {pid}");
    }
    std::mem::forget(worker);
}

#[anyfork::early]
fn main() {
    let [template, workers, how] = [1, 2, 3].map(|n| env::args().nth(n).expect("an argument"));
    let process = match template.as_str() {
        "early" => Process::early(),
        "exec" => Process::new_exec(),
        "nested" => Process::early().map(|it| it.init("prepare", ())),
        "snapshot" => Process::snapshot(),
        _ => panic!("no such template"),
    };
    let process = process.expect("a template");
    match workers.as_str() {
        "stay" => {
            let killed = process.kill_on_drop(true);
            start("worker", killed.fork().send_arg(false), "stay");
            start("worker", killed.fork().send_arg(true), "stay");
            start("worker", killed.send_arg(false), "stay");
        }
        "go-on" => start("goes-on", process.fork(), "go_on"),
        "none" => anyfork_tests::release(anyfork_tests::held(process.fork())),
        _ => panic!("no such workers"),
    }
    println!("program {}", process::id());
    match how.as_str() {
        "aborts" => process::abort(),
        "execs" => panic!("{}", Command::new("/bin/true").exec()),
        "exits" => process::exit(0),
        "panics" => panic!("a test's panic"),
        "returns" => {}
        // Its input is open as long as the test is there.
        "is killed" => wait_for_input(),
        _ => panic!("no such end"),
    }
}
