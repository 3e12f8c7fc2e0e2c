//! A template takes a request apart itself where that is nothing but looking at
//! it. What runs code of the program's, such as the conversion of an argument,
//! runs in the process that was made for it; and a mistake that can be seen
//! without costs no process.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::id;

use anyfork::{Arg, ArgError, ErrorKind, FromArg, IntoArg, Process, blocking};
use anyfork_tests::{alone, bounded, children, early_template, until};
use tokio::io::AsyncWriteExt;

#[anyfork::early]
fn preload() {}

/// Knows where it was converted.
struct Converted(u32);

impl IntoArg for Converted {
    fn into_arg(self) -> anyfork::Result<Arg> {
        self.0.into_arg()
    }
}

impl FromArg for Converted {
    fn from_arg(arg: Arg) -> Result<Converted, ArgError> {
        match u32::from_arg(arg)? {
            0 => Err(ArgError::new("a zero is none")),
            _ => Ok(Converted(id())),
        }
    }
}

#[anyfork::worker]
fn last(mut socket: UnixStream, text: String, it: Converted) -> io::Result<()> {
    write!(socket, "{text} {}", it.0)
}

#[anyfork::worker]
fn first(mut socket: UnixStream, it: Converted, text: Option<String>) -> io::Result<()> {
    write!(socket, "{} {}", text.unwrap_or_default(), it.0)
}

#[anyfork::worker]
fn optional(mut socket: UnixStream, text: String, it: Option<Converted>) -> io::Result<()> {
    write!(socket, "{text} {}", it.map_or(0, |it| it.0))
}

#[anyfork::worker]
async fn asynchronous(mut socket: tokio::net::UnixStream, text: String, it: Converted) {
    let text = format!("{text} {}", it.0);
    socket.write_all(text.as_bytes()).await.unwrap();
}

/// What a worker has said, which it was to say with its pid.
fn must_say(mut worker: blocking::Worker, text: &str) {
    let mut said = String::new();
    worker.socket.read_to_string(&mut said).unwrap();
    assert_eq!(said, format!("{text} {}", worker.pid()));
    assert!(worker.wait().unwrap().success());
}

fn process() -> Process {
    Process::early().unwrap()
}

#[test]
fn conversions_run_in_the_workers_process() {
    let _alone = alone();
    let text = || "text".to_owned();
    let it = || Converted(1);
    must_say(
        last::run(process(), text(), it()).blocking().unwrap(),
        "text",
    );
    let launch = first::run(process(), it(), Some(text()));
    must_say(launch.blocking().unwrap(), "text");
    let launch = optional::run(process(), text(), Some(it()));
    must_say(launch.blocking().unwrap(), "text");
    let launch = asynchronous::run(process(), text(), it());
    must_say(launch.blocking().unwrap(), "text");
}

/// Page faults of the children that the process has collected (proc(5)): each
/// child has some.
fn faults_of_children(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.split(' ').nth(8).unwrap().parse().unwrap()
}

#[test]
fn a_mistake_costs_no_process() {
    let _alone = alone();
    let template = early_template();
    let refused = |name: &str, args: &[&str]| {
        let launch = process().send_args(args.iter().copied()).run(name);
        bounded("a launch", || launch.blocking())
            .unwrap_err()
            .kind()
    };
    let before = faults_of_children(template);
    assert_eq!(refused("unheard_of", &[]), ErrorKind::UnknownWorker);
    for args in [&[][..], &["text"], &["text", "1", "2"], &["text", "none"]] {
        assert_eq!(refused("looks", args), ErrorKind::BadArgument, "{args:?}");
    }
    assert_eq!(children(template), Default::default());
    assert_eq!(faults_of_children(template), before);

    // One that only the program's code can see does.
    assert_eq!(refused("last", &["text", "0"]), ErrorKind::BadArgument);
    until("the child is collected", || {
        children(template).is_empty() && faults_of_children(template) > before
    });
    must_say(
        last::run(process(), "text".into(), Converted(1))
            .blocking()
            .unwrap(),
        "text",
    );
}

#[anyfork::worker]
fn looks(_socket: UnixStream, text: String, number: u32) {
    unreachable!("entered with {text} and {number}");
}
