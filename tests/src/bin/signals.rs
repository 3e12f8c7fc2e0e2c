//! A program that signals are sent to: does what its first argument says, and
//! asserts what must hold.

use std::env;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{self, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyfork::{Process, blocking};
use anyfork_tests::births::{end, succeed};
use anyfork_tests::{bounded, byte_of, has_ended, held, release, status, template_of, until};
use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask,
};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, getpgid, getpgrp};

#[anyfork::early]
fn main() -> ExitCode {
    let argument = |n| env::args().nth(n).unwrap_or_default();
    match argument(1).as_str() {
        "actions" => actions(argument(2).parse().expect("a number")),
        "children" => children(&argument(2)),
        "deaf" => deaf(),
        "group" => group(argument(2).parse().expect("a number")),
        "storm" => storm(),
        _ => return ExitCode::from(2),
    }
    ExitCode::SUCCESS
}

/// A template that is not replaced, and how to fork it.
struct Template {
    name: &'static str,
    pid: u32,
    fork: Box<dyn Fn() -> Process>,
}

impl Template {
    fn new(name: &'static str, fork: impl Fn() -> Process + 'static) -> Template {
        let worker = held(fork());
        let pid = template_of(&worker);
        release(worker);
        let fork = Box::new(fork);
        Template { name, pid, fork }
    }

    fn early() -> Template {
        Template::new("early", || Process::early().expect("an early template"))
    }

    fn nested() -> Template {
        let nested = Process::early().expect("a template").env("NESTED", "1");
        Template::new("nested", move || nested.fork())
    }

    fn exec() -> Template {
        let exec = Process::new_exec().expect("a template");
        Template::new("exec'ed", move || exec.fork())
    }

    fn snapshot() -> Template {
        let snapshot = Process::snapshot().expect("one thread");
        Template::new("snapshot", move || snapshot.fork())
    }

    /// Asserts that it is there and serves.
    fn check(&self) {
        let worker = held((self.fork)());
        assert_eq!(template_of(&worker), self.pid, "{}", self.name);
        release(worker);
    }
}

/// Where the handler writes.
static NOTICED: AtomicI32 = AtomicI32::new(-1);

extern "C" fn write_down(signal: i32) {
    let byte = signal as u8;
    let place = NOTICED.load(Ordering::Relaxed);
    // SAFETY: writes one byte of a local.
    unsafe { libc::write(place, (&raw const byte).cast(), 1) };
}

/// Handles a signal by writing it down, and gives where that can be read.
fn notice(signal: i32) -> io::PipeReader {
    let (read, write) = io::pipe().expect("a pipe");
    NOTICED.store(write.as_raw_fd(), Ordering::Relaxed);
    // The handler has it for as long as the process lives.
    std::mem::forget(write);
    handle(signal, write_down, SaFlags::empty());
    read
}

fn handle(signal: i32, handler: extern "C" fn(i32), flags: SaFlags) {
    let signal = Signal::try_from(signal).expect("a signal");
    let action = SigAction::new(SigHandler::Handler(handler), flags, SigSet::empty());
    // SAFETY: the handlers here do what a handler may.
    unsafe { sigaction(signal, &action) }.expect("a signal that can be handled");
}

/// Handles a signal, and passes on which one came.
#[anyfork::worker]
fn pass_on(mut socket: UnixStream, signal: i32) -> io::Result<()> {
    let mut noticed = notice(signal);
    socket.write_all(b"!")?;
    socket.write_all(&[byte_of(&mut noticed)])
}

