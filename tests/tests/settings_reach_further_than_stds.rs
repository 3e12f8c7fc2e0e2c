//! Umask, session, terminal, root directory, privileges, ignored signals, cgroup, OOM score
//! and processors are those of a program and of a worker before any other code runs, however
//! the program is started; what the system refuses is named, and leaves no process.

use std::fs;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use anyfork::{Command, ErrorKind, Stdio, blocking};
use anyfork_tests::births::Folder;
use anyfork_tests::rights::{NOBODY, SYS_RESOURCE, has, may, may_become_nobody};
use anyfork_tests::{Scene, alone, bounded, byte_of, error_number, look_at, new, status, until};
use nix::fcntl::OFlag;
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::unistd::{getpid, getsid};

#[anyfork::early]
fn preload() {}

/// Runs between fork and exec, so that the program is started by a fork.
#[anyfork::init]
fn forked() {}

/// A command as it is, and one that is started by a fork; from the default template, and from
/// a process that is prepared.
fn each(program: &str, test: impl Fn(Command)) {
    let scene = Scene::early();
    for n in 0..4 {
        let mut command = match n / 2 {
            0 => Command::new(program),
            _ => new().env("PREPARED", "1").fork().exec(program),
        };
        if n % 2 == 1 {
            command.init(forked::NAME, ());
        }
        test(command);
        scene.must_return();
    }
}

