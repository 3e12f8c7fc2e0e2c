//! A process that a preload or init function has forked and left behind holds the
//! sockets that its parent had. If the template is killed, its launches end all the
//! same, also in a runtime, and a default template is replaced; a child that was
//! forked before has the time that it needs.

use std::fs::File;
use std::future::IntoFuture;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::id;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use anyfork::{ErrorKind, Process, args};
use anyfork_tests::births::{end, kill_now, serving, stop};
use anyfork_tests::{bounded, has_ended, held, release, stat, template_of, text_of, until};

/// What this process or its template has left behind.
static LEFT: AtomicU32 = AtomicU32::new(0);

/// Leaves a process behind that has all that this one has.
fn leave() {
    // SAFETY: this process has one thread.
    match unsafe { libc::fork() } {
        0 => {
            stay();
            // SAFETY: ends the process at once.
            unsafe { libc::_exit(0) };
        }
        -1 => panic!("no fork: {}", io::Error::last_os_error()),
        left => LEFT.store(left.cast_unsigned(), Ordering::Relaxed),
    }
}

/// Until the template has no owner any more, or for a long time. Whoever runs this
/// test does not wait for it.
fn stay() {
    for number in 0..3 {
        // SAFETY: nobody uses them here any more.
        unsafe { libc::close(number) };
    }
    let control = (3..100).find(|&number| socket_type(number) == Some(libc::SOCK_SEQPACKET));
    for _ in 0..600 {
        let mut poll = libc::pollfd {
            fd: control.unwrap_or(-1),
            events: 0,
            revents: 0,
        };
        // SAFETY: one entry, which is a local.
        if unsafe { libc::poll(&raw mut poll, 1, 1000) } != 0 {
            return;
        }
    }
}

fn socket_type(number: i32) -> Option<i32> {
    let (mut kind, mut len) = (0i32, size_of::<i32>() as libc::socklen_t);
    let (level, option) = (libc::SOL_SOCKET, libc::SO_TYPE);
    // SAFETY: writes a number to a local; one that is not open is an error.
    let got =
        unsafe { libc::getsockopt(number, level, option, (&raw mut kind).cast(), &raw mut len) };
    (got == 0).then_some(kind)
}

#[anyfork::early]
fn preload() {
    leave();
}

/// Tells who it is and what it has left behind, if it is to leave anything, and goes on
/// when it is told to.
#[anyfork::init]
fn pause(leaves: bool, mut tell: File, mut go: File) -> io::Result<()> {
    if leaves {
        leave();
    }
    writeln!(tell, "{} {}", id(), LEFT.load(Ordering::Relaxed))?;
    drop(tell);
    go.read_to_end(&mut Vec::new())?;
    Ok(())
}

#[anyfork::init]
fn leave_and_refuse(mut tell: File) -> io::Result<()> {
    leave();
    writeln!(tell, "{} {}", id(), LEFT.load(Ordering::Relaxed))?;
    Err(io::Error::other("not today"))
}

/// Tells what its template has left behind.
#[anyfork::worker]
fn left(mut socket: UnixStream) -> io::Result<()> {
    write!(socket, "{}", LEFT.load(Ordering::Relaxed))
}

/// A process that is ended at the end of its test.
struct Left(u32);

impl Left {
    fn by(template: &Process) -> Left {
        let text = text_of(left::run(template.fork()));
        Left(text.parse().unwrap())
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        // It ends by itself, too, if its template has no owner any more.
        // SAFETY: takes two numbers.
        unsafe { libc::kill(self.0.cast_signed(), libc::SIGKILL) };
    }
}

/// A template of the test's own, its pid, and what it has left behind.
fn template() -> (Process, u32, Left) {
    let process = Process::new_exec().unwrap();
    let left = Left::by(&process);
    assert!(!has_ended(left.0));
    let pid = serving(&process);
    (process, pid, left)
}

/// A process that pauses in its preparation, what tells of it, and what lets it go
/// on.
fn pausing(template: &Process, leaves: bool) -> (Process, impl Read, io::PipeWriter) {
    let (tells, tell) = io::pipe().unwrap();
    let (go, goes) = io::pipe().unwrap();
    let process = template.fork().init("pause", args![leaves, tell, go]);
    (process, tells, goes)
}

/// Who told, and what it has left behind.
fn reported(mut tells: impl Read) -> (u32, u32) {
    let mut text = String::new();
    // What was left behind has the pipe, too.
    while !text.ends_with('\n') {
        let mut byte = [0];
        tells.read_exact(&mut byte).unwrap();
        text.push(byte[0].into());
    }
    let (pid, left) = text.trim().split_once(' ').unwrap();
    (pid.parse().unwrap(), left.parse().unwrap())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().unwrap()
}

