//! A call that fails says why: which function, in which process, by what signal or code,
//! after what time and with how much memory; and whether the function was entered.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::process::id;

use anyfork::{Call, Error, ErrorKind, args};
use anyfork_tests::hostile::{in_a_fork, reply_socket};
use anyfork_tests::picky::Picky;
use anyfork_tests::{bounded, has_ended, new, until};

fn failed<R: std::fmt::Debug>(call: Call<R>) -> Error {
    bounded("a call", || call.blocking()).unwrap_err()
}

fn pid_from(reader: &mut PipeReader) -> u32 {
    let mut pid = [0; 4];
    bounded("a pid", || reader.read_exact(&mut pid)).unwrap();
    u32::from_ne_bytes(pid)
}

/// Tells the pid, and ends in the way that is asked for.
#[anyfork::call]
fn end(mut to: PipeWriter, how: String) -> u8 {
    to.write_all(&id().to_ne_bytes()).unwrap();
    let raise = |signal| {
        // SAFETY: takes a number; ends this process.
        unsafe { libc::raise(signal) };
    };
    match how.as_str() {
        "segv" => {
            // SAFETY: not at all, which is the point.
            unsafe { std::ptr::without_provenance_mut::<u8>(8).write_volatile(1) };
        }
        "abort" => std::process::abort(),
        "exit" => std::process::exit(3),
        "kill" => raise(libc::SIGKILL),
        "term" => raise(libc::SIGTERM),
        "panic" => panic!("out of luck"),
        _ => cannot_unwind(),
    }
    0
}

extern "C" fn cannot_unwind() {
    panic!("in C");
}

#[test]
fn a_death_has_function_pid_signal_time_and_memory() {
    for (how, signal, name) in [
        ("segv", libc::SIGSEGV, "SIGSEGV"),
        ("abort", libc::SIGABRT, "SIGABRT"),
        ("kill", libc::SIGKILL, "SIGKILL"),
        ("term", libc::SIGTERM, "SIGTERM"),
    ] {
        let (mut reader, writer) = io::pipe().unwrap();
        let error = failed(end::call(new(), writer, how.into()));
        let (pid, text) = (pid_from(&mut reader), error.to_string());
        assert_eq!(error.kind(), ErrorKind::Died, "{text}");
        assert_eq!(error.exit().unwrap().signal(), Some(signal), "{text}");
        assert!(!error.never_entered() && error.failure().is_none());
        let start = format!("process {pid} died in `{}` after ", end::NAME);
        assert!(text.starts_with(&start), "{text}");
        assert!(
            text.contains(name) && text.contains(", peak memory "),
            "{text}"
        );
        assert!(has_ended(pid));
    }
    let (mut reader, writer) = io::pipe().unwrap();
    let error = failed(end::call(new(), writer, "exit".into()));
    assert_eq!(
        (error.kind(), error.exit().unwrap().code()),
        (ErrorKind::Died, Some(3))
    );
    assert!(error.to_string().contains(": exit status: 3"), "{error}");
    assert!(has_ended(pid_from(&mut reader)));
}

#[test]
fn a_panic_is_told_unwound_or_aborted() {
    for (how, message) in [("panic", "out of luck"), ("cannot unwind", "in C")] {
        let (mut reader, writer) = io::pipe().unwrap();
        let error = failed(end::call(new(), writer, how.into()));
        assert_eq!(error.kind(), ErrorKind::Panicked, "{error}");
        assert!(error.to_string().contains(end::NAME), "{error}");
        let failure = error.failure().unwrap();
        assert!(failure.message().starts_with(message), "{failure}");
        assert!(
            failure
                .location()
                .unwrap()
                .contains("failed_calls_say_why.rs")
        );
        assert!(
            failure
                .backtrace()
                .unwrap()
                .contains("failed_calls_say_why::")
        );
        assert!(!error.never_entered());
        assert!(has_ended(pid_from(&mut reader)));
    }
}

#[anyfork::call]
fn too_much(excess: usize) -> Vec<u8> {
    // Never touched, so that it takes no memory.
    vec![0; (1 << 30) + excess]
}

#[test]
fn a_result_above_the_limit_is_too_large() {
    let error = failed(too_much::call(new(), 1));
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    let text = error.to_string();
    assert!(
        text.contains(too_much::NAME) && text.contains("1073741"),
        "{text}"
    );
    assert!(!error.never_entered());
}

#[anyfork::call]
fn pick(_fine: u8, picky: Picky, result: u8) -> Picky {
    assert_eq!(picky.0, 0);
    Picky(result)
}

#[test]
fn an_argument_that_does_not_cross_is_named() {
    for (argument, how) in [(1, "encode"), (2, "decode")] {
        let error = failed(pick::call(new(), 7, Picky(argument), 0));
        assert_eq!(error.kind(), ErrorKind::BadArgument, "{error}");
        let start = format!(
            "parameter `picky` (Picky) of `{}` does not {how}: ",
            pick::NAME
        );
        assert!(error.to_string().starts_with(&start), "{error}");
        assert!(error.never_entered());
    }
}

