//! Whatever holds for a child that is forked when it is asked for holds for a
//! spare: what it was prepared with and in which order, what it is called, how it
//! fails, how it is called off, what it becomes.

use std::collections::BTreeSet;
use std::env;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::id;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use anyfork::{Arg, Args, ErrorKind, Process, args};
use anyfork_tests::spares::{until_idle, until_settled, warm};
use anyfork_tests::{
    Scene, alone, bounded, children, descriptors, has_ended, held, limits, nice_of,
};
use anyfork_tests::{new, pipe_with, release, rest_of, status, until};

#[anyfork::early]
fn preload() {}

/// What ran, in this process and in those that it was forked from.
static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn note(what: &str) {
    let color = env::var("COLOR").unwrap_or_default();
    let here = env::current_dir().unwrap();
    let line = format!("{what} {color} {} {}", here.display(), id());
    LOG.lock().unwrap().push(line);
}

#[anyfork::after_fork]
fn forked() {
    note("after_fork");
}

#[anyfork::init]
fn prepare(what: String) {
    note(&what);
}

#[anyfork::init]
fn refuse(why: String) -> Result<(), String> {
    Err(why)
}

#[anyfork::init]
fn panic(why: String) {
    panic!("{why}");
}

#[anyfork::init]
fn end_by(signal: i32) {
    nix::sys::signal::raise(signal.try_into().unwrap()).unwrap();
}

#[anyfork::init]
fn hang() {
    loop {
        thread::park();
    }
}

/// Tells all that it sees of what it was prepared with.
#[anyfork::worker]
fn tell(mut socket: UnixStream, rest: Args) -> io::Result<()> {
    let own = id();
    let log = LOG.lock().unwrap();
    // Which process it was must be the only difference.
    let lines = log.iter().map(|line| match line.rsplit_once(' ') {
        Some((what, pid)) if pid == own.to_string() => format!("{what} OWN"),
        Some((what, _)) => format!("{what} TEMPLATE"),
        None => line.clone(),
    });
    let mut seen: Vec<_> = lines.collect();
    for arg in rest {
        seen.push(match arg {
            Arg::Bytes(bytes) => format!("{bytes:?}"),
            Arg::Fd(fd) => io::read_to_string(File::from(fd))?,
        });
    }
    let variables = env::vars_os().map(|(name, value)| format!("{name:?} {value:?}"));
    seen.extend(variables.collect::<BTreeSet<_>>());
    for field in ["Umask", "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"] {
        seen.push(format!("{field} {}", status(own, field)));
    }
    for name in ["Max open files", "Max core file size", "Max stack size"] {
        seen.push(format!("{name} {:?}", limits(own, name)));
    }
    for file in ["cmdline", "comm", "oom_score_adj", "cgroup", "loginuid"] {
        seen.push(fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default());
    }
    let open = descriptors(own);
    seen.push(format!("{:?} {:?} {:?}", open[&0], open[&1], open[&2]));
    let group = nix::unistd::getpgrp().as_raw().unsigned_abs();
    let nice = nice_of(own);
    seen.push(format!("leads {} nice {nice}", group == own));
    seen.push(format!("threads {}", status(own, "Threads")));
    socket.write_all(seen.join("\n").as_bytes())
}

fn reported(process: Process, worker: &str) -> (u32, String) {
    let mut worker = bounded("a launch", || process.run(worker).blocking()).unwrap();
    let text = rest_of(&mut worker);
    (worker.pid(), text)
}

/// What `of` finds at a template that has spares is what it finds at one that has
/// none.
fn must_be_alike<T: PartialEq + std::fmt::Debug>(
    template: impl Fn() -> Process,
    of: impl Fn(&Process) -> T,
) {
    let _alone = alone();
    let scene = Scene::early();
    let (cold, cold_pid) = warm(template(), 0);
    let (hot, pid) = warm(template(), 1);
    for _ in 0..3 {
        let expected = of(&cold);
        until_idle(pid, 1);
        assert_eq!(of(&hot), expected);
        until_settled(pid, 1, &[]);
        until_settled(cold_pid, 0, &[]);
    }
    drop((cold, hot));
    scene.must_return();
}

