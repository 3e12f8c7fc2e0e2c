//! A process that was prepared once executes many programs: each has what the
//! preparation has made, and of all else what the caller has.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyfork::{Child, Command, Process, Stdio, args, blocking};
use anyfork_tests::births::{Folder, program, succeed};
use anyfork_tests::{
    Scene, alone, bounded, held, pipe_with, release, runtime_of_two, status, until,
};

#[anyfork::early]
fn preload() {}

const TELL: &str = env!("CARGO_BIN_EXE_tell");

#[anyfork::init]
fn prepare(name: String, directory: String) {
    // SAFETY: this process has one thread.
    unsafe {
        std::env::set_var("PREPARED", name);
        std::env::remove_var("HOME");
    }
    std::env::set_current_dir(directory).expect("a directory");
    // SAFETY: the action runs no code of ours.
    unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
}

fn reported(command: &mut Command) -> Vec<String> {
    let output = bounded("output", || command.output().blocking()).unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn has(reported: &[String], line: &str) -> bool {
    reported.iter().any(|it| it == line)
}

fn text(command: &mut Command) -> String {
    let output = bounded("output", || command.output().blocking()).unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn fifty_programs_and_workers_in_between() {
    let _alone = alone();
    let scene = Scene::early();
    for process in [Process::new().unwrap(), Process::new_exec().unwrap()] {
        let template = process
            .env("A", "1")
            .send_arg("first")
            .send_fd(pipe_with(""))
            .init(prepare::NAME, args!["so", "/"]);
        for n in 0..50 {
            let reported = reported(template.fork().exec(TELL).arg(n.to_string()));
            for line in [
                "argument 1 first",
                &format!("argument 2 {n}"),
                "directory /",
                "variable A=1",
                "variable PREPARED=so",
            ] {
                assert!(has(&reported, line), "no `{line}` in {reported:?}");
            }
            assert!(
                reported
                    .iter()
                    .any(|it| it.starts_with("descriptor 3 is a pipe"))
            );
            assert!(!reported.iter().any(|it| it.starts_with("variable HOME=")));
            if n % 10 == 0 {
                release(held(template.fork()));
                let refused = template.fork().exec("no-such-program").spawn();
                refused.blocking().unwrap_err();
            }
        }
    }
    scene.must_return();
}

#[test]
fn many_at_once() {
    let _alone = alone();
    let scene = Scene::early();
    let template = Process::new().unwrap().env("A", "1");
    let template = &template;
    std::thread::scope(|scope| {
        for n in 0..4 {
            scope.spawn(move || {
                for m in 0..10 {
                    let mut command = template.fork().exec("printenv");
                    command.args(["A", "B"]).env("B", format!("{n} {m}"));
                    assert_eq!(text(&mut command), format!("1\n{n} {m}\n"));
                }
            });
        }
    });
    let around = Scene::settled(scene.template());
    let runtime = runtime_of_two();
    let launches = (0..50).map(|n| {
        let output = template.fork().exec("echo").arg(n.to_string()).output();
        let output = runtime.spawn(async { output.await });
        (n, output)
    });
    let launches: Vec<_> = launches.collect();
    for (n, output) in launches {
        let output = bounded("output", || runtime.block_on(output)).unwrap();
        assert_eq!(output.unwrap().stdout, format!("{n}\n").into_bytes());
    }
    drop(runtime);
    around.must_return();
}

#[test]
fn nested_preparations_add_up() {
    let _alone = alone();
    let outer = Process::new().unwrap().env("A", "1").env("B", "1");
    let inner = outer.fork().env("B", "2").current_dir("/usr");
    let innermost = inner
        .fork()
        .env_remove("A")
        .init(prepare::NAME, args!["x", "/"]);
    let all = |process: &Process| {
        let script = "echo ${A-none} ${B-none} ${PREPARED-none}; pwd -P";
        text(process.fork().exec("sh").args(["-c", script]))
    };
    for _ in 0..2 {
        let here = std::env::current_dir().unwrap();
        assert_eq!(all(&outer), format!("1 1 none\n{}\n", here.display()));
        assert_eq!(all(&inner), "1 2 none\n/usr\n");
        assert_eq!(all(&innermost), "none 2 x\n/\n");
    }
}

#[test]
fn the_command_goes_before_the_preparation() {
    let _alone = alone();
    let folder = Folder::new(env!("CARGO_TARGET_TMPDIR"), "before");
    let process = || {
        let out = fs::File::create(folder.join("process")).unwrap();
        Process::new()
            .unwrap()
            .env("A", "process")
            .env("B", "process")
            .current_dir("/")
            .stdout(out)
            .stderr(Stdio::null())
    };
    for mut command in [process().exec("sh"), process().fork().exec("sh")] {
        let script = "echo $A $B; pwd -P; echo told >&2";
        command.args(["-c", script]).env("A", "command");
        assert!(command.status().blocking().unwrap().success());
        let printed = fs::read_to_string(folder.join("process")).unwrap();
        assert_eq!(printed, "command process\n/\n");
        // Unless the command has another.
        let out = fs::File::create(folder.join("command")).unwrap();
        command
            .stdout(out)
            .stderr(Stdio::piped())
            .current_dir("/usr");
        let output = command.output().blocking().unwrap();
        assert_eq!(output.stderr, b"told\n");
        let printed = fs::read_to_string(folder.join("command")).unwrap();
        assert_eq!(printed, "command process\n/usr\n");
        let cleared = command.env_clear().env("B", "command").output();
        assert!(cleared.blocking().unwrap().status.success());
        let printed = fs::read_to_string(folder.join("command")).unwrap();
        assert_eq!(printed, "command process\n/usr\ncommand\n/usr\n");
    }
}

/// In a program of its own, for the caller changes, too.
#[test]
fn the_rest_is_what_the_caller_has_now() {
    for path in [
        env!("CARGO_BIN_EXE_inherits_now"),
        env!("CARGO_BIN_EXE_inherits_late"),
    ] {
        let folder = Folder::new(env!("CARGO_TARGET_TMPDIR"), "prepared");
        succeed(program(path, "prepared").arg(&*folder).arg(TELL));
    }
}

#[test]
fn a_process_that_was_handed_over() {
    let _alone = alone();
    let template = Process::new().unwrap().env("A", "1").send_arg("-c");
    let template = Process::from_fd(template.into_fd().unwrap()).unwrap();
    for _ in 0..3 {
        let mut command = template.fork().exec("sh");
        // After what was collected.
        assert_eq!(text(command.arg("echo $A")), "1\n");
    }
}

#[anyfork::worker]
fn run_in_worker(mut socket: UnixStream) -> anyfork::Result<()> {
    let output = Command::new("echo").arg("from a worker").output();
    socket.write_all(&output.blocking()?.stdout)?;
    let template = Process::new()?.env("A", "1");
    let output = template.fork().exec("printenv").arg("A").output();
    socket.write_all(&output.blocking()?.stdout)?;
    Ok(())
}

#[test]
fn a_worker_has_commands_of_its_own() {
    let _alone = alone();
    let scene = Scene::early();
    let mut worker = run_in_worker::run(Process::new().unwrap())
        .blocking()
        .unwrap();
    let mut text = String::new();
    bounded("a worker", || worker.socket.read_to_string(&mut text)).unwrap();
    assert_eq!(text, "from a worker\n1\n");
    assert!(worker.wait().unwrap().success());
    drop(worker);
    scene.must_return();
}

/// A child that waits for the end of its stdin, with a child of its own that
/// holds the other pipe.
fn group() -> (blocking::Child, io::PipeReader) {
    let (read, write) = io::pipe().unwrap();
    let mut command = Process::new().unwrap().process_group(0).exec("sh");
    command.args(["-c", "sleep 1000 & sleep 1000 & echo; wait"]);
    let child = command.stdin(Stdio::null()).stdout(write).spawn();
    let (child, mut read) = (child.blocking().unwrap(), read);
    read.read_exact(&mut [0]).unwrap();
    (child, read)
}

#[test]
fn a_group_gets_its_signal() {
    let _alone = alone();
    let scene = Scene::early();
    let (mut child, mut read) = group();
    child.signal_group(libc::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGTERM));
    // All of them have held it.
    let end = bounded("the end of the group", || read.read(&mut [0]));
    assert_eq!(end.unwrap(), 0);
    child.signal_group(libc::SIGTERM).unwrap();
    drop((child, read));
    scene.must_return();
}

#[test]
fn an_exit_is_reported_as_of_a_worker() {
    let _alone = alone();
    let scene = Scene::early();
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exit 3",
    ]);
    let exit = bounded("status", || command.status().blocking()).unwrap();
    assert_eq!((exit.code(), exit.signal()), (Some(3), None));
    assert!(exit.failure().is_none());
    let usage = exit.usage();
    assert!(usage.user_time + usage.system_time > Duration::ZERO);
    assert!(usage.peak_memory > 64 * 1024, "{usage:?}");

    let mut command = Command::new("cat");
    let child = command.stdin(Stdio::piped()).spawn().blocking();
    let mut child = child.unwrap();
    assert!(child.try_wait().unwrap().is_none());
    assert!(child.stdin.is_some() && child.stdout.is_none());
    assert_eq!(status(child.pid(), "Name"), "cat");
    child.signal(libc::SIGSTOP).unwrap();
    until("it has stopped", || {
        status(child.pid(), "State").starts_with('T')
    });
    child.signal(libc::SIGCONT).unwrap();
    let other = child.handle();
    assert!(
        other
            .wait_timeout(Duration::from_millis(1))
            .unwrap()
            .is_none()
    );
    // `wait` closes its stdin.
    let exit = bounded("wait", || child.wait()).unwrap();
    assert!(exit.success());
    assert_eq!(other.wait().unwrap(), exit);
    assert_eq!(child.try_wait().unwrap(), Some(exit));
    child.kill().unwrap();
    child.signal(libc::SIGTERM).unwrap();
    drop((child, other));
    scene.must_return();
}

#[test]
fn an_end_is_awaited() {
    let _alone = alone();
    let scene = Scene::early();
    bounded("the runtime", || {
        runtime_of_two().block_on(async {
            let mut command = Command::new("cat");
            let spawned = command.stdin(Stdio::piped()).spawn();
            let mut child: Child = spawned.await.unwrap();
            assert!(child.try_wait().unwrap().is_none());
            assert!(child.wait().await.unwrap().success());
            let mut child = command.spawn().await.unwrap();
            child.kill().await.unwrap();
            let exit = child.wait().await.unwrap();
            assert_eq!(exit.signal(), Some(libc::SIGKILL));
            let exit = Command::new("false").status().await.unwrap();
            assert_eq!(exit.code(), Some(1));
        });
    });
    scene.must_return();
}