fn output(command: &mut Command) -> Output {
    let launch = command.output();
    let output = bounded("output", || launch.blocking()).unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

fn text(command: &mut Command) -> String {
    String::from_utf8(output(command).stdout).unwrap()
}

/// A field of what a program finds in its `/proc/self/status`.
fn field(command: &mut Command, name: &str) -> String {
    let text = text(command.arg("/proc/self/status"));
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
    value.unwrap().to_owned()
}

#[test]
fn a_umask() {
    let _alone = alone();
    each("cat", |mut command| {
        assert_eq!(field(command.umask(0o123).umask(0o27), "Umask"), "0027");
    });
    let umask = |worker: &blocking::Worker| status(worker.pid(), "Umask");
    assert_eq!(look_at(new().umask(0o77), umask), "0077");
    // A template's forks have it, and so do their programs.
    let template = new().umask(0o7);
    assert_eq!(look_at(template.fork(), umask), "0007");
    let mut command = template.fork().exec("cat");
    assert_eq!(field(&mut command, "Umask"), "0007");
}

/// pid, process group, session and terminal of a program (proc_pid_stat(5)).
fn places(text: &str) -> [i32; 4] {
    let (pid, rest) = text.split_once(' ').unwrap();
    let (_, rest) = rest.rsplit_once(") ").unwrap();
    let fields: Vec<_> = rest.split(' ').collect();
    [pid, fields[2], fields[3], fields[4]].map(|field| field.parse().unwrap())
}

#[test]
fn a_session() {
    let _alone = alone();
    each("cat", |mut command| {
        let command = command.arg("/proc/self/stat");
        let [_, _, session, _] = places(&text(command.setsid(true).setsid(false)));
        assert_eq!(session, getsid(None).unwrap().as_raw());
        let [pid, group, session, terminal] = places(&text(command.setsid(true).setsid(true)));
        assert_eq!([group, session, terminal], [pid, pid, 0]);
        // It leads a group already.
        let error = command.process_group(0).status().blocking().unwrap_err();
        assert!(error.to_string().contains("set process_group 0"), "{error}");
    });
    let session = |worker: &blocking::Worker| {
        let stat = fs::read_to_string(format!("/proc/{}/stat", worker.pid())).unwrap();
        let [pid, group, session, _] = places(&stat);
        [group == pid, session == pid]
    };
    assert_eq!(look_at(new().setsid(true), session), [true, true]);
    let template = new().setsid(true);
    assert_eq!(look_at(template.fork(), session), [false, false]);
    assert_eq!(look_at(template.fork().setsid(true), session), [true, true]);
}

/// A terminal: its two ends.
fn terminal() -> (PtyMaster, OwnedFd) {
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname_r(&master).unwrap();
    let mut options = fs::OpenOptions::new();
    let options = options.read(true).write(true).custom_flags(libc::O_NOCTTY);
    (master, options.open(name).unwrap().into())
}

#[test]
fn a_terminal() {
    let _alone = alone();
    each("sh", |mut command| {
        let (mut master, terminal) = terminal();
        // Reading gives an error while nobody has it open.
        let held = terminal.try_clone().unwrap();
        let script = "cat /proc/$$/stat; echo here >/dev/tty; read answer </dev/tty";
        command.args(["-c", script]).stdout(Stdio::piped());
        let launch = command.controlling_terminal(terminal).spawn();
        let child = launch.blocking().unwrap();
        drop(command);
        assert_eq!(byte_of(&mut master), b'h');
        master.write_all(b"\n").unwrap();
        let output = bounded("output", || child.wait_with_output()).unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let [pid, group, session, terminal] = places(&text);
        assert_eq!([group, session], [pid, pid]);
        assert_ne!(terminal, 0);
        drop(held);
    });
    each("true", |mut command| {
        let (read, _write) = io::pipe().unwrap();
        let error = command
            .controlling_terminal(read)
            .status()
            .blocking()
            .unwrap_err();
        assert_eq!(error_number(&error), Some(libc::ENOTTY));
        assert!(
            error.to_string().contains("set controlling_terminal"),
            "{error}"
        );
    });
}

#[test]
fn no_new_privileges() {
    let _alone = alone();
    each("cat", |mut command| {
        command.no_new_privs(true);
        assert_eq!(field(&mut command, "NoNewPrivs"), "1");
    });
    each("cat", |mut command| {
        command.no_new_privs(true).no_new_privs(false);
        assert_eq!(
            field(&mut command, "NoNewPrivs"),
            status(std::process::id(), "NoNewPrivs")
        );
    });
    let privileges = |worker: &blocking::Worker| status(worker.pid(), "NoNewPrivs");
    assert_eq!(look_at(new().no_new_privs(true), privileges), "1");
}

fn is_ignored(set: &str, signal: i32) -> bool {
    u64::from_str_radix(set, 16).unwrap() >> (signal - 1) & 1 != 0
}

#[test]
fn ignored_signals() {
    let _alone = alone();
    let signals = [libc::SIGHUP, libc::SIGPIPE, libc::SIGCHLD, libc::SIGTERM];
    each("cat", |mut command| {
        let set = field(&mut command, "SigIgn");
        let own = status(std::process::id(), "SigIgn");
        let differs = |signal| is_ignored(&set, signal) != is_ignored(&own, signal);
        assert!(!is_ignored(&set, libc::SIGPIPE));
        assert!(
            ![libc::SIGHUP, libc::SIGCHLD, libc::SIGTERM]
                .into_iter()
                .any(differs)
        );
    });
    each("cat", |mut command| {
        let signals = &signals[..3];
        for signal in signals {
            command.ignore_signal(*signal);
        }
        let set = field(&mut command, "SigIgn");
        assert!(
            signals.iter().all(|signal| is_ignored(&set, *signal)),
            "{set}"
        );
    });
    for signal in [0, -1, libc::SIGKILL, libc::SIGSTOP, 32, 65] {
        each("true", |mut command| {
            let error = command
                .ignore_signal(signal)
                .status()
                .blocking()
                .unwrap_err();
            assert_eq!(error_number(&error), Some(libc::EINVAL));
            let text = format!("set ignore_signal {signal}");
            assert!(error.to_string().contains(&text), "{error}");
        });
    }
}

/// A template still learns how its children exit.
#[test]
fn ignored_signals_of_a_template() {
    let _alone = alone();
    let signals = [libc::SIGHUP, libc::SIGPIPE, libc::SIGCHLD, libc::SIGTERM];
    let template = signals
        .iter()
        .fold(new(), |it, signal| it.ignore_signal(*signal));
    let set = look_at(template.fork(), |worker| status(worker.pid(), "SigIgn"));
    assert!(
        signals.iter().all(|signal| is_ignored(&set, *signal)),
        "{set}"
    );
    for forks in [false, true] {
        let mut command = template.fork().exec("cat");
        if forks {
            command.init(forked::NAME, ());
        }
        let set = field(&mut command, "SigIgn");
        assert!(
            signals.iter().all(|signal| is_ignored(&set, *signal)),
            "{set}"
        );
        let exit = template.fork().exec("sh").args(["-c", "exit 7"]).status();
        assert_eq!(
            bounded("an exit", || exit.blocking()).unwrap().code(),
            Some(7)
        );
    }
}

#[test]
fn processors() {
    let _alone = alone();
    let mine = status(std::process::id(), "Cpus_allowed_list");
    let first: u32 = mine.split(['-', ',']).next().unwrap().parse().unwrap();
    each("cat", |mut command| {
        let list = field(command.affinity([first]), "Cpus_allowed_list");
        assert_eq!(list, first.to_string());
    });
    let list = |worker: &blocking::Worker| status(worker.pid(), "Cpus_allowed_list");
    let found = look_at(new().affinity([first]), list);
    assert_eq!(found, first.to_string());
    for (numbers, text) in [
        (vec![], "set affinity []"),
        (vec![8191], "set affinity [8191]"),
        (vec![0, u32::MAX], "set affinity [0, 4294967295]"),
    ] {
        each("true", |mut command| {
            let error = command
                .affinity(numbers.clone())
                .status()
                .blocking()
                .unwrap_err();
            assert_eq!(error_number(&error), Some(libc::EINVAL));
            assert!(error.to_string().contains(text), "{error}");
        });
    }
}

#[test]
fn an_oom_score() {
    let _alone = alone();
    each("cat", |mut command| {
        command.arg("/proc/self/oom_score_adj").oom_score_adj(900);
        assert_eq!(text(command.oom_score_adj(901)), "901\n");
    });
    let score = |worker: &blocking::Worker| {
        fs::read_to_string(format!("/proc/{}/oom_score_adj", worker.pid())).unwrap()
    };
    let found = look_at(new().oom_score_adj(999), score);
    assert_eq!(found, "999\n");
    each("true", |mut command| {
        let error = command.oom_score_adj(1001).status().blocking().unwrap_err();
        assert_eq!(error_number(&error), Some(libc::EINVAL));
        assert!(
            error.to_string().contains("set oom_score_adj 1001"),
            "{error}"
        );
    });
    if may(SYS_RESOURCE) {
        each("cat", |mut command| {
            command.arg("/proc/self/oom_score_adj").oom_score_adj(-1000);
            assert_eq!(text(&mut command), "-1000\n");
        });
    }
}

/// A cgroup of version 2 for this test; `None`, and says so, if there can be none.
fn cgroup() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let folder = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let folder = fields.nth(1)?;
        (fields.next()? == "cgroup2").then_some(folder)
    });
    let folder = Path::new(folder.unwrap_or("/nowhere")).join(format!("anyfork-{}", getpid()));
    match fs::create_dir(&folder) {
        Ok(()) => Some(folder),
        Err(error) => {
            eprintln!("skipped: no cgroup can be made: {error}");
            None
        }
    }
}

