//! A program that gives up what it may do, as its first argument says, and asserts
//! that no child of its may do more: of a template that was made before, or after.
//!
//! The second argument is the template that it begins with, `early` or `exec`, the
//! third an empty folder.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command as Std, Output};
use std::thread;

use anyfork::{Command, ErrorKind, Process};
use anyfork_tests::rights::{NOBODY, refuse};
use anyfork_tests::{bounded, has_ended, held, new, release, template_of, text_of, until};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid, chroot, setegid, seteuid, setgid, setgroups, setuid};

#[anyfork::early]
fn main() {
    let args: Vec<String> = env::args().collect();
    let [_, what, template, folder] = &args[..] else {
        panic!("{args:?}");
    };
    if template == "exec" {
        Process::end_early();
    }
    let folder = Path::new(folder);
    let before = Before::new();
    match what.as_str() {
        "user" => {
            become_nobody();
            before.must_be_over();
            is_nobody();
        }
        "effective user" => {
            setegid(Gid::from_raw(NOBODY)).expect("root may do that");
            seteuid(Uid::from_raw(NOBODY)).expect("root may do that");
            before.must_be_over();
        }
        "groups" => {
            setgroups(&[Gid::from_raw(NOBODY)]).expect("root may do that");
            before.must_be_over();
        }
        "privileges" => {
            no_new_privileges();
            before.must_be_over();
        }
        "capabilities" => {
            drop_capability(true);
            before.must_be_over();
        }
        "bounding set" => {
            drop_capability(false);
            before.must_be_over();
        }
        "seccomp" => {
            no_new_privileges();
            let before = Before::new();
            refuse(libc::SYS_linkat, libc::ENOTSUP).expect("a filter");
            before.must_be_over();
            assert_eq!(text_of(link::run(new())), link_nothing());
            assert_eq!(link_nothing(), "Unsupported");
        }
        "mounts" => {
            private_mounts();
            before.must_be_over();
        }
        "jail" => {
            jail(folder);
            before.must_be_over();
        }
        "empty jail" => {
            enter(folder);
            in_an_empty_jail(before);
        }
        "thread" => {
            let thread = thread::spawn(|| {
                no_new_privileges();
                compare(new());
            });
            thread.join().expect("no panic");
            before.must_be_over();
        }
        other => panic!("{other}"),
    }
}

/// What there is before anything is given up.
struct Before {
    process: Process,
    template: u32,
}

impl Before {
    fn new() -> Before {
        Before {
            process: new(),
            template: template_of_new(),
        }
    }

    /// Who is started now has no more than this process, and who had more is gone.
    fn must_be_over(self) {
        compare(self.process);
        compare(new());
        until("the old template is gone", || has_ended(self.template));
        // One has taken its place, and not one each time.
        let template = template_of_new();
        assert_eq!(template_of_new(), template);
    }
}

fn template_of_new() -> u32 {
    let worker = held(new());
    let template = template_of(&worker);
    release(worker);
    template
}

/// What is looked at of a process.
const FIELDS: &[&str] = &[
    "Uid",
    "Gid",
    "Groups",
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
];

const PROGRAMS: [&[&str]; 3] = [
    &["cat", "/proc/self/status"],
    &["readlink", "/proc/self/ns/mnt"],
    &["stat", "-Lc", "root %d:%i", "/."],
];

/// Tells the same as the programs.
#[anyfork::worker]
fn look(mut socket: UnixStream) -> io::Result<()> {
    let mounts = fs::read_link("/proc/self/ns/mnt")?;
    let root = fs::metadata("/.")?;
    let status = fs::read_to_string("/proc/self/status")?;
    let root = format!("root {}:{}", root.dev(), root.ino());
    write!(socket, "{status}{}\n{root}\n", mounts.display())
}

fn rights(text: &str) -> Vec<String> {
    let is_wanted = |line: &&str| {
        let field = line.split(':').next().unwrap_or_default();
        FIELDS.contains(&field) || field == "mnt" || line.starts_with("root ")
    };
    let wanted = text.lines().filter(is_wanted);
    wanted.map(|line| line.trim_end().to_owned()).collect()
}

/// Asserts that a worker and programs are what a program of std's is.
fn compare(process: Process) {
    let all = |output: &dyn Fn(&[&str]) -> Output| {
        let texts = PROGRAMS.map(|args| String::from_utf8(output(args).stdout).expect("UTF-8"));
        rights(&texts.concat())
    };
    let ours = |mut command: Command, args: &[&str]| {
        let output = command.args(&args[1..]).output();
        bounded("a command", || output.blocking()).expect("a program")
    };
    let std = all(&|args| {
        Std::new(args[0])
            .args(&args[1..])
            .output()
            .expect("a program")
    });
    assert_eq!(std.len(), FIELDS.len() + 2, "{std:?}");
    assert_eq!(
        all(&|args| ours(Command::new(args[0]), args)),
        std,
        "a command"
    );
    assert_eq!(
        all(&|args| ours(new().exec(args[0]), args)),
        std,
        "a program"
    );
    assert_eq!(rights(&text_of(look::run(process))), std, "a worker");
}