#[test]
fn a_result_that_does_not_cross_is_a_bad_one() {
    for (result, how) in [(1, "encode"), (2, "decode")] {
        let error = failed(pick::call(new(), 7, Picky(0), result));
        assert_eq!(error.kind(), ErrorKind::BadResult, "{error}");
        let start = format!("the result of `{}` does not {how}: ", pick::NAME);
        assert!(error.to_string().starts_with(&start), "{error}");
        assert!(!error.never_entered());
    }
}

#[anyfork::call]
fn many(fds: Vec<File>) -> usize {
    fds.len()
}

#[test]
fn more_descriptors_than_a_call_carries_are_refused() {
    let zero = || File::open("/dev/null").unwrap();
    let error = failed(many::call(new(), (0..10_001).map(|_| zero()).collect()));
    assert_eq!(error.kind(), ErrorKind::BadArgument, "{error}");
    assert!(error.to_string().contains("at most 10000"), "{error}");
    assert!(error.never_entered());
}

/// Answers in place of the library.
#[anyfork::call]
fn babble(mut to: PipeWriter, nonsense: Vec<u8>) {
    to.write_all(&id().to_ne_bytes()).unwrap();
    let mut socket = reply_socket();
    match nonsense.is_empty() {
        true => socket.shutdown(Shutdown::Both).unwrap(),
        false => socket.write_all(&nonsense).unwrap(),
    }
    loop {
        std::thread::park();
    }
}

#[test]
fn nonsense_kills_the_process_that_sends_it() {
    let mut unknown_kind = [0; 48];
    unknown_kind[..2].copy_from_slice(&[21, 1]);
    let mut another_call = [0; 48];
    another_call[..2].copy_from_slice(&[16, 1]);
    let http = b"HTTP/1.1 400 Bad Request\r\nServer: nonsense/4711\r\n\r\n";
    for nonsense in [&http[..], &unknown_kind, &another_call, b""] {
        let (mut reader, writer) = io::pipe().unwrap();
        let error = failed(babble::call(new(), writer, nonsense.to_vec()));
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
        assert!(error.to_string().contains(babble::NAME), "{error}");
        assert!(has_ended(pid_from(&mut reader)));
        assert!(!error.never_entered());
    }
}

/// Forks, and both return or exit.
#[anyfork::call]
fn fork_and_return(hold: Option<PipeReader>, first: String) -> Result<String, String> {
    let is_copy = match first.as_str() {
        "exit" => {
            in_a_fork(|| drop(io::read_to_string(hold.unwrap())));
            // SAFETY: exits at once.
            unsafe { libc::_exit(5) };
        }
        _ => {
            // SAFETY: this process has one thread.
            unsafe { libc::fork() }
        }
    };
    if is_copy == 0 {
        return Err("the copy".into());
    }
    let mut status = 0;
    // SAFETY: writes to a local.
    let waited = unsafe { libc::waitpid(is_copy, &raw mut status, 0) };
    assert_eq!((waited, status), (is_copy, 0));
    Ok("the original".into())
}

#[test]
fn a_copys_answer_is_refused_and_the_copy_leaves() {
    let call = fork_and_return::call(new(), None, "copy".into());
    let answer = bounded("a call", || call.blocking()).unwrap();
    assert_eq!(answer, Ok("the original".into()));
}

#[test]
fn a_process_left_behind_hides_no_exit() {
    let (reader, writer) = io::pipe().unwrap();
    let error = failed(fork_and_return::call(new(), Some(reader), "exit".into()));
    assert_eq!(error.exit().unwrap().code(), Some(5), "{error}");
    drop(writer);
}

#[anyfork::call]
fn whoami(mut to: PipeWriter) {
    to.write_all(&id().to_ne_bytes()).unwrap();
}

#[test]
fn a_call_whose_process_does_not_start_was_never_entered() {
    let (mut reader, writer) = io::pipe().unwrap();
    let call = whoami::call(new().init("no such init", args![]), writer);
    let error = failed(call);
    assert_eq!(error.kind(), ErrorKind::UnknownWorker, "{error}");
    assert!(error.never_entered());
    let mut none = Vec::new();
    bounded("the end", || reader.read_to_end(&mut none)).unwrap();
    assert!(none.is_empty());
}

#[test]
fn a_call_that_is_dropped_leaves_no_process() {
    for polls in [false, true] {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut call = end_never::call(new(), writer);
        if polls {
            let runtime = anyfork_tests::runtime();
            runtime.block_on(async {
                let polled = anyfork_tests::poll_once(std::pin::Pin::new(&mut call));
                assert!(polled.is_pending());
            });
        }
        let pid = pid_from(&mut reader);
        drop(call);
        until("the process is gone", || has_ended(pid));
        let mut rest = Vec::new();
        bounded("the end", || reader.read_to_end(&mut rest)).unwrap();
    }
}

/// Stays, whatever signals come that can be ignored.
#[anyfork::call]
fn end_never(mut to: PipeWriter) {
    to.write_all(&id().to_ne_bytes()).unwrap();
    let _open: OwnedFd = to.into();
    loop {
        std::thread::park();
    }
}