#[test]
fn a_cgroup() {
    let _alone = alone();
    if let Some(folder) = cgroup() {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        each("cat", |mut command| {
            let text = text(command.arg("/proc/self/cgroup").cgroup(&folder));
            assert!(text.contains(&name), "{text}");
        });
        let found = look_at(new().cgroup(&folder), |worker| {
            fs::read_to_string(format!("/proc/{}/cgroup", worker.pid())).unwrap()
        });
        assert!(found.contains(&name), "{found}");
        until("the cgroup is empty", || fs::remove_dir(&folder).is_ok());
    }
    let plain = Folder::new(env!("CARGO_TARGET_TMPDIR"), "no-cgroup");
    for (folder, errno) in [
        (plain.join("."), libc::ENOENT),
        ("/nowhere".into(), libc::ENOENT),
    ] {
        each("true", |mut command| {
            let error = command.cgroup(&folder).status().blocking().unwrap_err();
            assert_eq!(error_number(&error), Some(errno));
            assert!(error.to_string().contains("set cgroup `"), "{error}");
        });
    }
    assert!(!plain.join("cgroup.procs").exists());
}

/// Copies a program, and the libraries that it needs, into a folder.
fn copy_with_libraries(program: &str, to: &Path) {
    let mut ldd = Command::new("sh");
    ldd.args([
        "-c",
        "p=$(command -v \"$1\"); echo \"$p\"; ldd \"$p\"",
        "sh",
        program,
    ]);
    let files = text(&mut ldd);
    for file in files
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
    {
        let copy = to.join(&file[1..]);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(file, &copy).unwrap();
    }
}

#[test]
fn a_root_directory() {
    let _alone = alone();
    each("true", |mut command| {
        let error = command.chroot("/nowhere").status().blocking().unwrap_err();
        let errno = error_number(&error);
        assert!(
            [Some(libc::ENOENT), Some(libc::EPERM)].contains(&errno),
            "{error}"
        );
        assert!(
            error.to_string().contains("set chroot `/nowhere`"),
            "{error}"
        );
    });
    /// To change the root directory (capabilities(7)).
    const SYS_CHROOT: u32 = 18;
    if !has(SYS_CHROOT) {
        return;
    }
    let root = Folder::new(env!("CARGO_TARGET_TMPDIR"), "root");
    let root = root.join(".").canonicalize().unwrap();
    fs::create_dir(root.join("inside")).unwrap();
    fs::write(root.join("inside/mark"), "it is here").unwrap();
    each("cat", |mut command| {
        // There is no program in it yet.
        let error = command
            .chroot(root.join("inside"))
            .status()
            .blocking()
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ExecFailed, "{error}");
        assert_eq!(error_number(&error), Some(libc::ENOENT));
    });
    copy_with_libraries("cat", &root);
    let directories = [Some("inside"), Some("/inside"), None];
    for (directory, file) in directories.into_iter().zip(["mark", "mark", "inside/mark"]) {
        each("cat", |mut command| {
            if let Some(directory) = directory {
                command.current_dir(directory);
            }
            assert_eq!(text(command.arg(file).chroot(&root)), "it is here");
        });
    }
    // Rights are given up after it.
    if may_become_nobody() {
        each("cat", |mut command| {
            command
                .arg("/inside/mark")
                .chroot(&root)
                .uid(NOBODY)
                .gid(NOBODY);
            assert_eq!(text(&mut command), "it is here");
        });
    }
    let link = |worker: &blocking::Worker| {
        let link = |name| fs::read_link(format!("/proc/{}/{name}", worker.pid())).unwrap();
        [link("root"), link("cwd")]
    };
    assert_eq!(
        look_at(new().chroot(&root), link),
        [root.clone(), root.clone()]
    );
    let inside = new().chroot(&root).current_dir("/inside");
    assert_eq!(look_at(inside, link), [root.clone(), root.join("inside")]);
}
