//! A program may be asked to have everything at once that a command can set, and finds it so,
//! whether it is started by vfork or, after an init function, by fork.

use std::collections::HashMap;
use std::fs;
use std::future::IntoFuture;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyfork::{Command, ErrorKind, Stdio};
use anyfork_tests::births::Folder;
use anyfork_tests::rights::{NOBODY, has, may_become_nobody};
use anyfork_tests::{Scene, alone, bounded, has_ended, runtime, status, until};
use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};

#[anyfork::early]
fn preload() {}

/// Runs between fork and exec, so that the program is started by a fork.
#[anyfork::init]
fn forked() {}

const LONG: Duration = Duration::from_secs(1000);

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// Both ways to start a program.
fn both(command: impl Fn() -> Command, test: impl Fn(Command)) {
    let scene = Scene::early();
    for forks in [false, true] {
        let mut command = command();
        if forks {
            command.init(forked::NAME, ());
        }
        test(command);
        scene.must_return();
    }
}

/// A program's root directory, in which there is `cat`.
fn root_with_cat(name: &str) -> (Folder, PathBuf) {
    let folder = Folder::new(env!("CARGO_TARGET_TMPDIR"), name);
    let root = folder.join(".").canonicalize().unwrap();
    let script = "p=$(command -v cat); echo $p; ldd $p";
    let files = bounded("files", || sh(script).output().blocking()).unwrap();
    let files = String::from_utf8(files.stdout).unwrap();
    let files = files.split_whitespace();
    for file in files.filter(|word| word.starts_with('/')) {
        let copy = root.join(&file[1..]);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(file, &copy).unwrap();
    }
    fs::create_dir(root.join("inside")).unwrap();
    (folder, root)
}

fn proc(pid: u32, name: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap()
}

fn link(pid: u32, name: &str) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/{name}")).unwrap()
}

