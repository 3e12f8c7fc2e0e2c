//! Each line comes once, in its worker's order, with the worker's pid and the call's id.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{PipeReader, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{self, Command, Stdio};

use anyfork::ErrorKind;
use anyfork_tests::{Scene, alone, bounded, descriptors, runtime, set_soft_limit, until};

use crate::{Log, end};

/// Prints `lines` lines to each stream.
#[anyfork::call]
fn print(n: u32, lines: u32) -> u32 {
    for line in 0..lines {
        println!("{n}: {line}");
        eprintln!("{n}: {line}");
    }
    process::id()
}

/// Writes these bytes as they are.
#[anyfork::call]
fn write(bytes: Vec<u8>) {
    let mut out = std::io::stdout().lock();
    out.write_all(&bytes).expect("the pipe is read");
    out.flush().expect("the pipe is read");
}

/// Says so, and ends in this way.
#[anyfork::call]
fn end_by(way: String) {
    print!("{way} without an end");
    std::io::stdout().flush().expect("the pipe is read");
    match &way[..] {
        "panic" => panic!("as asked"),
        "abort" => process::abort(),
        _ => process::exit(3),
    }
}

/// Leaves a process behind that prints when the gate is closed.
#[anyfork::call]
fn leave(gate: PipeReader) -> u32 {
    Command::new("sh")
        .args(["-c", "read gate; echo from a child; exec cat"])
        .stdin(Stdio::from(gate))
        .spawn()
        .expect("a shell")
        .id()
}

/// The same, and exits in the middle of a line.
#[anyfork::call]
fn leave_and_exit(gate: PipeReader) {
    leave(gate);
    end_by("exit".to_owned());
}

/// Prints when the gate is closed.
#[anyfork::call]
fn print_at(mut gate: PipeReader) {
    gate.read_to_end(&mut Vec::new()).expect("a pipe");
    println!("the gate is closed");
}

#[anyfork::init]
fn prints_much() {
    for n in 0..20_000 {
        println!("init: {n}");
    }
}

#[anyfork::init]
fn prints_and_fails() -> Result<(), String> {
    println!("about to fail");
    Err("as asked".to_owned())
}

#[test]
fn lines_of_many_calls_are_told_apart() {
    let _alone = alone();
    let scene = Scene::early();
    const LINES: u32 = 5;
    let log = Log::default();
    let pool = log.pool().max(3).build().unwrap();
    let mut expected = BTreeMap::new();
    let calls: Vec<_> = (0..300)
        .map(|n| {
            let call = print::call(&pool, n, LINES);
            (n, call.id(), call)
        })
        .collect();
    // By threads and by tasks.
    let runtime = runtime();
    for (n, id, call) in calls {
        let pid = match n % 2 {
            0 => bounded("a call", || call.blocking()),
            _ => bounded("a call", || runtime.block_on(call)),
        };
        for stream in ["out", "err"] {
            let lines: Vec<_> = (0..LINES).map(|line| format!("{n}: {line}")).collect();
            expected.insert((stream, id, *pid.as_ref().unwrap()), lines);
        }
    }
    end(pool);
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (stream, line) in log.lines() {
        let key = (stream, line.call().unwrap(), line.pid());
        found.entry(key).or_default().push(line.to_string());
    }
    assert_eq!(found, expected);
    drop(runtime);
    scene.must_return();
}

#[test]
fn bytes_are_kept_as_they_are() {
    let _alone = alone();
    let log = Log::default();
    let pool = log.pool().max(1).build().unwrap();
    let long = vec![b'x'; 150_000];
    let text = [&b"a\n\n\xff\xfe\r\n"[..], &long, b"\nno end"].concat();
    bounded("a call", || write::call(&pool, text).blocking()).unwrap();
    let lines = || log.lines().into_iter().map(|it| it.1);
    until("all but the last are told", || lines().count() == 6);
    end(pool);
    let lines: Vec<_> = lines().collect();
    let lens: Vec<_> = lines
        .iter()
        .map(|it| (it.bytes().len(), it.goes_on()))
        .collect();
    assert_eq!(
        lens,
        [
            (1, false),
            (0, false),
            (3, false),
            (65536, true),
            (65536, true),
            (150_000 - 2 * 65536, false),
            (6, false)
        ]
    );
    assert_eq!(lines[2].bytes(), b"\xff\xfe\r");
    assert_eq!(lines[2].text(), "\u{fffd}\u{fffd}\r");
    assert!(lines.iter().all(|it| it.left_out() == 0));
}

#[test]
fn the_last_words_of_a_worker_are_its_calls() {
    let _alone = alone();
    for (way, kind) in [
        ("panic", ErrorKind::Panicked),
        ("abort", ErrorKind::Died),
        ("exit", ErrorKind::Died),
    ] {
        let log = Log::default();
        let pool = log.pool().max(1).build().unwrap();
        let call = end_by::call(&pool, way.to_owned());
        let id = call.id();
        let error = bounded("a call", || call.blocking()).unwrap_err();
        assert_eq!(error.kind(), kind);
        end(pool);
        let lines = log.lines();
        let out: Vec<_> = lines.iter().filter(|it| it.0 == "out").collect();
        assert_eq!(out.len(), 1);
        assert_eq!(out[0].1.text(), format!("{way} without an end"));
        assert_eq!(out[0].1.call(), Some(id));
        let err: Vec<_> = lines.iter().filter(|it| it.0 == "err").collect();
        if way == "panic" {
            assert!(err.iter().any(|it| it.1.text().contains("as asked")));
        }
        for (_, line) in err {
            assert_eq!(line.call(), Some(id), "{line}");
        }
    }
}

