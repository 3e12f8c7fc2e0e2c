//! What this process may do, for tests of what only root can set.

use std::fs;
use std::io;
use std::process::id;
use std::thread;

use crate::status;

/// Takes part in nothing, and has no rights: the kernel's own "nobody"
/// (`/proc/sys/kernel/overflowuid`).
pub const NOBODY: u32 = 65534;

/// To mount, and for much else.
pub const SYS_ADMIN: u32 = 21;
/// To lower a nice value (capabilities(7)).
pub const SYS_NICE: u32 = 23;
/// To raise a hard limit.
pub const SYS_RESOURCE: u32 = 24;

/// Whether this process has a capability that root of a namespace has not, even
/// if it has one of that name; says so if it has not.
pub fn may(capability: u32) -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let is_everybody = map.split_whitespace().eq(["0", "0", "4294967295"]);
    if !is_everybody {
        eprintln!("skipped: root has no rights in this namespace");
    }
    is_everybody && has(capability)
}

/// Whether this process has a capability, be it that of a namespace; says so if not.
pub fn has(capability: u32) -> bool {
    let effective = u64::from_str_radix(&status(id(), "CapEff"), 16).expect("a number");
    let has = effective & (1 << capability) != 0;
    if !has {
        eprintln!("skipped: needs the capability {capability}");
    }
    has
}

/// Whether this process may become [`NOBODY`]; says so if not. A user namespace
/// may have no such user, and root in a container no right to change.
pub fn may_become_nobody() -> bool {
    const SETGID: u32 = 6;
    const SETUID: u32 = 7;
    let is_in = |map| {
        let map = fs::read_to_string(map).unwrap_or_default();
        map.lines().any(|line| {
            let mut numbers = line.split_whitespace().flat_map(str::parse::<u32>);
            let first = numbers.next().unwrap_or(u32::MAX);
            let count = numbers.nth(1).unwrap_or_default();
            NOBODY.checked_sub(first).is_some_and(|at| at < count)
        })
    };
    let exists = is_in("/proc/self/uid_map") && is_in("/proc/self/gid_map");
    if !exists {
        eprintln!("skipped: there is no user {NOBODY} here");
    }
    exists && has(SETGID) && has(SETUID)
}

/// Has the kernel refuse a system call to this process (seccomp(2)). Needs root, or
/// `PR_SET_NO_NEW_PRIVS`.
pub fn refuse(call: i64, errno: i32) -> io::Result<()> {
    let refused = libc::SECCOMP_RET_ERRNO | errno as u32;
    set_filter(&[call], refused, libc::SECCOMP_RET_ALLOW)
}

/// Has the kernel kill this process at every system call but these (seccomp(2)). The process
/// gives up further privileges before, because only root need not.
pub fn confine_to(calls: &[i64]) -> io::Result<()> {
    // SAFETY: takes numbers.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let (allow, kill) = (libc::SECCOMP_RET_ALLOW, libc::SECCOMP_RET_KILL_PROCESS);
    set_filter(calls, allow, kill)
}

/// What becomes of these system calls, and of the others.
fn set_filter(calls: &[i64], of_these: u32, of_others: u32) -> io::Result<()> {
    use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W};
    let step = |code: u32, k: u32, jf| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf,
        k,
    };
    let mut filter = vec![step(BPF_LD | BPF_W | BPF_ABS, 0, 0)];
    for call in calls {
        filter.push(step(BPF_JMP | BPF_JEQ | BPF_K, *call as u32, 1));
        filter.push(step(BPF_RET, of_these, 0));
    }
    filter.push(step(BPF_RET, of_others, 0));
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: the program lives until the kernel has copied it.
    match unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Runs `work` as [`NOBODY`], in a thread of which alone the kernel knows that: this
/// process's other threads stay what they are.
pub fn as_nobody<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let become_nobody = || {
        for call in [libc::SYS_setresgid, libc::SYS_setresuid] {
            // Not the C library's function, which has all threads do it.
            // SAFETY: takes numbers.
            let set = unsafe { libc::syscall(call, NOBODY, NOBODY, NOBODY) };
            assert_eq!(set, 0, "root may do that");
        }
        work()
    };
    thread::scope(|scope| scope.spawn(become_nobody).join()).expect("no panic")
}