fn become_nobody() {
    setgroups(&[]).expect("root may do that");
    setgid(Gid::from_raw(NOBODY)).expect("root may do that");
    setuid(Uid::from_raw(NOBODY)).expect("root may do that");
}

#[anyfork::worker]
fn read_shadow(mut socket: UnixStream) -> io::Result<()> {
    let read = fs::read(SHADOW).map(drop);
    write!(socket, "{read:?}")
}

/// What only root may read.
const SHADOW: &str = "/etc/shadow";

fn is_nobody() {
    let mine = fs::read(SHADOW).expect_err("it is not for everybody");
    let workers = text_of(read_shadow::run(new()));
    assert_eq!(workers, format!("Err({mine:?})"));
    let cat = Command::new("cat").arg(SHADOW).output().blocking();
    let cat = cat.expect("a program");
    assert!(!cat.status.success() && cat.stdout.is_empty());
    // It is its own master.
    let mut sleeper = Command::new("sleep")
        .arg("600")
        .spawn()
        .blocking()
        .expect("a program");
    sleeper.kill().expect("it is this user's");
    let mut worker = held(new());
    worker.kill().expect("it is this user's");
    let error = Process::early().expect_err("it has other rights");
    assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}");
    assert!(error.to_string().contains("given up rights"), "{error}");
}

fn no_new_privileges() {
    // SAFETY: takes numbers.
    let set = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(set, 0);
}

/// Gives up `CAP_MKNOD` as something that programs may have, and, with `own`, as
/// what this process itself has.
fn drop_capability(own: bool) {
    const CAP_MKNOD: libc::c_ulong = 27;
    // SAFETY: takes numbers.
    let dropped = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, CAP_MKNOD, 0, 0, 0) };
    assert_eq!(dropped, 0);
    if !own {
        return;
    }
    /// `_LINUX_CAPABILITY_VERSION_3`.
    const VERSION: u32 = 0x2008_0522;
    // Effective, permitted and inheritable, of the lower and of the higher ones.
    let (header, mut sets) = ([VERSION, 0], [[0u32; 3]; 2]);
    // SAFETY: reads a header and fills an array of the kernel's layout.
    let got = unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr()) };
    assert_eq!(got, 0);
    sets[0].iter_mut().for_each(|set| *set &= !(1 << CAP_MKNOD));
    // SAFETY: reads both.
    let set = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) };
    assert_eq!(set, 0);
}

/// What becomes of a call that was given up.
fn link_nothing() -> String {
    let linked = fs::hard_link("/no/such/file", "/no/such/link");
    format!("{:?}", linked.expect_err("there is no such file").kind())
}

#[anyfork::worker]
fn link(mut socket: UnixStream) -> io::Result<()> {
    write!(socket, "{}", link_nothing())
}

/// Has mounts of its own, which nobody else sees.
fn private_mounts() {
    let none = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS).expect("root may do that");
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(none, "/", none, flags, none).expect("a namespace of its own");
}

fn enter(folder: &Path) {
    chroot(folder).expect("root may do that");
    env::set_current_dir("/").expect("a directory");
}

/// Enters a folder that has the system's folders, and no others.
fn jail(folder: &Path) {
    private_mounts();
    let none = None::<&str>;
    for name in ["bin", "dev", "lib", "lib64", "proc", "sbin", "usr"] {
        let (outside, inside) = (Path::new("/").join(name), folder.join(name));
        match fs::read_link(&outside) {
            Ok(target) => symlink(target, inside).expect("a link"),
            Err(_) if outside.is_dir() => {
                fs::create_dir(&inside).expect("a folder");
                let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
                mount(Some(&outside), &inside, none, flags, none).expect("a folder");
            }
            Err(_) => {}
        }
    }
    enter(folder);
    assert!(!PathBuf::from(SHADOW).exists());
}

/// There is nothing to make a template of.
fn in_an_empty_jail(before: Before) {
    let std = Std::new("/bin/sh").status().expect_err("nothing is here");
    let errors = [
        before.process.run("hold").blocking().map(drop),
        Command::new("/bin/sh").status().blocking().map(drop),
        Process::new().map(drop),
    ];
    for error in errors {
        let error = error.expect_err("nothing is here");
        assert_eq!(error.kind(), ErrorKind::ExecFailed, "{error}");
        for words in ["given up rights", "keep_rights"] {
            assert!(error.to_string().contains(words), "{error}");
        }
        assert_eq!(io::Error::from(error).kind(), std.kind());
    }
    // There is no `/proc` here: who has started this program looks.
    println!("template {}", before.template);
}