/// In a process group that a signal is sent to: who gets it?
fn group(signal: i32) {
    let mut noticed = notice(signal);
    let templates = [
        Template::early(),
        Template::nested(),
        Template::exec(),
        Template::snapshot(),
    ];
    let workers = templates.each_ref().map(|template| {
        let pid = Pid::from_raw(template.pid.cast_signed());
        assert_eq!(getpgid(Some(pid)), Ok(getpgrp()), "{}", template.name);
        let plain = held((template.fork)());
        let handling = pass_on_from((template.fork)(), signal);
        let apart = held((template.fork)().process_group(0));
        (plain, handling, apart)
    });
    println!("ready");
    assert_eq!(i32::from(byte_of(&mut noticed)), signal);

    // The shutdown of a program: its templates are there to help.
    for (template, (mut plain, mut handling, mut apart)) in templates.iter().zip(workers) {
        let name = template.name;
        let exit = bounded("an end", || plain.wait()).expect("a status");
        assert_eq!(exit.signal(), Some(signal), "{name}");
        assert_eq!(i32::from(byte_of(&mut handling.socket)), signal, "{name}");
        assert!(
            bounded("an end", || handling.wait())
                .expect("a status")
                .success()
        );
        // Who is sent a signal is all told in one go, so it would have come.
        assert!(apart.try_wait().expect("a status").is_none(), "{name}");
        release(apart);
        template.check();
    }
}

fn pass_on_from(process: Process, signal: i32) -> blocking::Worker {
    let launch = process.send_arg(signal).run("pass_on");
    let mut worker = bounded("a launch", || launch.blocking()).expect("a worker");
    assert_eq!(byte_of(&mut worker.socket), b'!');
    worker
}

/// Ignores what was ignored when it was started, and so do its workers and programs:
/// it sends all of that to its group.
fn deaf() {
    let templates = [
        Template::early(),
        Template::nested(),
        Template::exec(),
        Template::snapshot(),
    ];
    let children = templates.each_ref().map(|template| {
        let mut cat = (template.fork)().exec("cat");
        let cat = cat
            .stdin(anyfork::Stdio::piped())
            .stdout(anyfork::Stdio::piped());
        let cat = bounded("a program", || cat.spawn().blocking()).expect("a program");
        (held((template.fork)()), cat)
    });
    for signal in [
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGTERM,
        libc::SIGRTMIN() + 1,
    ] {
        // SAFETY: takes numbers.
        assert_eq!(unsafe { libc::kill(0, signal) }, 0);
    }
    for (template, (worker, mut cat)) in templates.iter().zip(children) {
        // Both answer after that.
        release(worker);
        let mut stdin = cat.stdin.take().expect("a pipe");
        stdin.write_all(b"?").expect("it runs");
        assert_eq!(byte_of(cat.stdout.as_mut().expect("a pipe")), b'?');
        drop(stdin);
        let exit = bounded("an end", || cat.wait()).expect("a status");
        assert!(exit.success(), "{}: {exit}", template.name);
        template.check();
    }
}

static COUNT: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count(_signal: i32) {
    COUNT.fetch_add(1, Ordering::Relaxed);
}

/// Makes templates while one SIGINT after the other comes.
fn storm() {
    handle(libc::SIGINT, count, SaFlags::empty());
    println!("ready");
    until("the first comes", || COUNT.load(Ordering::Relaxed) > 0);
    let prepare = |process: anyfork::Result<Process>| {
        let prepared = process.expect("a template").prepare().blocking();
        drop(prepared.expect("a template"));
    };
    for _ in 0..20 {
        prepare(Process::new_exec());
        prepare(Process::snapshot());
        prepare(Process::early());
    }
}

