//! A worker that has confined itself to the documented system calls exits as it
//! returns, and its usage is reported all the same.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use anyfork::Process;
use anyfork_tests::bounded;
use anyfork_tests::rights::confine_to;

/// As `#[anyfork::worker]` documents them.
const DOCUMENTED: &[i64] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_close,
    libc::SYS_fcntl,
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
    libc::SYS_exit_group,
];

fn confine() {
    confine_to(DOCUMENTED).expect("a filter");
}

#[anyfork::worker]
fn returns(mut socket: UnixStream) -> io::Result<()> {
    confine();
    print!("text in a buffer");
    socket.write_all(b"parsed")
}

#[anyfork::worker]
fn fails(mut socket: UnixStream) -> Result<(), &'static str> {
    confine();
    socket.write_all(b"parsed").map_err(|_| "cannot write")?;
    Err("it is no image")
}

#[anyfork::worker]
fn leaves(mut socket: UnixStream) {
    confine();
    socket.write_all(b"parsed").expect("a caller");
    std::process::exit(3)
}

#[anyfork::worker]
fn asks_for_more(mut socket: UnixStream) {
    confine();
    socket.write_all(b"parsed").expect("a caller");
    // SAFETY: no preconditions.
    unsafe { libc::getppid() };
}

/// The exit of a worker, and its failure.
fn exit_of(name: &str) -> (String, Option<String>) {
    let launch = Process::new().unwrap().run(name);
    let mut worker = launch.blocking().unwrap();
    let mut text = String::new();
    worker.socket.read_to_string(&mut text).unwrap();
    assert_eq!(text, "parsed", "{name}");
    let exit = worker.wait().unwrap();
    assert!(exit.usage().peak_memory > 0, "{name}: {exit}");
    let failure = exit.failure().map(|it| it.message().to_owned());
    (exit.to_string(), failure)
}

#[test]
fn it_exits_as_it_returns() {
    bounded("a confined worker", || {
        assert_eq!(exit_of(returns::NAME), ("exit status: 0".into(), None));
        assert_eq!(exit_of(leaves::NAME), ("exit status: 3".into(), None));
        let (status, failure) = exit_of(fails::NAME);
        assert_eq!(status, "exit status: 1");
        assert_eq!(failure.as_deref(), Some("it is no image"));
    });
}

#[test]
fn its_filter_holds() {
    bounded("a confined worker", || {
        let (status, _) = exit_of(asks_for_more::NAME);
        assert!(status.starts_with("signal: 31"), "{status}");
    });
}
