//! A process that an init function has confined to the documented system calls serves
//! calls, and what else such a function forbids is named.

use std::io;

use anyfork::{ErrorKind, Pool, Process};
use anyfork_tests::bounded;
use anyfork_tests::rights::{confine_to, refuse};

/// As the guide's page on security documents them.
const DOCUMENTED: &[i64] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_ppoll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_close,
    libc::SYS_fcntl,
    libc::SYS_pidfd_open,
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_rt_sigaction,
    libc::SYS_exit_group,
];

#[anyfork::init]
fn confine() -> io::Result<()> {
    confine_to(DOCUMENTED)
}

/// Confines a process to less than it needs.
#[anyfork::init]
fn overdo() -> io::Result<()> {
    confine_to(&[libc::SYS_exit_group])
}

#[anyfork::call]
fn work(how: String) -> Result<usize, String> {
    match &*how {
        "panic" => panic!("no luck"),
        "wrong" => Err("wrong".into()),
        _ => Ok(how.len()),
    }
}

/// The backtrace of a panic opens files.
fn without_backtraces() -> Process {
    Process::new().unwrap().env("RUST_BACKTRACE", "0")
}

#[test]
fn in_a_process_of_its_own() {
    bounded("confined calls", || {
        let call = |how: &str| {
            let process = confine::init(without_backtraces());
            work::call(process, how.into()).blocking()
        };
        assert_eq!(call("four").unwrap(), Ok(4));
        assert_eq!(call(&"x".repeat(1 << 20)).unwrap(), Ok(1 << 20));
        assert_eq!(call("wrong").unwrap(), Err("wrong".into()));
        assert_eq!(call("panic").unwrap_err().kind(), ErrorKind::Panicked);
    });
}

#[test]
fn in_a_pool() {
    bounded("confined calls", || {
        let pool = Pool::builder(without_backtraces())
            .init(confine::NAME, anyfork::args![])
            .max(1)
            .build()
            .unwrap();
        let call = |how: &str| work::call(&pool, how.into()).blocking();
        for _ in 0..2 {
            assert_eq!(call("four").unwrap(), Ok(4));
            assert_eq!(call(&"x".repeat(1 << 20)).unwrap(), Ok(1 << 20));
            assert_eq!(call("wrong").unwrap(), Err("wrong".into()));
            assert_eq!(call("panic").unwrap_err().kind(), ErrorKind::Panicked);
        }
    });
}

/// Forbids these system calls, as most filters do: the kernel says that it is not permitted.
#[anyfork::init]
fn forbid(call: i64, other: Option<i64>) -> io::Result<()> {
    let mut calls = [Some(call), other].into_iter().flatten();
    calls.try_for_each(|call| refuse(call, libc::EPERM))
}

/// Why a pool has no workers.
fn why_none(builder: anyfork::pool::Builder) -> String {
    let pool = builder.build().unwrap();
    let error = bounded("a call", || work::call(&pool, "four".into()).blocking());
    error.unwrap_err().to_string()
}

#[test]
fn what_is_forbidden_is_named() {
    // Also where the usual way to answer is forbidden.
    for args in [
        anyfork::args![libc::SYS_fcntl],
        anyfork::args![libc::SYS_fcntl, libc::SYS_sendto],
    ] {
        let builder = Pool::builder(Process::new().unwrap());
        let text = why_none(builder.init(forbid::NAME, args));
        assert!(text.contains("fcntl(2) is forbidden: allow it"), "{text}");
    }
}

#[test]
fn a_killed_process_leads_to_the_list() {
    let builder = Pool::builder(Process::new().unwrap());
    let text = why_none(builder.init(overdo::NAME, anyfork::args![]));
    assert!(text.contains("`guide::security` lists"), "{text}");
}

#[test]
fn a_filter_in_a_template_leads_to_its_place() {
    let confined = Process::new()
        .unwrap()
        .init(confine::NAME, anyfork::args![]);
    let text = why_none(Pool::builder(confined));
    assert!(text.contains("`Builder::init`"), "{text}");
    let forks = (libc::SYS_clone, Some(libc::SYS_clone3));
    let confined = forbid::init(Process::new().unwrap(), forks.0, forks.1);
    let text = why_none(Pool::builder(confined));
    assert!(text.contains("`Builder::init`"), "{text}");
}
