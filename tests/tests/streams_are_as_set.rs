//! A standard stream of a process is what it was set to: the caller's, nothing,
//! a file, a socket, an end of a pipe, or a pipe whose other end is in the
//! `Child`, which every fork of a template has for itself.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::process::id;

use anyfork::{Process, Stdio, blocking};
use anyfork_tests::births::{Folder, serving};
use anyfork_tests::{bounded, descriptors, flags, held, new, pipe_with, release, runtime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[anyfork::early]
fn preload() {}

/// Copies what it reads to both of the others.
#[anyfork::worker]
fn copy(_socket: OwnedFd) -> io::Result<()> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    print!("out {text}");
    eprint!("err {text}");
    Ok(())
}

/// Goes on once its caller does: then prints the text.
#[anyfork::worker]
fn print(mut socket: UnixStream, text: String) -> io::Result<()> {
    io::copy(&mut socket, &mut io::sink())?;
    print!("{text}");
    eprint!("{text}");
    Ok(())
}

fn run(process: Process, name: &str) -> blocking::Child {
    bounded("a launch", || process.run(name).blocking())
        .unwrap()
        .child
}

fn finish(mut child: blocking::Child) {
    let exit = bounded("a worker's end", || child.wait()).unwrap();
    assert!(exit.success(), "{exit}");
}

fn text(from: Option<impl Read>) -> String {
    let from = from.expect("a pipe");
    bounded("the end of a stream", || io::read_to_string(from)).unwrap()
}

/// What the three streams of a process are.
fn streams(pid: u32) -> [String; 3] {
    let all = descriptors(pid);
    [0, 1, 2].map(|number| all[&number].clone())
}

/// The same of a worker.
fn streams_of(process: Process) -> [String; 3] {
    let worker = held(process);
    let found = streams(worker.pid());
    release(worker);
    found
}

const NULL: &str = "/dev/null";

#[test]
fn nothing_said_is_what_the_caller_has() {
    assert_eq!(streams_of(new()), streams(id()));
    assert_eq!(streams_of(new().send_arg("x").fork()), streams(id()));
}

#[test]
fn null_is_nothing() {
    let [own_in, own_out, own_err] = streams(id());
    let one = new().stdout(Stdio::null());
    assert_eq!(streams_of(one), [own_in, NULL.into(), own_err.clone()]);
    let two = new().stdin(Stdio::null()).stderr(Stdio::null());
    assert_eq!(streams_of(two), [NULL.into(), own_out, NULL.into()]);
    // Both to read from and to write to.
    let child = run(
        new()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
        "copy",
    );
    finish(child);
}

#[test]
fn a_file_a_socket_and_a_pipes_end() {
    let folder = Folder::new(env!("CARGO_TARGET_TMPDIR"), "streams");
    let mut file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(folder.join("file"))
        .unwrap();
    let (mut socket, theirs) = UnixStream::pair().unwrap();
    let process = new()
        .stdin(pipe_with("text"))
        .stdout(file.try_clone().unwrap())
        .stderr(theirs);
    finish(run(process, "copy"));
    file.rewind().unwrap();
    assert_eq!(io::read_to_string(&file).unwrap(), "out text");
    assert_eq!(text(Some(&mut socket)), "err text");

    // The same with their places changed.
    let (mut socket, theirs) = UnixStream::pair().unwrap();
    let (read, write) = io::pipe().unwrap();
    file.rewind().unwrap();
    let process = new().stdin(file).stdout(theirs).stderr(write);
    finish(run(process, "copy"));
    assert_eq!(text(Some(&mut socket)), "out out text");
    assert_eq!(text(Some(read)), "err out text");
}

