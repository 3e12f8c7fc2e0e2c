//! A template looks at a request, but the arguments are none of its business: no
//! other worker finds them in its memory, and what converts them runs in the
//! process that was made for it.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::process::id;

use anyfork::{Arg, ArgError, ErrorKind, FromArg, IntoArg, Process, blocking};
use anyfork_tests::alone;
use tokio::io::AsyncWriteExt;

#[anyfork::early]
fn preload() {}

/// Knows where it was converted.
struct Converted(u32);

impl IntoArg for Converted {
    fn into_arg(self) -> Result<Arg, ArgError> {
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

/// What is secret, XORed with [`KEY`], so that nothing that looks for it has it in
/// its memory.
const SECRET: [u8; 16] = *b"\x06\x01\x02\x0f\x33\x1c\x77\x68\x59\x4a\x3b\x2c\x1d\x0e\x7f\x61";
const KEY: u8 = 0x5a;

#[anyfork::worker]
fn keep_secret(_socket: UnixStream, secret: Vec<u8>) {
    assert!(is_secret(&secret[secret.len() - SECRET.len()..]));
}

#[anyfork::worker]
fn refuse_secret(_socket: UnixStream, secret: String, number: u32) {
    unreachable!("entered with {} and {number}", secret.len());
}

fn is_secret(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .zip(&SECRET)
        .all(|(byte, it)| byte ^ KEY == *it)
}

/// Looks for the secret in all of its memory that it can write to, and tells how
/// often it is there.
#[anyfork::worker]
fn look_for_it(mut socket: UnixStream) -> io::Result<()> {
    let memory = fs::File::open("/proc/self/mem")?;
    let mut found = 0;
    for line in fs::read_to_string("/proc/self/maps")?.lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|it| u64::from_str_radix(it, 16).unwrap());
        if rest.starts_with("rw") {
            let mut bytes = vec![0; (to - from) as usize];
            memory.read_exact_at(&mut bytes, from)?;
            found += bytes
                .windows(SECRET.len())
                .filter(|it| is_secret(it))
                .count();
        }
    }
    write!(socket, "{found}")
}

/// Neither of those that were served, nor of those that were refused.
#[test]
fn one_workers_arguments_are_in_no_others_memory() {
    let _alone = alone();
    for len in [16, 37, 100, 200, 300, 600, 1500, 5000, 60_000] {
        let secret = || {
            let mut secret = vec![b'-'; len - SECRET.len()];
            secret.extend(SECRET.map(|it| it ^ KEY));
            secret
        };
        let mut worker = keep_secret::run(process(), secret()).blocking().unwrap();
        assert!(worker.wait().unwrap().success());
        for name in ["refuse_secret", "unheard_of"] {
            let launch = process().send_arg(secret()).send_arg("none").run(name);
            let error = launch.blocking().unwrap_err();
            assert!(
                [ErrorKind::BadArgument, ErrorKind::UnknownWorker].contains(&error.kind()),
                "{error}"
            );
        }
        for _ in 0..3 {
            let mut worker = look_for_it::run(process()).blocking().unwrap();
            let mut found = String::new();
            worker.socket.read_to_string(&mut found).unwrap();
            assert_eq!(found, "0", "of {len} bytes");
        }
    }
}

/// Looks for the secret in a worker of this process's.
fn must_not_find(process: Process, what: &str) {
    let mut worker = look_for_it::run(process).blocking().unwrap();
    let mut found = String::new();
    worker.socket.read_to_string(&mut found).unwrap();
    assert_eq!(found, "0", "{what}");
}

/// Whether the template lays them out itself or a child of its reads them.
#[test]
fn one_programs_texts_are_in_no_workers_memory() {
    let _alone = alone();
    let prepared = Process::new().unwrap().env("ANYFORK_CHANGED", "1");
    for len in [16, 37, 100, 600, 5000, 60_000, 100_000] {
        let mut secret = vec![b'-'; len - SECRET.len()];
        secret.extend(SECRET.map(|it| it ^ KEY));
        let secret = OsString::from_vec(secret);
        let direct = anyfork::Command::new("true");
        let with_base = prepared.fork().exec("true");
        let with_arg = prepared.fork().send_arg(secret.as_bytes()).exec("true");
        for (command, what) in [
            (direct, "direct"),
            (with_base, "prepared"),
            (with_arg, "with an argument"),
        ] {
            let mut command = command;
            command.arg(&secret).env("ANYFORK_SECRET", &secret);
            assert!(command.status().blocking().unwrap().success());
            command.current_dir("/nowhere/at/all");
            assert!(command.status().blocking().is_err());
            for _ in 0..2 {
                must_not_find(process(), what);
                must_not_find(prepared.fork(), what);
            }
        }
    }
}