#[test]
fn launches_under_way_are_refused() {
    let (process, pid, _left) = template();
    stop(pid);
    let launches: Vec<_> = (0..5).map(|_| process.fork().run("hold")).collect();
    let programs: Vec<_> = (0..3)
        .map(|_| process.fork().exec("/bin/true").spawn())
        .collect();
    let runtime = runtime();
    let awaited: Vec<_> = (0..5)
        .map(|_| runtime.spawn(process.fork().run("hold").into_future()))
        .collect();
    let executed: Vec<_> = (0..3)
        .map(|_| runtime.spawn(process.fork().exec("/bin/true").status().into_future()))
        .collect();
    kill_now(pid);
    for launch in launches {
        let error = bounded("a launch", || launch.blocking()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}");
    }
    for launch in programs {
        let error = bounded("a program", || launch.blocking()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}");
    }
    for launch in awaited {
        let result = bounded("a launch", || runtime.block_on(launch)).unwrap();
        assert_eq!(result.unwrap_err().kind(), ErrorKind::TemplateGone);
    }
    for launch in executed {
        let result = bounded("a program", || runtime.block_on(launch)).unwrap();
        assert_eq!(result.unwrap_err().kind(), ErrorKind::TemplateGone);
    }
}

#[test]
fn those_that_wait_for_room_are_refused() {
    let (process, pid, _left) = template();
    stop(pid);
    let bytes = vec![b'x'; 50_000];
    let launch = || process.fork().send_arg(&bytes[..]).run("hold");
    // More than there is room for in the queue.
    let launches: Vec<_> = (0..20).map(|_| launch()).collect();
    let runtime = runtime();
    let awaited: Vec<_> = (0..5)
        .map(|_| runtime.spawn(launch().into_future()))
        .collect();
    let threads: Vec<_> = launches
        .into_iter()
        .map(|launch| thread::spawn(|| launch.blocking()))
        .collect();
    // These two wait for room when they are asked for, too.
    let (warm, forked) = (process.fork(), process.fork());
    let warm = thread::spawn(move || warm.keep_warm(2).run("hold").blocking());
    let forked = thread::spawn(move || {
        let forked = forked.send_arg(vec![b'x'; 50_000]);
        forked.prepare().blocking().map(drop)
    });
    kill_now(pid);
    for thread in threads {
        let error = bounded("a launch", || thread.join()).unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}");
    }
    for launch in awaited {
        let result = bounded("a launch", || runtime.block_on(launch)).unwrap();
        assert_eq!(result.unwrap_err().kind(), ErrorKind::TemplateGone);
    }
    let error = bounded("spares", || warm.join()).unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}");
    let error = bounded("a template", || forked.join())
        .unwrap()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}");
}

#[test]
fn later_launches_are_refused() {
    let (process, pid, _left) = template();
    end(pid);
    let launch = process.fork().run("hold");
    let error = bounded("a launch", || launch.blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}");
    for process in [
        process.fork(),
        process.fork().send_arg("x"),
        process.fork().keep_warm(2),
    ] {
        let launch = process.run("hold");
        let error = bounded("a launch", || launch.blocking()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}");
    }
    for process in [process.fork().send_arg("x"), process.fork()] {
        let error = bounded("a template", || process.prepare().blocking()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}");
    }
    let error = bounded("a process", || process.into_fd()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}");
}

#[test]
fn a_default_template_is_replaced() {
    let mut before = 0;
    let mut left = Vec::new();
    for _ in 0..3 {
        let process = Process::new().unwrap();
        left.push(Left::by(&process));
        let worker = held(process.fork());
        let pid = template_of(&worker);
        release(worker);
        assert_ne!(pid, before);
        before = pid;
        end(pid);
        let error = bounded("a launch", || process.run("hold").blocking()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}");
    }
}