#[test]
fn every_setting() {
    /// To change the root directory (capabilities(7)).
    const SYS_CHROOT: u32 = 18;
    let _alone = alone();
    let is_root = has(SYS_CHROOT) && may_become_nobody();
    let (_folder, root) = root_with_cat("all-at-once");
    let cpus = status(std::process::id(), "Cpus_allowed_list");
    let first: u32 = cpus.split(['-', ',']).next().unwrap().parse().unwrap();
    let command = || {
        let mut command = Command::new("cat");
        command.env_clear().env("PATH", "/bin:/usr/bin");
        command.env("COLOR", "red").arg0("dog");
        command.umask(0o27).setsid(true).no_new_privs(true);
        command
            .ignore_signal(libc::SIGHUP)
            .ignore_signal(libc::SIGTERM);
        command.oom_score_adj(700).affinity([first]).nice(3);
        command.rlimit(libc::RLIMIT_CORE, 0, 0).kill_on_drop(true);
        command.current_dir("/");
        if is_root {
            command.chroot(&root).current_dir("inside");
            command.uid(NOBODY).gid(NOBODY).groups([NOBODY]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    };
    both(command, |mut command| {
        let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let mut terminal = fs::OpenOptions::new();
        let terminal = terminal.read(true).write(true);
        let terminal = std::os::unix::fs::OpenOptionsExt::custom_flags(terminal, libc::O_NOCTTY);
        let terminal = terminal.open(ptsname_r(&master).unwrap()).unwrap();
        let (mut inherited, write) = std::io::pipe().unwrap();
        let nine = write.try_clone().unwrap();
        command.controlling_terminal(terminal).fd(9, nine);
        drop(write);
        let mut child = bounded("a start", || command.spawn().blocking()).unwrap();
        // Its own copies of the descriptors end with it.
        drop(command);
        let pid = child.pid();
        let stdin = child.stdin.as_mut().unwrap();
        stdin.write_all(b"?").unwrap();
        let stdout = child.stdout.as_mut().unwrap();
        bounded("its answer", || stdout.read_exact(&mut [0])).unwrap();

        assert_eq!(status(pid, "Umask"), "0027");
        assert_eq!(status(pid, "NoNewPrivs"), "1");
        assert_eq!(status(pid, "Cpus_allowed_list"), first.to_string());
        let ignored = u64::from_str_radix(&status(pid, "SigIgn"), 16).unwrap();
        for signal in [libc::SIGHUP, libc::SIGTERM] {
            assert_ne!(ignored >> (signal - 1) & 1, 0);
        }
        assert_eq!(proc(pid, "oom_score_adj"), "700\n");
        assert_eq!(proc(pid, "cmdline"), "dog\0");
        assert_eq!(anyfork_tests::nice_of(pid), 3);
        assert_eq!(anyfork_tests::limits(pid, "Max core file size"), ["0", "0"]);
        let stat = proc(pid, "stat");
        let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let places = [fields[2], fields[3]].map(|it| it.parse::<u32>().unwrap());
        assert_eq!(places, [pid, pid]);
        assert_ne!(fields[4], "0", "it has a terminal");
        let environment = proc(pid, "environ");
        let mut environment: Vec<_> = environment.split_terminator('\0').collect();
        environment.sort_unstable();
        assert_eq!(environment, ["COLOR=red", "PATH=/bin:/usr/bin"]);
        if is_root {
            assert_eq!(link(pid, "root"), root);
            assert_eq!(link(pid, "cwd"), root.join("inside"));
            let id = NOBODY.to_string();
            for field in ["Uid", "Gid"] {
                let ids = status(pid, field);
                assert!(ids.split_whitespace().all(|it| it == id), "{ids}");
            }
            assert_eq!(status(pid, "Groups").trim(), id);
            assert_eq!(status(pid, "CapEff").trim_start_matches('0'), "");
        }
        assert!(link(pid, "fd/9").to_str().unwrap().starts_with("pipe:"));
        drop(child.stdin.take());
        let exit = bounded("its exit", || child.wait()).unwrap();
        assert!(exit.success(), "{exit:?}");
        assert_eq!(inherited.read(&mut [0]).unwrap(), 0);
    });
}

/// Ignores SIGTERM, leaves a daemon in a session of its own behind that ignores SIGHUP, closes
/// its output early, or prints without end.
#[test]
fn every_bound() {
    let _alone = alone();
    let scripts = [
        (
            "trap '' TERM; echo up; while :; do sleep 1; done",
            ErrorKind::TimedOut,
        ),
        (
            "echo up; exec >&- 2>&-; exec sleep 1000",
            ErrorKind::TimedOut,
        ),
        ("echo up; kill -STOP $$", ErrorKind::TimedOut),
        ("echo up; exec cat /dev/zero", ErrorKind::TooLarge),
        ("echo up; exec cat /dev/zero >&2", ErrorKind::TooLarge),
    ];
    for (script, kind) in scripts {
        for awaits in [false, true] {
            let command = || {
                let mut command = sh(script);
                command.input(vec![b'x'; 1 << 20]);
                command
                    .time_limit(Duration::from_millis(200))
                    .grace(Duration::from_millis(20));
                command.output_limit(1 << 20).drain_limit(Duration::ZERO);
                command
                    .umask(0o77)
                    .ignore_signal(libc::SIGHUP)
                    .oom_score_adj(500);
                command
            };
            both(command, |mut command| {
                let launch = command.output();
                drop(command);
                let result = bounded("an output", || match awaits {
                    true => runtime().block_on(launch.into_future()),
                    false => launch.blocking(),
                });
                let error = result.unwrap_err();
                // On a busy machine it may not have come so far in time.
                let kinds = [kind, ErrorKind::TimedOut];
                assert!(kinds.contains(&error.kind()), "{error}");
                if let Some(output) = error.output()
                    && error.kind() == kind
                    && !output.stdout.is_empty()
                {
                    assert!(output.stdout.starts_with(b"up\n"), "{error}");
                    assert!(output.stdout.len() <= 1 << 20);
                }
            });
        }
    }
}

#[test]
fn a_daemon_that_is_left_behind() {
    let _alone = alone();
    let script = "setsid sh -c 'echo $$; exec sleep 1000' & read x; echo done";
    for awaits in [false, true] {
        let command = || {
            let mut command = sh(script);
            command.input("\n").time_limit(LONG).grace(LONG);
            command
                .output_limit(1000)
                .drain_limit(Duration::from_millis(100));
            command
        };
        both(command, |mut command| {
            let launch = command.output();
            let output = bounded("an output", || match awaits {
                true => runtime().block_on(launch.into_future()),
                false => launch.blocking(),
            });
            let output = output.unwrap();
            assert!(output.status.success());
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(text.lines().any(|it| it == "done"), "{text}");
            // Its own session is not the program's group: it goes on.
            if let Some(pid) = text.lines().find_map(|it| it.parse::<u32>().ok()) {
                assert!(!has_ended(pid));
                anyfork_tests::send_signal(pid, libc::SIGKILL);
                until("it ends", || has_ended(pid));
            } else {
                let name = |it: &u32| proc(*it, "cmdline").contains("sleep\x001000");
                assert!(!anyfork_tests::children(1).keys().any(name));
            }
        });
    }
}

#[test]
fn a_hundred_mebibytes_of_each_stream() {
    let _alone = alone();
    const SIZE: usize = 100 << 20;
    let script = format!("head -c {SIZE} /dev/zero & head -c {SIZE} /dev/zero >&2; wait");
    let command = || {
        let mut command = sh(&script);
        command.output_limit(SIZE).time_limit(LONG);
        command
    };
    both(command, |mut command| {
        let output = bounded("an output", || command.output().blocking()).unwrap();
        assert_eq!((output.stdout.len(), output.stderr.len()), (SIZE, SIZE));
        assert!(output.stdout == output.stderr);
    });
}

#[test]
fn sixteen_thousand_variables() {
    let _alone = alone();
    let value = "v".repeat(20);
    let command = || {
        let mut command = Command::new("env");
        command.arg("-0").env_clear().env("PATH", "/bin:/usr/bin");
        for n in 0..16_000 {
            command.env(format!("VARIABLE_{n}"), &value);
        }
        command.env("VARIABLE_7", "seven").env_remove("VARIABLE_8");
        command
    };
    both(command, |mut command| {
        for awaits in [false, true] {
            let launch = command.output();
            let output = bounded("an output", || match awaits {
                true => runtime().block_on(launch.into_future()),
                false => launch.blocking(),
            });
            let output = String::from_utf8(output.unwrap().stdout).unwrap();
            let found: HashMap<_, _> = output
                .split_terminator('\0')
                .map(|it| it.split_once('=').unwrap())
                .collect();
            assert_eq!(found.len(), 16_000);
            assert_eq!(found["VARIABLE_7"], "seven");
            assert!(!found.contains_key("VARIABLE_8"));
            assert_eq!(found["VARIABLE_15999"], value);
        }
    });
}

#[test]
fn a_relative_program_with_a_directory() {
    let _alone = alone();
    let folder = Folder::new(env!("CARGO_TARGET_TMPDIR"), "relative");
    let root = folder.join(".").canonicalize().unwrap();
    fs::create_dir(root.join("sub")).unwrap();
    fs::copy("/bin/cat", root.join("sub/cat")).unwrap();
    fs::write(root.join("sub/text"), "inside").unwrap();
    for program in ["./cat", "../sub/cat"] {
        let command = || {
            let mut command = Command::new(program);
            command.arg("text").current_dir(root.join("sub"));
            command
        };
        both(command, |mut command| {
            let output = bounded("an output", || command.output().blocking()).unwrap();
            assert_eq!(output.stdout, b"inside");
        });
    }
}

#[test]
fn a_command_is_started_again() {
    let _alone = alone();
    both(
        || sh("echo \"$@\"; cat"),
        |mut command| {
            let mut expected = Vec::new();
            for n in ["one", "two", "three"] {
                // The first one after the script is the script's name.
                command.arg(n).input(n);
                expected.push(n);
                let output = bounded("an output", || command.output().blocking()).unwrap();
                let printed = format!("{}\n{n}", expected[1..].join(" "));
                assert_eq!(String::from_utf8(output.stdout).unwrap(), printed);
                assert_eq!(command.get_args().len(), expected.len() + 2);
            }
        },
    );
}
