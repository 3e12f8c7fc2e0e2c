//! A program with an early template: does what its first argument says, and
//! asserts what must hold.

use std::env;
use std::io;
use std::os::unix::process::CommandExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{self, Command, ExitCode, ExitStatus};

use anyfork::{Error, ErrorKind, Process, blocking};
use anyfork_tests::births::{assert_same_streams, end, kill_now, stop};
use anyfork_tests::{
    bounded, children, early_template, end_by, held, new, release, template_of, until,
};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, setresgid, setresuid};

#[anyfork::early]
fn main() -> ExitCode {
    let what = env::args().nth(1).unwrap_or_default();
    match what.as_str() {
        "reaps" => reaps(),
        "adopts" => adopts(),
        "daemon" => daemon(false),
        "daemon-closes" => daemon(true),
        "default-dies" => default_dies(),
        "early" => release(held(Process::early().expect("an early template"))),
        "forks-fail" => forks_fail(),
        "streams" => assert_same_streams(),
        "status-is-not-kept" => status_is_not_kept(),
        "without-forks" => without_forks(),
        _ => return ExitCode::from(2),
    }
    ExitCode::SUCCESS
}

/// The process that `Process::new` forks from.
fn default_template() -> u32 {
    let worker = held(new());
    let template = template_of(&worker);
    release(worker);
    template
}

fn gone(result: Result<blocking::Worker, Error>) -> Error {
    let error = result.expect_err("no template");
    assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}");
    error
}

fn default_dies() {
    let early = early_template();
    assert_eq!(default_template(), early);
    let mut seen = vec![];
    for _ in 0..4 {
        let template = default_template();
        assert!(!seen.contains(&template));
        let survivor = held(new());
        let process = new();
        stop(template);
        let under_way: Vec<_> = (0..5).map(|n| new().send_arg(n).run("hold")).collect();
        kill_now(template);
        for launch in under_way {
            gone(bounded("a launch", || launch.blocking()));
        }
        end(template);
        // It was to be forked from that one.
        gone(process.run("hold").blocking());
        for _ in 0..2 {
            let error = Process::early().expect_err("it has died");
            assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}");
            assert!(error.to_string().contains("has ended"), "{error}");
        }
        release(survivor);
        seen.push(template);
    }
    assert_eq!(seen[0], early);
    release(held(new()));
}

/// Executes this program again, without a right to fork.
fn without_forks() {
    // Limits are not for root.
    if Uid::effective().is_root() {
        let (uid, gid) = (Uid::from_raw(54_321), Gid::from_raw(54_321));
        setresgid(gid, gid, gid).expect("root may do that");
        setresuid(uid, uid, uid).expect("root may do that");
    }
    setrlimit(Resource::RLIMIT_NPROC, 0, 0).expect("less is allowed");
    // By this path, the new user may execute it wherever it lies.
    let error = Command::new("/proc/self/exe").arg("forks-fail").exec();
    panic!("{error}");
}

fn forks_fail() {
    let early = Process::early().expect_err("no early template");
    assert_eq!(early.kind(), ErrorKind::ForkFailed, "{early}");
    // Nor can anything else be started.
    let new = Process::new().expect_err("no template");
    assert_eq!(new.kind(), ErrorKind::ExecFailed, "{new}");
    let snapshot = Process::snapshot().expect_err("no fork");
    assert_eq!(snapshot.kind(), ErrorKind::ForkFailed, "{snapshot}");
    for error in [early, new, snapshot] {
        let io = io::Error::from(error);
        assert_eq!(io.kind(), io::ErrorKind::WouldBlock, "{io:?}");
    }
}

/// Becomes a daemon: the process that is left is nobody's child, and has no
/// terminal.
fn daemon(closes: bool) {
    let early = early_template();
    let exec = Process::new_exec().expect("a template");
    for _ in 0..2 {
        // SAFETY: this process has one thread.
        match unsafe { libc::fork() } {
            0 => drop(nix::unistd::setsid()),
            child => {
                assert!(child > 0);
                process::exit(0);
            }
        }
    }
    if closes {
        std::mem::forget(exec);
        // SAFETY: as daemons do; what is used from here on is made anew.
        let closed = unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
        assert_eq!(closed, 0);
        assert_ne!(default_template(), early);
        let error = Process::early().expect_err("it is closed");
        assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}");
        assert!(error.to_string().contains("has closed"), "{error}");
        assert_eq!(default_template(), default_template());
    } else {
        assert_eq!(default_template(), early);
        release(held(Process::early().expect("an early template")));
        release(held(exec));
        // The parents are gone, and it is still there.
        assert_eq!(default_template(), early);
    }
    println!("the daemon has succeeded");
}