/// Has a third of the signals handled, a third ignored, all of them blocked, and
/// looks at workers of templates that were made before and after.
fn actions(turn: i32) {
    let set = |pid, field| {
        let set = u64::from_str_radix(&status(pid, field), 16).expect("a set");
        // Without two that the C library has for itself.
        set & !(3 << 31)
    };
    let me = process::id();
    let at_start = set(me, "SigIgn");
    let mut templates = vec![
        Template::early(),
        Template::nested(),
        Template::exec(),
        Template::snapshot(),
    ];
    for signal in 1..=libc::SIGRTMAX() {
        let action = match (signal + turn) % 3 {
            0 => libc::SIG_IGN,
            1 => count as *const () as libc::sighandler_t,
            _ => libc::SIG_DFL,
        };
        // SAFETY: the handler does what one may; some signals refuse it.
        unsafe { libc::signal(signal, action) };
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None).expect("a mask");
    let later = templates.len()..templates.len() + 2;
    templates.extend([Template::exec(), Template::snapshot()]);
    // And with templates that main's change of mind has not reached.
    templates.extend([Template::early(), Template::nested()]);

    assert!(
        ["SigBlk", "SigIgn", "SigCgt"]
            .iter()
            .all(|field| set(me, field).count_ones() > 15)
    );
    for (at, template) in templates.iter().enumerate() {
        let name = template.name;
        // What the program ignored when the template was made.
        let ignored = match later.contains(&at) {
            true => set(me, "SigIgn"),
            false => at_start,
        };
        let mut worker = held((template.fork)());
        assert_eq!(set(worker.pid(), "SigBlk"), 0, "{name}");
        assert_eq!(
            set(worker.pid(), "SigIgn"),
            ignored | 1 << (libc::SIGPIPE - 1),
            "{name}"
        );
        // But for those that report a crash.
        let crashes = [libc::SIGABRT, libc::SIGBUS, libc::SIGSEGV];
        let crashes: u64 = crashes.iter().map(|signal| 1 << (signal - 1)).sum();
        let caught = set(worker.pid(), "SigCgt");
        assert_eq!(caught & !crashes, 0, "{name}");
        let signal = match ignored >> (libc::SIGTERM - 1) & 1 {
            0 => libc::SIGTERM,
            _ => libc::SIGKILL,
        };
        worker.signal(signal).expect("it runs");
        let exit = bounded("an end", || worker.wait()).expect("a status");
        assert_eq!(exit.signal(), Some(signal), "{name}");
    }
}

/// Ends as it is told: by itself, or by a signal.
#[anyfork::worker]
fn end_so(_socket: OwnedFd, code: u8) -> ExitCode {
    if code >= 90 {
        // SAFETY: takes a number.
        unsafe { libc::raise(libc::SIGKILL) };
    }
    ExitCode::from(code)
}

/// In a program that does something about SIGCHLD.
fn children(how: &str) {
    match how {
        // SAFETY: an action without code.
        "ignored" => unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) },
        "handled" => {
            handle(libc::SIGCHLD, count, SaFlags::empty());
            0
        }
        "reaped" => {
            // One child there always is, so that the other thread does wait.
            let child = Command::new("cat").stdin(Stdio::piped()).spawn();
            std::mem::forget(child.expect("a program"));
            thread::spawn(reap_all);
            0
        }
        _ => panic!("{how}"),
    };
    let templates = [Template::early(), Template::nested(), Template::exec()];
    let caught = COUNT.load(Ordering::Relaxed);
    for template in &templates {
        all_ends_are_right(template);
    }
    let pids = templates.map(|template| template.pid);
    // The early one stays; the others are not wanted any more.
    until("the templates are gone", || {
        pids[1..].iter().all(|pid| has_ended(*pid))
    });
    end(pids[0]);
    assert_eq!(COUNT.load(Ordering::Relaxed), caught, "a SIGCHLD came");
    if how == "handled" {
        // One exec'ed process, which has forked the template, has ended.
        assert_eq!(caught, 1);
        succeed(&mut Command::new("true"));
        assert_eq!(COUNT.load(Ordering::Relaxed), caught + 1);
    }
}

/// Has 100 workers at once.
fn all_ends_are_right(template: &Template) {
    let run = |code: u8| (template.fork)().send_arg(code).run("end_so").blocking();
    let workers: Vec<_> = (0..100).map(|code| (code, run(code))).collect();
    for (code, worker) in workers {
        let mut worker = worker.expect("a worker");
        let exit = bounded("an end", || worker.wait()).expect("a status");
        let right = match code {
            0..90 => exit.code() == Some(code.into()),
            _ => exit.signal() == Some(libc::SIGKILL),
        };
        assert!(right, "{} {code}: {exit}", template.name);
    }
}

/// Collects each child of this process, whosever it is.
fn reap_all() {
    loop {
        if waitpid(None, None).is_err() {
            thread::sleep(Duration::from_millis(1));
        }
    }
}
