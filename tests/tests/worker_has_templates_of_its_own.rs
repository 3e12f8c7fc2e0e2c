//! `Process::new` works in a worker, at any depth, and in a program that has become
//! a daemon since: each has a template of its own, which ends with it.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::id;

use anyfork::{ErrorKind, Process, args};
use anyfork_tests::births::{end, program, succeed};
use anyfork_tests::{Scene, alone, bounded, early_template, has_ended, held, release};
use anyfork_tests::{template_of, text_of, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[anyfork::early]
fn preload() {}

/// Starts another of its kind, so many deep; each tells itself and its template.
#[anyfork::worker]
fn deep(mut socket: UnixStream, depth: u32) -> anyfork::Result<()> {
    let error = Process::early().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TemplateGone);
    assert!(error.to_string().contains("forked by anyfork"), "{error}");
    let worker = held(Process::new()?);
    writeln!(socket, "{} {}", id(), template_of(&worker))?;
    release(worker);
    if depth > 0 {
        let mut worker = deep::run(Process::new()?, depth - 1).blocking()?;
        io::copy(&mut worker.socket, &mut socket)?;
        assert!(worker.wait()?.success());
    }
    Ok(())
}

/// The pairs that workers have told.
fn pairs(text: &str) -> Vec<(u32, u32)> {
    let pair = |line: &str| {
        let (pid, template) = line.split_once(' ').unwrap();
        (pid.parse().unwrap(), template.parse().unwrap())
    };
    text.lines().map(pair).collect()
}

#[test]
fn a_worker_has_its_own_at_any_depth() {
    let _alone = alone();
    let scene = Scene::early();
    let mut worker = deep::run(Process::new().unwrap(), 3).blocking().unwrap();
    let mut text = String::new();
    bounded("an answer", || worker.socket.read_to_string(&mut text)).unwrap();
    assert!(worker.wait().unwrap().success(), "{text}");
    let pairs = pairs(&text);
    assert_eq!(pairs.len(), 4);
    let mut all: BTreeSet<u32> = pairs.iter().flat_map(|pair| [pair.0, pair.1]).collect();
    all.extend([id(), scene.template()]);
    assert_eq!(all.len(), 10, "{pairs:?}");
    for (pid, template) in pairs {
        until("all are gone", || has_ended(pid) && has_ended(template));
    }
    drop(worker);
    scene.must_return();
}

/// The same in a runtime, and twice from one template.
#[anyfork::worker(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_runtime(mut socket: tokio::net::UnixStream) -> anyfork::Result<()> {
    let template = Process::new()?.send_arg(0);
    let two = [template.fork().run("deep"), template.fork().run("deep")];
    for launch in two {
        let mut worker = launch.await?;
        let mut text = String::new();
        worker.socket.read_to_string(&mut text).await?;
        assert!(worker.wait().await?.success());
        socket.write_all(text.as_bytes()).await?;
    }
    Ok(())
}

#[test]
fn an_async_worker_has_its_own() {
    let _alone = alone();
    let mut worker = Process::new()
        .unwrap()
        .run("in_a_runtime")
        .blocking()
        .unwrap();
    let mut text = String::new();
    bounded("an answer", || worker.socket.read_to_string(&mut text)).unwrap();
    assert!(worker.wait().unwrap().success(), "{text}");
    assert_eq!(pairs(&text).len(), 2);
}

/// Has a worker, and stays.
#[anyfork::worker]
fn parent(mut socket: UnixStream) -> anyfork::Result<()> {
    let worker = held(Process::new()?);
    writeln!(socket, "{} {}", worker.pid(), template_of(&worker))?;
    io::copy(&mut socket, &mut io::sink())?;
    Ok(())
}

#[test]
fn it_ends_with_a_worker_that_is_killed() {
    let _alone = alone();
    let mut worker = Process::new().unwrap().run("parent").blocking().unwrap();
    let mut text = String::new();
    while !text.ends_with('\n') {
        let mut byte = [0];
        worker.socket.read_exact(&mut byte).unwrap();
        text.push(byte[0].into());
    }
    let (pid, template) = pairs(&text)[0];
    assert!(!has_ended(pid) && !has_ended(template));
    worker.start_kill().unwrap();
    assert_eq!(worker.wait().unwrap().signal(), Some(libc::SIGKILL));
    until("all are gone", || has_ended(pid) && has_ended(template));
}

/// What this process has of the default template is no other process's.
#[test]
fn a_dead_one_is_replaced_for_its_worker_only() {
    let _alone = alone();
    let early = early_template();
    let mut worker = Process::new().unwrap().run("replaces").blocking().unwrap();
    let mut text = String::new();
    bounded("an answer", || worker.socket.read_to_string(&mut text)).unwrap();
    assert!(worker.wait().unwrap().success(), "{text}");
    assert_eq!(early_template(), early);
}

#[anyfork::worker]
fn replaces() -> anyfork::Result<()> {
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        let worker = held(Process::new()?);
        let template = template_of(&worker);
        release(worker);
        assert!(seen.insert(template));
        end(template);
    }
    Ok(())
}

/// An init function is in a worker's place: it may start some, too.
#[anyfork::init]
fn start_some() -> anyfork::Result<()> {
    release(held(Process::new()?));
    Ok(())
}

#[test]
fn an_init_function_has_its_own() {
    let _alone = alone();
    let template = Process::new().unwrap().init("start_some", args![]);
    for _ in 0..2 {
        let process = template.fork().init("start_some", ());
        text_of(deep::run(process, 0));
    }
}

#[test]
fn a_daemon_goes_on_with_the_templates_it_had() {
    let _alone = alone();
    let text = succeed(&mut program(env!("CARGO_BIN_EXE_early"), "daemon"));
    assert_eq!(text, "the daemon has succeeded\n");
}

#[test]
fn a_daemon_that_has_closed_everything_gets_new_ones() {
    let _alone = alone();
    let text = succeed(&mut program(env!("CARGO_BIN_EXE_early"), "daemon-closes"));
    assert_eq!(text, "the daemon has succeeded\n");
}