/// Has the kernel give this process the children of processes that have died.
fn adopt_orphans() {
    // SAFETY: takes numbers.
    let set = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
    assert_eq!(set, 0);
}

/// Waits for a child. nix does not know all signals.
fn reap(pid: u32) {
    let pid = pid.cast_signed();
    // SAFETY: a null pointer asks for no status.
    let got = unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
    assert_eq!(got, pid);
}

/// Workers whose template has been killed, and how they will have ended.
fn orphans() -> impl Iterator<Item = (blocking::Worker, ExitStatus)> {
    adopt_orphans();
    let exec = Process::new_exec().expect("a template");
    let ends = [
        (0, 0),
        (7, 0),
        (0, libc::SIGTERM),
        (0, libc::SIGRTMIN() + 3),
    ];
    let workers = ends.map(|(code, signal)| {
        let worker = exec.fork().send_arg(code).send_arg(signal);
        let worker = worker.run(end_by::NAME).blocking().expect("a worker");
        (worker, ExitStatus::from_raw((code << 8) | signal))
    });
    let template = template_of(&workers[0].0);
    kill_now(template);
    reap(template);
    workers.into_iter()
}

/// The kernel has kept the status of a process that somebody else reaped.
fn reaps() {
    for (worker, status) in orphans() {
        let blocking::Worker {
            socket, mut child, ..
        } = worker;
        assert!(child.try_wait().expect("it runs").is_none());
        drop(socket);
        reap(child.pid());
        for _ in 0..2 {
            let exit = bounded("wait", || child.wait()).expect("a status");
            assert_eq!(exit.status(), status);
            assert_eq!(child.try_wait().expect("a status"), Some(exit));
        }
    }
}

/// This process is the parent now, and would have to reap them.
fn adopts() {
    for (worker, status) in orphans() {
        let blocking::Worker {
            socket, mut child, ..
        } = worker;
        until("it sleeps, and is this process's", || {
            children(process::id()).get(&child.pid()) == Some(&'S')
        });
        drop(socket);
        let exit = bounded("wait", || child.wait()).expect("a status");
        assert_eq!(exit.status(), status);
        assert!(exit.usage().peak_memory > 0);
        assert_eq!(children(process::id()).get(&child.pid()), None);
    }
}

/// As on a kernel before Linux 6.13: the question is refused.
fn status_is_not_kept() {
    let orphans = orphans();
    refuse_to_report();
    for (worker, status) in orphans {
        let blocking::Worker {
            socket, mut child, ..
        } = worker;
        drop(socket);
        reap(child.pid());
        if status.code().is_some() {
            // One that comes to its own end tells that itself.
            let exit = bounded("wait", || child.wait()).expect("a status");
            assert_eq!(exit.status(), status);
            continue;
        }
        for _ in 0..2 {
            let error = bounded("wait", || child.wait()).expect_err("no status");
            let exit = error.exit().expect("it has died");
            assert_eq!((exit.code(), exit.signal()), (None, None), "{error}");
            assert!(!exit.success() && !exit.status().success(), "{error}");
            assert_eq!(exit.to_string(), "unknown status");
            assert!(error.to_string().contains("status is lost"), "{error}");
            assert!(error.to_string().contains("Linux 6.15"), "{error}");
        }
    }
}

/// Has the kernel refuse `PIDFD_GET_INFO` (seccomp(2)).
fn refuse_to_report() {
    use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W};
    let step = |code: u32, k: u32, jf| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf,
        k,
    };
    let request = std::mem::offset_of!(libc::seccomp_data, args) + 8;
    let mut filter = [
        step(BPF_LD | BPF_W | BPF_ABS, 0, 0),
        step(BPF_JMP | BPF_JEQ | BPF_K, libc::SYS_ioctl as u32, 3),
        step(BPF_LD | BPF_W | BPF_ABS, request as u32, 0),
        step(BPF_JMP | BPF_JEQ | BPF_K, libc::PIDFD_GET_INFO as u32, 1),
        step(BPF_RET, libc::SECCOMP_RET_ERRNO | libc::ENOTTY as u32, 0),
        step(BPF_RET, libc::SECCOMP_RET_ALLOW, 0),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: takes numbers.
    let fixed = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: the program lives until the kernel has copied it.
    let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) };
    assert_eq!((fixed, set), (0, 0));
}
