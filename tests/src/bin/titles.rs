//! A program that looks at what its processes are called: does what its first
//! argument says, and asserts what must hold.

use std::env;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{self, Command, ExitCode};

use anyfork::{Process, args};
use anyfork_tests::{bounded, held, release, template_of};

#[anyfork::early]
fn main() -> ExitCode {
    let me = process::id();
    // As the kernel has made it: nobody has given this one another name.
    let own = (command_line(me), short_name(me));
    let given: Vec<_> = env::args().map(|arg| arg + "\0").collect();
    let file = env::current_exe().expect("a path");
    let file = file.file_name().and_then(|name| name.to_str());
    assert_eq!(own, (given.concat(), file.expect("a name").to_owned()));
    match env::args().nth(1).unwrap_or_default().as_str() {
        "arguments" => arguments(),
        "names" => names(),
        "ps" => ps(),
        "titles" => titles(),
        _ => return ExitCode::from(2),
    }
    assert_eq!((command_line(me), short_name(me)), own);
    ExitCode::SUCCESS
}

/// All of it, the bytes 0 too.
fn command_line(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/cmdline")).expect("a command line")
}

fn short_name(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).expect("a short name");
    name.strip_suffix('\n').expect("a line").to_owned()
}

/// Whether this kernel lets a process choose its command line, as nearly all
/// do (`CONFIG_CHECKPOINT_RESTORE`).
fn has_command_lines() -> bool {
    const PR_SET_MM_MAP_SIZE: libc::c_ulong = 15;
    let mut size = 0_u32;
    let place = &raw mut size;
    // SAFETY: writes to a local.
    let has = unsafe { libc::prctl(libc::PR_SET_MM, PR_SET_MM_MAP_SIZE, place, 0, 0) } == 0;
    if !has {
        println!("skipped: this kernel shows the command line that a program began with");
    }
    has
}

/// Asserts what a process is called: the whole title, and the short one.
#[track_caller]
fn assert_called(pid: u32, title: &str, short: &str) {
    assert_eq!(short_name(pid), short);
    if has_command_lines() {
        assert_eq!(command_line(pid), format!("{title}\0"));
    }
}

/// This program, as its processes name it.
fn whose(owner: u32) -> String {
    let program = env::args().next().expect("a name");
    let program = Path::new(&program).file_name().expect("a name");
    format!("{owner} ({})", program.display())
}

/// Asserts that a worker of the process, and its template, have their usual names.
#[track_caller]
fn assert_usual(process: &Process, owner: u32) {
    let (hold, owner) = (held(process.fork()), whose(owner));
    let title = format!("anyfork: hold of {owner}");
    assert_called(hold.pid(), &title, "anyfork: hold o");
    let title = format!("anyfork: template of {owner}");
    assert_called(template_of(&hold), &title, "anyfork: templa");
    release(hold);
}

fn names() {
    let me = process::id();
    let early = Process::early().expect("an early template");
    let worker = held(Process::early().expect("an early template"));
    let title = format!("anyfork: template of {}", whose(me));
    assert_called(template_of(&worker), &title, "anyfork: templa");
    release(worker);
    let exec = Process::new_exec().expect("a template");
    let snapshot = Process::snapshot().expect("one thread");
    for process in [early, exec, snapshot] {
        // Forks of the early one are nested: it has been looked at.
        assert_usual(&process, me);
        let nested = process.fork().env("NESTED", "1");
        assert_usual(&nested, me);
        assert_usual(&nested.fork().env("NESTED", "2"), me);
        // By the name that it was asked for, without its path.
        let long = process.fork().run("long_name_for_a_worker::wo").blocking();
        let mut long = long.expect("a worker");
        let title = format!("anyfork: wo of {}", whose(me));
        // Not as many bytes as there is room for: one is a space at the end.
        assert_called(long.pid(), &title, "anyfork: wo of");
        drop(long.socket);
        assert!(long.child.wait().expect("a status").success());
        // Its own templates are its own.
        let mut owner = process.fork().run("owner").blocking().expect("a worker");
        let exit = bounded("a worker's end", || owner.wait()).expect("a status");
        assert!(exit.success(), "{exit} {:?}", exit.failure());
    }
}

mod long_name_for_a_worker {
    use super::{Read, UnixStream, io};