#[test]
fn one_stream_is_the_next_workers() {
    let first = new()
        .stdin(pipe_with("a"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut first = run(first, "copy");
    let second = new().stdin(first.stdout.take().unwrap());
    let second = second.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut second = run(second, "copy");
    assert_eq!(text(second.stdout.take()), "out out a");
    finish(first);
    finish(second);
}

#[test]
fn all_three_are_piped() {
    let piped = || {
        let process = new().stdin(Stdio::piped()).stdout(Stdio::piped());
        process.stderr(Stdio::piped())
    };
    let mut child = run(piped(), "copy");
    child.stdin.take().unwrap().write_all(b"text").unwrap();
    assert_eq!(text(child.stdout.take()), "out text");
    assert_eq!(text(child.stderr.take()), "err text");
    finish(child);

    let runtime = runtime();
    bounded("a runtime", || {
        runtime.block_on(async {
            let mut child = piped().run("copy").await.unwrap().child;
            let mut stdin = child.stdin.take().unwrap();
            stdin.write_all(b"text").await.unwrap();
            drop(stdin);
            let mut text = String::new();
            let mut stdout = child.stdout.take().unwrap();
            stdout.read_to_string(&mut text).await.unwrap();
            let mut stderr = child.stderr.take().unwrap();
            stderr.read_to_string(&mut text).await.unwrap();
            assert_eq!(text, "out texterr text");
            assert!(child.wait().await.unwrap().success());
        });
    });
}

#[test]
fn only_what_is_piped_is_in_the_child() {
    let worker = held(new().stdout(Stdio::piped()));
    let child = &worker.child;
    assert!(child.stdin.is_none() && child.stdout.is_some() && child.stderr.is_none());
    release(worker);
    // The last word counts.
    let process = new().stdout(Stdio::piped()).stdout(Stdio::null());
    let child = run(process.stderr(Stdio::null()).stdin(Stdio::null()), "copy");
    assert!(child.stdout.is_none());
    finish(child);
    let process = new().stdout(Stdio::null()).stdout(Stdio::piped());
    let mut child = run(process.stdin(pipe_with("")).stderr(Stdio::null()), "copy");
    assert_eq!(text(child.stdout.take()), "out ");
    finish(child);
}

/// What a process executes has them, too, and no second copy.
#[test]
fn they_stay_open_over_an_exec() {
    let process = new().stdin(Stdio::null()).stdout(Stdio::piped());
    let worker = held(process.stderr(UnixStream::pair().unwrap().0));
    for number in 0..=2 {
        assert_eq!(flags(worker.pid(), number) & libc::O_CLOEXEC, 0);
    }
    let open = descriptors(worker.pid());
    for number in 1..=2 {
        let same = open.values().filter(|it| **it == open[&number]);
        assert_eq!(same.count(), 1, "{open:?}");
    }
    release(worker);
}

/// Is a caller itself, whose streams are not any more what it was started with.
#[anyfork::worker]
fn inherit(_socket: OwnedFd, moved: File) {
    let template = Process::new().unwrap();
    let before = streams(id());
    assert_eq!(streams_of(template), before);
    replace(1, moved.as_raw_fd());
    let now = streams(id());
    assert_ne!(now, before);

    assert_eq!(streams_of(new()), now, "the caller's");
    let all = new().stdin(Stdio::inherit()).stdout(Stdio::inherit());
    assert_eq!(streams_of(all.stderr(Stdio::inherit())), now);
    // As it is when it is given.
    let early = new().stdout(Stdio::inherit());
    replace(1, 2);
    assert_eq!(streams_of(early), now);
    replace(1, moved.as_raw_fd());

    let crossed = new().stdout(io::stderr()).stderr(io::stdout());
    let [stdin, stdout, stderr] = now;
    assert_eq!(streams_of(crossed), [stdin, stderr, stdout]);

    let process = new();
    // SAFETY: nobody here refers to the standard input.
    unsafe { libc::close(0) };
    let process = process.stdin(Stdio::inherit());
    assert_eq!(streams_of(process)[0], NULL, "it is closed");
}

fn replace(number: RawFd, by: RawFd) {
    // SAFETY: who writes to a standard stream refers to its number.
    assert_eq!(unsafe { libc::dup2(by, number) }, number);
}

#[test]
fn inherited_is_the_callers_as_it_is_now() {
    let folder = Folder::new(env!("CARGO_TARGET_TMPDIR"), "inherited");
    let file = |name| File::create(folder.join(name)).unwrap();
    let process = new().stdin(pipe_with("")).stdout(file("out"));
    let process = process.stderr(file("err")).send_fd(file("moved"));
    let child = run(process, "inherit");
    let waited = child.handle();
    let exit = bounded("a worker's end", || waited.wait()).unwrap();
    let said = fs::read_to_string(folder.join("err")).unwrap();
    assert!(exit.success(), "{exit}: {said}");
}

#[test]
fn a_templates_stream_is_its_forks() {
    let folder = Folder::new(env!("CARGO_TARGET_TMPDIR"), "forks");
    let path = folder.join("file");
    let template = new().stdout(File::create(&path).unwrap());
    let pid = serving(&template);
    let path = path.canonicalize().unwrap();
    assert_eq!(streams(pid), [NULL, path.to_str().unwrap(), NULL]);
    let [stdin, _, stderr] = streams(id());
    let forks = [stdin, path.to_str().unwrap().to_owned(), stderr];
    assert_eq!(streams_of(template.fork()), forks);
    assert_eq!(streams_of(template.fork().stdout(Stdio::null()))[1], NULL);
    for text in ["one ", "two "] {
        let process = template.fork().send_arg(text).stderr(Stdio::null());
        finish(run(process, "print"));
    }
    assert_eq!(fs::read_to_string(path).unwrap(), "one two ");
}

#[test]
fn a_templates_pipe_is_every_forks_own() {
    let template = new().stdout(Stdio::piped()).stderr(Stdio::piped());
    let template = template.stdin(Stdio::piped());
    // Whoever else had an end would hold up those who read the other.
    let pid = serving(&template);
    assert_eq!(streams(pid), [NULL; 3]);
    let nested = template.fork().send_arg("nested");
    assert_eq!(streams(serving(&nested.fork())), [NULL; 3]);
    let texts = ["a", "b", "c"];
    let workers = texts.map(|text| {
        let process = template.fork().send_arg(text);
        process.run("print").blocking().unwrap()
    });
    let fourth = nested.fork().run("print").blocking().unwrap();
    // All run at the same time, and end in another order.
    let together = workers.into_iter().zip(texts).chain([(fourth, "nested")]);
    let mut together: Vec<_> = together.collect();
    together.reverse();
    for (worker, expected) in together {
        let blocking::Worker {
            socket, mut child, ..
        } = worker;
        drop(socket);
        assert_eq!(text(child.stdout.take()), expected);
        assert_eq!(text(child.stderr.take()), expected);
        finish(child);
    }
    // A fork may have none.
    let process = template.fork().send_arg("x").stdout(Stdio::null());
    let child = run(process, "print");
    assert!(child.stdout.is_none() && child.stderr.is_some());
    finish(child);
}
