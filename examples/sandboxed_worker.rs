//! A parser of untrusted input. Each call runs in a process that can do nothing else: no
//! files, no network, no programs, little memory. The caller still gets the result.
//!
//! `cargo run --example sandboxed_worker`
//!
//! It prints `3 records`, and then for each attack the error that stopped it, like
//! `open: Permission denied (os error 13)`.

use std::{collections::BTreeMap, env, error::Error, fs, io, net, process, thread};

use anyfork::{Process, Resource};
use landlock::{ABI, Access, AccessFs, Ruleset, RulesetAttr};
use nix::libc::*;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

/// The calls that a worker needs to compute, to answer and to end; all others fail. Files are
/// landlock's: without it, leave `SYS_openat` out.
#[rustfmt::skip]
const ALLOWED: &[i64] = &[
    SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pwritev2, SYS_recvmsg, SYS_sendmsg,
    SYS_recvfrom, SYS_sendto, SYS_poll, SYS_ppoll, SYS_close, SYS_fcntl, SYS_openat,
    SYS_pidfd_open, SYS_brk, SYS_mmap, SYS_munmap, SYS_mremap, SYS_madvise, SYS_mprotect,
    SYS_futex, SYS_getpid, SYS_gettid, SYS_tgkill, SYS_rt_sigaction, SYS_rt_sigprocmask,
    SYS_rt_sigreturn, SYS_sigaltstack, SYS_getrandom, SYS_clock_gettime, SYS_getrusage,
    SYS_exit, SYS_exit_group,
];

/// Runs in the new process before the call: there is no way back from here.
#[anyfork::init]
fn confine() -> Result<(), Box<dyn Error>> {
    // No file by its path; this sets `no_new_privs`, too.
    let files = Ruleset::default().handle_access(AccessFs::from_all(ABI::V1))?;
    files.create()?.restrict_self()?;
    let rules: BTreeMap<i64, _> = ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
    let denied = SeccompAction::Errno(EPERM as u32);
    let arch = env::consts::ARCH.try_into()?;
    let filter = SeccompFilter::new(rules, denied, SeccompAction::Allow, arch)?;
    let program: BpfProgram = filter.try_into()?;
    Ok(apply_filter(&program)?)
}

/// How many records there are. A fault in here is a fault of its own process only.
#[anyfork::call]
fn parse(text: String) -> Result<usize, String> {
    let records = text.lines().map(|line| line.split_once('=').ok_or(line));
    Ok(records.collect::<Result<Vec<_>, _>>()?.len())
}

/// What an attacker who has taken the parser over would try.
#[anyfork::call]
fn attack(what: String) -> io::Result<()> {
    match &*what {
        "open" => fs::read("/etc/passwd").map(drop),
        "connect" => net::TcpStream::connect("127.0.0.1:22").map(drop),
        "exec" => process::Command::new("/bin/true").status().map(drop),
        "thread" => thread::Builder::new().spawn(|| {}).map(drop),
        _memory => Ok(Vec::<u8>::new().try_reserve_exact(1 << 30)?),
    }
}

/// A process for one call: with a user of its own, if there may be one, and 256 MiB.
/// (For a pool, `Builder::init` confines each worker.)
fn sandbox() -> anyfork::Result<Process> {
    let mut process = Process::new()?.rlimit(Resource::AS, 256 << 20, 256 << 20);
    if nix::unistd::geteuid().is_root() {
        process = process.groups([]).gid(65534).uid(65534); // nobody
    }
    Ok(process.init("confine", anyfork::args![]))
}

#[anyfork::early]
fn main() -> anyfork::Result<()> {
    let records = parse::call(sandbox()?, "a=1\nb=2\nc=3\n".into()).blocking()?;
    println!("{} records", records.unwrap_or_default());
    for what in ["open", "connect", "exec", "thread", "memory"] {
        let error = attack::call(sandbox()?, what.into()).blocking()?;
        println!("{what}: {}", error.expect_err("nothing has stopped it"));
    }
    Ok(())
}