fn prepared() -> Process {
    new()
        .env("COLOR", "red")
        .current_dir("/proc")
        .send_arg("a")
        .init("prepare", args!["template"])
        .send_fd(pipe_with(""))
        .rlimit(libc::RLIMIT_CORE, 0, 0)
}

#[test]
fn what_a_worker_sees() {
    must_be_alike(new, |template| reported(template.fork(), "tell").1);
    must_be_alike(prepared, |template| {
        let process = template
            .fork()
            .send_arg("b")
            .env("COLOR", "blue")
            .current_dir("/")
            .init("prepare", args!["worker"])
            .send_fds([pipe_with("1"), pipe_with("2")])
            .send_arg("c")
            .rlimit(libc::RLIMIT_NOFILE, 100, 200)
            .nice(1)
            .process_group(0)
            .title("a title");
        let text = reported(process, "tell").1;
        // Each once, and after the settings.
        let log: Vec<_> = text.lines().filter(|line| line.contains("/")).collect();
        let expected = [
            "after_fork red /proc TEMPLATE",
            "template red /proc TEMPLATE",
            "after_fork blue / OWN",
            "worker blue / OWN",
        ];
        assert_eq!(log[..4], expected);
        assert_eq!(text.matches("after_fork").count(), 2);
        text
    });
}

/// Tells the sum of its bytes, and what its pipes hold.
#[anyfork::worker]
fn add_up(mut socket: UnixStream, rest: Args) -> io::Result<()> {
    let (mut sum, mut texts) = (0u64, String::new());
    for arg in rest {
        match arg {
            Arg::Bytes(bytes) => sum += bytes.iter().map(|&it| u64::from(it)).sum::<u64>(),
            Arg::Fd(fd) => texts += &io::read_to_string(File::from(fd))?,
        }
    }
    write!(socket, "{sum} {texts}")
}

#[test]
fn arguments_of_any_size_and_number() {
    const SIZE: usize = 64 << 20;
    const PIPES: usize = 1000;
    must_be_alike(new, |template| {
        let numbers: Vec<_> = (0..PIPES).map(|n| format!("{n} ")).collect();
        let process = template.fork().send_arg(vec![1; SIZE]);
        let process = process.send_fds(numbers.iter().map(|it| pipe_with(it)));
        let text = reported(process, "add_up").1;
        assert_eq!(text, format!("{SIZE} {}", numbers.concat()));
    });
}

#[test]
fn how_a_launch_fails() {
    must_be_alike(new, |template| {
        let fork = || template.fork();
        let launches = [
            fork().run("no_such_worker"),
            fork().send_arg("one too many").run("random"),
            fork().init("no_such_init", ()).run("hold"),
            fork().init("refuse", args!["so it is"]).run("hold"),
            fork().init("panic", args!["so it is"]).run("hold"),
            fork().init("end_by", args![libc::SIGKILL]).run("hold"),
            fork().init("end_by", args![libc::SIGTERM]).run("hold"),
            fork().current_dir("/no/such/folder").run("hold"),
            fork()
                .init("hang", ())
                .timeout(Duration::from_millis(20))
                .run("hold"),
        ];
        let errors = launches.map(|launch| bounded("a launch", || launch.blocking()).unwrap_err());
        let kinds = errors.each_ref().map(|error| match error.kind() {
            ErrorKind::Died => format!("{}", error.exit().unwrap()),
            kind => format!("{kind:?}"),
        });
        let texts = errors.map(|error| error.to_string());
        (kinds, texts)
    });
}

#[test]
fn how_a_worker_is_called_off() {
    must_be_alike(prepared, |template| {
        let mut workers = Vec::new();
        for _ in 0..20 {
            // Before it is there, or when it waits, or at any time between.
            drop(template.fork().run("hold"));
            drop(template.fork().init("hang", ()).run("hold"));
            // Its last handle is gone.
            let worker = held(template.fork().kill_on_drop(true));
            workers.push(worker.pid());
            drop(worker);
        }
        until("the killed are gone", || {
            workers.iter().all(|&it| has_ended(it))
        });
        // Nobody waits for it, and it stays.
        let worker = held(template.fork());
        let pid = worker.pid();
        let mut socket = worker.socket;
        drop(worker.child);
        socket.write_all(b"x").unwrap();
        assert!(!has_ended(pid));
        drop(socket);
        until("it has ended", || has_ended(pid));
    });
}