    /// Stays until it is let go.
    #[anyfork::worker]
    fn wo(mut socket: UnixStream) -> io::Result<()> {
        socket.read(&mut [0]).map(drop)
    }
}

/// Has templates of its own.
#[anyfork::worker]
fn owner(_socket: OwnedFd) {
    let snapshot = Process::snapshot().expect("one thread");
    for process in [snapshot, Process::new().expect("a template")] {
        assert_usual(&process, process::id());
    }
}

fn titles() {
    let (long, umlauts, faces) = ("x".repeat(10_000), "ä".repeat(200), "😀".repeat(200));
    let given: [(&str, &str, &str); 8] = [
        ("pool", "pool", "pool"),
        ("db: connections", "db: connections", "db: connections"),
        ("fourteen bytes. ", "fourteen bytes. ", "fourteen bytes."),
        (
            "fourteen,bytes  and more",
            "fourteen,bytes  and more",
            "fourteen,bytes",
        ),
        ("with\0 a NUL", "with a NUL", "with a NUL"),
        (&long, &long[..255], &long[..15]),
        (&umlauts, &umlauts[..254], &umlauts[..14]),
        (&faces, &faces[..252], &faces[..12]),
    ];
    let exec = Process::new_exec().expect("a template");
    for process in [Process::early().expect("a template"), exec] {
        for (title, whole, short) in given {
            // A template and its worker, and those that are forked from it.
            let template = process.fork().title(title);
            let worker = held(template.fork());
            let nested = template.fork().env("NESTED", "1");
            let deeper = held(nested.fork());
            for worker in [&worker, &deeper] {
                assert_called(worker.pid(), whole, short);
                assert_called(template_of(worker), whole, short);
            }
            // Another one takes its place, all of it.
            let other = held(nested.fork().title("other"));
            assert_called(other.pid(), "other", "other");
            assert_called(template_of(&other), whole, short);
            [worker, deeper, other].into_iter().for_each(release);
        }
        // A worker's alone.
        let worker = held(process.fork().title("alone"));
        assert_called(worker.pid(), "alone", "alone");
        release(worker);
        assert_usual(&process, process::id());
    }
}

/// Tells what arguments its program was started with.
#[anyfork::worker]
fn tell_arguments(mut socket: UnixStream) -> io::Result<()> {
    let given: Vec<_> = env::args().collect();
    write!(socket, "{given:?}")
}

fn arguments() {
    let own: Vec<_> = env::args().collect();
    let templates = [
        Process::early().expect("a template"),
        Process::new_exec().expect("a template"),
        Process::snapshot().expect("one thread"),
    ];
    for process in templates {
        let titled = process
            .fork()
            .title("x".repeat(300))
            .init("titles::nothing", args![]);
        for process in [process, titled] {
            let worker = process.fork().run("tell_arguments").blocking();
            let text = io::read_to_string(worker.expect("a worker").socket);
            assert_eq!(text.expect("text"), format!("{own:?}"));
        }
    }
}

/// Has arguments read before there are workers, in case they are kept.
#[anyfork::init]
fn nothing() {
    assert!(env::args().count() > 1);
}

/// What `ps` says, where there is one that can be asked so.
fn ps() {
    let usual = held(Process::new().expect("a template"));
    let titled = held(Process::new().expect("a template").title("my own title"));
    let owner = whose(process::id());
    let expected = [
        (
            usual.pid(),
            format!("anyfork: hold of {owner}"),
            "anyfork: hold o",
        ),
        (titled.pid(), "my own title".to_owned(), "my own title"),
    ];
    for (pid, title, short) in expected {
        for (column, expected) in [("args=", &*title), ("comm=", short)] {
            let mut ps = Command::new("ps");
            ps.args(["-ww", "-o", column, "-p", &pid.to_string()]);
            match ps.output() {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    println!("skipped: there is no `ps`");
                }
                Ok(output) if !output.status.success() => {
                    println!("skipped: `ps` cannot be asked so: {output:?}");
                }
                // The kernel decides, which has been asked above.
                Ok(_) if column == "args=" && !has_command_lines() => {}
                output => {
                    let text = output.expect("an answer").stdout;
                    assert_eq!(String::from_utf8_lossy(&text).trim_end(), expected);
                }
            }
        }
    }
    [usual, titled].into_iter().for_each(release);
}