/// As long as it takes, also while requests lie behind it that nobody reads.
#[test]
fn a_child_that_was_forked_before_has_its_time() {
    let runtime = runtime();
    for (leaves, behind, awaits) in [
        (false, false, false),
        (false, true, false),
        (true, true, false),
        (true, false, true),
        (false, true, true),
    ] {
        let (process, pid, _left) = template();
        let (pausing, tells, goes) = pausing(&process, leaves);
        let launch = pausing.run("hold");
        let (child, left) = reported(tells);
        let _left_too = leaves.then_some(Left(left));
        stop(pid);
        let others: Vec<_> = (0..usize::from(behind))
            .map(|_| process.fork().run("hold"))
            .collect();
        let waiting = match awaits {
            true => {
                let task = runtime.spawn(launch.into_future());
                let runtime = runtime.handle().clone();
                thread::spawn(move || {
                    let worker = runtime.block_on(task).unwrap();
                    worker.map(|worker| worker.pid())
                })
            }
            false => thread::spawn(|| launch.blocking().map(|worker| worker.pid())),
        };
        end(pid);
        // They are given up, and this is not.
        for launch in others {
            let error = bounded("a launch", || launch.blocking()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}");
        }
        assert!(!has_ended(child) && !waiting.is_finished());
        drop(goes);
        let ready = bounded("a worker", || waiting.join()).unwrap();
        assert_eq!(ready.unwrap(), child);
        until("it is gone", || has_ended(child));
    }
}

/// What the child itself has left behind holds nobody up either.
#[test]
fn a_child_that_exits_is_reported() {
    let runtime = runtime();
    for (is_program, awaits) in [(false, false), (false, true), (true, false), (true, true)] {
        let (process, pid, _left) = template();
        let (pausing, tells, _goes) = pausing(&process, true);
        let (worker, program) = match is_program {
            false => (Some(pausing.run("hold")), None),
            true => (None, Some(pausing.exec("/bin/true").spawn())),
        };
        let (child, left) = reported(tells);
        let _left_too = Left(left);
        let waiting = thread::spawn({
            let runtime = runtime.handle().clone();
            move || match (worker, program, awaits) {
                (Some(launch), _, false) => launch.blocking().map(drop),
                (Some(launch), _, true) => runtime.block_on(launch.into_future()).map(drop),
                (_, Some(launch), false) => launch.blocking().map(drop),
                (_, Some(launch), true) => runtime.block_on(launch.into_future()).map(drop),
                (None, None, _) => Ok(()),
            }
        });
        end(pid);
        end(child);
        let error = bounded("a launch", || waiting.join()).unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}");
    }
}

#[test]
fn a_program_is_executed_that_was_forked_before() {
    let (process, pid, _left) = template();
    let (pausing, tells, goes) = pausing(&process, false);
    let launch = pausing.exec("/bin/sleep").arg("600").spawn();
    let (pid_of_program, _) = reported(tells);
    end(pid);
    drop(goes);
    let mut child = bounded("a program", || launch.blocking()).unwrap();
    assert_eq!(child.pid(), pid_of_program);
    child.start_kill().unwrap();
    until("it is gone", || has_ended(pid_of_program));
}

#[test]
fn a_refused_preparation_is_reported() {
    let (process, _, _left) = template();
    for awaits in [false, true] {
        let (tells, tell) = io::pipe().unwrap();
        let refused = process.fork().init("leave_and_refuse", args![tell]);
        let launch = refused.fork().run("hold");
        let (_, left) = reported(tells);
        let _left_too = Left(left);
        let error = match awaits {
            false => bounded("a launch", || launch.blocking()).unwrap_err(),
            true => bounded("a launch", || runtime().block_on(launch.into_future())).unwrap_err(),
        };
        assert_eq!(error.kind(), ErrorKind::InitFailed, "{error}");
        assert!(error.to_string().contains("not today"), "{error}");
    }
}

/// A launch that begins while the template is prepared hears of its end, too.
#[test]
fn a_template_that_exits_after_its_preparation_is_reported() {
    for awaits in [false, true] {
        let (process, _, _left) = template();
        let (pausing, tells, goes) = pausing(&process, true);
        let launch = pausing.fork().run("hold");
        let (template, left) = reported(tells);
        let _left_too = Left(left);
        // Two that wait for the same.
        let others: Vec<_> = (0..2)
            .map(|_| {
                let launch = pausing.fork().run("hold");
                thread::spawn(|| launch.blocking().map(drop))
            })
            .collect();
        let waiting = thread::spawn(move || match awaits {
            false => launch.blocking().map(drop),
            true => runtime().block_on(launch.into_future()).map(drop),
        });
        drop(goes);
        for thread in others.into_iter().chain([waiting]) {
            bounded("a launch", || thread.join()).unwrap().unwrap();
        }
        assert_eq!(stat(template).map(|(state, _)| state != 'Z'), Some(true));
        stop(template);
        let launch = pausing.fork().run("hold");
        end(template);
        let error = bounded("a launch", || launch.blocking()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}");
    }
}
