//! A worker without memory or stack says why it has failed, or dies by a signal; it
//! never hangs, and a panic costs little more than a return.

use std::alloc::{Layout, alloc};
use std::hint::black_box;
use std::os::fd::OwnedFd;

use anyfork::{ErrorKind, Exit, Process, Stdio};
use anyfork_tests::{bounded, exit_of, new};

use crate::place_in;

#[inline(never)]
fn fail(what: &str) {
    panic!("{what}, line {}", line!());
}

#[anyfork::worker]
fn fail_under_a_limit(_socket: OwnedFd) {
    fail("little memory");
}

/// Whatever the limit and the environment are.
#[test]
fn a_panic_under_a_limit_of_memory_comes_home_or_kills() {
    let mut seen = [0; 2];
    for index in 0..200u64 {
        let limit = index * (64 << 20) / 200;
        let mut process = new().rlimit(libc::RLIMIT_AS, limit, limit);
        process = process.stderr(Stdio::null());
        process = match index % 10 {
            // Finding names takes long.
            0 => process.env("RUST_BACKTRACE", "1"),
            _ => process.env("RUST_BACKTRACE", "0"),
        };
        let launch = fail_under_a_limit::run(process);
        let worker = bounded("a launch", || launch.blocking());
        let exit = match worker {
            Ok(mut worker) => bounded("an exit", || worker.wait()).unwrap(),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Died, "{error}");
                error.exit().unwrap().clone()
            }
        };
        match exit.failure() {
            Some(failure) => {
                assert!(
                    exit.code() == Some(101) || exit.signal().is_some(),
                    "{exit}"
                );
                let message = failure.message();
                let known = ["little memory, line ", "memory allocation failed"];
                assert!(known.iter().any(|it| message.starts_with(it)), "{failure}");
                seen[0] += 1;
            }
            None => {
                assert!(exit.signal().is_some(), "{limit}: {exit}");
                seen[1] += 1;
            }
        }
    }
    assert!(seen[0] > 150, "{seen:?}");
}

/// Takes all memory that the process may have.
fn fill_heap() {
    anyfork_tests::set_soft_limit(std::process::id(), libc::RLIMIT_AS, 0).unwrap();
    for size in (3..20).rev().map(|shift| 1 << shift) {
        let layout = Layout::from_size_align(size, 1).unwrap();
        // SAFETY: the size is not zero.
        while !black_box(unsafe { alloc(layout) }).is_null() {}
    }
}

// Or an optimized build has no frame of this name.
#[anyfork::worker]
#[inline(never)]
fn fail_without_heap(_socket: OwnedFd, how: String) {
    let text = how.clone();
    fill_heap();
    match &*how {
        "literal" => panic!("a literal"),
        "format" => fail("a format"),
        "allocation" => drop(black_box(vec![0u8; 1 << 20])),
        _ => drop(black_box(text.repeat(100_000))),
    }
}

#[test]
fn a_full_heap_is_reported() {
    for (how, texts) in [
        ("literal", &["a literal"][..]),
        // The message itself needs memory.
        ("format", &["a format, line ", "memory allocation failed"]),
        ("allocation", &["memory allocation failed"]),
        ("string", &["memory allocation failed"]),
    ] {
        for backtrace in ["0", "1"] {
            let process = new().env("RUST_BACKTRACE", backtrace);
            let exit = exit_of(fail_without_heap::run(process, how.to_owned()));
            let failure = exit.failure().unwrap_or_else(|| panic!("{how}: {exit}"));
            let message = failure.message();
            let fits = texts.iter().any(|it| message.starts_with(it));
            assert!(fits, "{how}: {failure}");
            let backtrace = failure.backtrace().unwrap();
            assert!(backtrace.contains("fail_without_heap"), "{backtrace}");
        }
    }
}

/// Reads a deep value, as a parser may.
#[inline(never)]
fn descend(depth: u64) -> u64 {
    let frame = [depth; 64];
    match black_box(depth) {
        u64::MAX => 0,
        _ => descend(depth + 1) + black_box(frame)[3],
    }
}

#[anyfork::worker]
fn overflow(_socket: OwnedFd) {
    black_box(descend(0));
}

fn assert_overflow(exit: &Exit) {
    assert_eq!(exit.signal(), Some(libc::SIGABRT));
    let failure = exit.failure().unwrap_or_else(|| panic!("{exit}"));
    assert!(!failure.is_panic(), "{failure}");
    assert!(failure.message().contains("stack overflow"), "{failure}");
}

#[test]
fn a_stack_overflow_is_reported() {
    let exec = Process::new_exec().unwrap();
    for process in [new(), new().env("ANYFORK_A", "x"), exec] {
        let (mut read, write) = std::io::pipe().unwrap();
        let exit = exit_of(overflow::run(process.stderr(write)));
        assert_overflow(&exit);
        let printed = bounded("stderr", || std::io::read_to_string(&mut read));
        assert!(printed.unwrap().contains("stack overflow"));
    }
}

#[anyfork::worker]
fn abort(_socket: OwnedFd) {
    std::process::abort();
}

#[test]
fn an_abort_that_is_meant_is_no_failure_of_ours() {
    let exit = exit_of(abort::run(new()));
    assert_eq!((exit.signal(), exit.failure()), (Some(libc::SIGABRT), None));
}

/// Another copy of the program has its images elsewhere.
#[test]
fn names_are_found_for_another_copy_of_the_program() {
    for process in [new(), Process::new_exec().unwrap()] {
        let exit = exit_of(fail_under_a_limit::run(process));
        let failure = exit.failure().unwrap();
        assert_eq!(
            failure.location(),
            Some(&*place_in(file!(), failure.message()))
        );
        let backtrace = failure.backtrace().unwrap();
        assert!(backtrace.contains("fail_under_a_limit"), "{backtrace}");
        assert_eq!(failure.backtrace(), Some(backtrace));
    }
}

/// What this program does not have is shown by its path and the address there.
#[test]
fn the_stack_of_another_program_is_shown_by_its_addresses() {
    let path = env!("CARGO_BIN_EXE_failing");
    let process = Process::exec_program(path).unwrap().send_arg("panic");
    let exit = exit_of(process.run("failing::work"));
    let failure = exit.failure().unwrap_or_else(|| panic!("{exit}"));
    let backtrace = failure.backtrace().unwrap();
    assert!(backtrace.contains(&format!("{path}+0x")), "{backtrace}");
}