#[test]
fn inits_are_heard() {
    let _alone = alone();
    let log = Log::default();
    let pool = log.pool().max(1);
    let pool = pool
        .init(prints_much::NAME, anyfork::args![])
        .build()
        .unwrap();
    let call = print::call(&pool, 7, 1);
    let pid = bounded("a call", || call.blocking()).unwrap();
    end(pool);
    let lines = log.lines();
    let inits: Vec<_> = lines
        .iter()
        .map(|it| &it.1)
        .filter(|it| it.text().starts_with("init"))
        .collect();
    assert_eq!(inits.len(), 20_000);
    assert!(inits.iter().all(|it| it.pid() == pid));

    let log = Log::default();
    let pool = log.pool().max(1);
    let pool = pool
        .init(prints_and_fails::NAME, anyfork::args![])
        .build()
        .unwrap();
    let error = bounded("a call", || print::call(&pool, 7, 1).blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InitFailed);
    end(pool);
    let lines = log.lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].1.text(), "about to fail");
    assert_ne!(lines[0].1.pid(), 0);
    assert_eq!(lines[0].1.call(), None);
}

#[test]
fn a_process_that_holds_the_pipe_holds_nobody_up() {
    let _alone = alone();
    let scene = Scene::early();
    let log = Log::default();
    let pool = log.pool().max(1).build().unwrap();
    let (gate, open) = std::io::pipe().unwrap();
    let child = bounded("a call", || leave::call(&pool, gate).blocking()).unwrap();
    assert!(log.lines().is_empty());
    let mut open = File::from(OwnedFd::from(open));
    open.write_all(b"\n").unwrap();
    until("the child is heard", || !log.lines().is_empty());
    assert_eq!(log.lines()[0].1.text(), "from a child");
    assert_eq!(log.lines()[0].1.call(), None);
    end(pool);
    // It lives, and its pipe is closed here.
    assert!(Path::new(&format!("/proc/{child}")).exists());
    drop(open);
    until("the child is gone", || {
        !Path::new(&format!("/proc/{child}")).exists()
    });
    scene.must_return();
}

#[test]
fn the_last_word_is_told_though_a_process_holds_the_pipe() {
    let _alone = alone();
    let log = Log::default();
    let pool = log.pool().max(1).build().unwrap();
    let (gate, open) = std::io::pipe().unwrap();
    let error = bounded("a call", || leave_and_exit::call(&pool, gate).blocking());
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Died);
    until("its last word is told", || {
        let lines = log.lines();
        lines.iter().any(|it| it.1.text() == "exit without an end")
    });
    end(pool);
    drop(open);
}

#[test]
fn lines_are_of_the_call_that_was_sent_ahead_once_it_runs() {
    let _alone = alone();
    let log = Log::default();
    let pool = log.pool().max(1).load(2).build().unwrap();
    let (gate, open) = std::io::pipe().unwrap();
    let first = print::call(&pool, 1, 1);
    let ahead = print_at::call(&pool, gate);
    let expected = [
        ("1: 0", Some(first.id())),
        ("the gate is closed", Some(ahead.id())),
    ];
    bounded("a call", || first.blocking()).unwrap();
    drop(open);
    bounded("a call", || ahead.blocking()).unwrap();
    end(pool);
    let lines = log.lines();
    let out = lines.iter().filter(|it| it.0 == "out").map(|it| &it.1);
    let out: Vec<_> = out.map(|it| (it.to_string(), it.call())).collect();
    assert_eq!(out, expected.map(|(line, call)| (line.to_owned(), call)));
}

#[test]
fn pipes_of_workers_that_are_gone_are_closed() {
    let _alone = alone();
    let log = Log::default();
    let pool = log.pool().max(1).retire_after(1).build().unwrap();
    let print = || bounded("a call", || print::call(&pool, 1, 1).blocking()).unwrap();
    print();
    let open = || descriptors(process::id()).len();
    let before = open();
    for _ in 0..40 {
        print();
    }
    // Of the one that lives, the one before, and the next.
    until("few are open", || open() < before + 20);
    end(pool);
}

#[test]
fn a_full_table_of_descriptors_is_a_failed_start() {
    let _alone = alone();
    let log = Log::default();
    let pool = log.pool().max(1).build().unwrap();
    let limit = |soft| {
        let before = set_soft_limit(process::id(), libc::RLIMIT_NOFILE, soft);
        before.expect("a limit of this process")
    };
    let before = limit(0);
    let result = bounded("a call", || print::call(&pool, 1, 1).blocking());
    limit(before);
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.never_entered());
    until("the back-off is over", || {
        print::call(&pool, 2, 1).blocking().is_ok()
    });
    end(pool);
    assert_eq!(log.lines().len(), 2);
}