#[test]
fn what_a_program_is() {
    const SCRIPT: &str = "pwd; echo $COLOR; echo $0 $@; ulimit -c; ulimit -n; cat <&4";
    let template = || {
        new()
            .env("COLOR", "red")
            .current_dir("/proc")
            .init("prepare", args!["template"])
            .send_args(["-c", SCRIPT])
            .send_fd(pipe_with(""))
    };
    must_be_alike(template, |template| {
        let process = template.fork().send_fd(pipe_with("4")).env("COLOR", "blue");
        let mut shell = process.exec("sh");
        shell.args(["one", "two"]);
        let output = bounded("a program", || shell.output().blocking()).unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.starts_with("/proc\nblue\none two\n") && text.ends_with('4'));
        let mut none = template.fork().exec("/no/such/program");
        let error = none.status().blocking().unwrap_err();
        (text, error.to_string())
    });
}

#[test]
fn a_spare_may_become_a_template() {
    let _alone = alone();
    let scene = Scene::early();
    let (template, pid) = warm(prepared(), 2);
    for _ in 0..5 {
        let spares = until_idle(pid, 2);
        let launch = template
            .fork()
            .send_arg("x")
            .init("prepare", args!["nested"])
            .prepare();
        let nested = bounded("a template", || launch.blocking()).unwrap();
        let nested_pid = nested.pid().unwrap();
        assert!(spares.contains(&nested_pid));
        // It has none of its own, until it is asked to.
        assert!(children(nested_pid).is_empty());
        assert_eq!(
            limits(nested_pid, "Max open files"),
            limits(pid, "Max open files")
        );
        let (_, cold) = reported(nested.fork(), "tell");
        let nested = nested.keep_warm(1);
        let spare = until_idle(nested_pid, 1)[0];
        let (worker, hot) = reported(nested.fork(), "tell");
        assert_eq!((worker, hot), (spare, cold));
        let worker = held(nested.fork());
        let worker_limits = limits(worker.pid(), "Max open files");
        assert_eq!(worker_limits, limits(id(), "Max open files"));
        release(worker);
        drop(nested);
        until_settled(pid, 2, &[]);
    }
    drop(template);
    scene.must_return();
}

/// Tells what is to be different in every process.
#[anyfork::worker]
fn random(mut socket: UnixStream) -> io::Result<()> {
    write!(socket, "{} {}", id(), RandomState::new().hash_one(0))
}

/// Starts workers of a process that was handed over, and tells of each.
#[anyfork::worker]
fn use_it(mut socket: UnixStream, process: OwnedFd, count: usize) -> anyfork::Result<()> {
    let process = Process::from_fd(process)?;
    for _ in 0..count {
        let (_, text) = reported(process.fork(), "random");
        writeln!(socket, "{text}").expect("a reader");
    }
    Ok(())
}

#[test]
fn each_is_another_process_whoever_asks() {
    const USERS: usize = 4;
    const EACH: usize = 100;
    let _alone = alone();
    let scene = Scene::early();
    let (template, pid) = warm(new(), 3);
    let fork = template.fork();
    let fd = template.into_fd().unwrap();
    let users = (0..USERS).map(|_| use_it::run(new(), fd.try_clone().unwrap(), EACH).blocking());
    let users: Vec<_> = users.map(Result::unwrap).collect();
    let mut seen = Vec::new();
    let process = Process::from_fd(fd).unwrap();
    for _ in 0..EACH {
        let (pid, text) = reported(process.fork(), "random");
        assert!(text.starts_with(&format!("{pid} ")));
        seen.push(text);
    }
    for mut user in users {
        let mut text = String::new();
        bounded("an end", || user.socket.read_to_string(&mut text)).unwrap();
        assert!(user.wait().unwrap().success());
        seen.extend(text.lines().map(str::to_owned));
    }
    assert_eq!(seen.len(), (USERS + 1) * EACH);
    let [pids, numbers] = [0, 1].map(|at| {
        let parts = seen.iter().map(|it| it.split(' ').nth(at).unwrap());
        parts.collect::<BTreeSet<_>>().len()
    });
    assert_eq!((pids, numbers), (seen.len(), seen.len()));
    until_settled(pid, 3, &[]);
    drop((fork, process));
    scene.must_return();
}
