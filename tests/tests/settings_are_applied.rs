//! Environment, directory, process group, limits, nice value and title are those
//! of a process before any code of the user's runs in it, whatever the order of
//! the calls; what was set for a template its forks have, too.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::id;
use std::sync::Mutex;

use anyfork::{Process, blocking};
use anyfork_tests::births::serving;
use anyfork_tests::rights::{SYS_NICE, may};
use anyfork_tests::{held, limits, look_at, new, nice_of, release, text_of};
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::{Pid, getpgid, getpgrp, getsid};

#[anyfork::early]
fn preload() {}

/// What code of the user's has seen here and in the templates before.
static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn note(who: &str) {
    let color = env::var("COLOR").unwrap_or_default();
    let here = env::current_dir().unwrap();
    let line = format!("{who} {color} {} {}", here.display(), nice_of(id()));
    SEEN.lock().unwrap().push(line);
}

#[anyfork::after_fork]
fn forked() {
    note("after_fork");
}

#[anyfork::init]
fn prepared() {
    note("init");
}

/// Tells what was seen before it, and what it sees.
#[anyfork::worker]
fn seen(mut socket: UnixStream) -> io::Result<()> {
    note("worker");
    write!(socket, "{}", SEEN.lock().unwrap().join("\n"))
}

/// Tells its environment, sorted.
#[anyfork::worker]
fn variables(mut socket: UnixStream) -> io::Result<()> {
    let mut all: Vec<_> = env::vars_os()
        .map(|(name, value)| format!("{}={}", name.display(), value.display()))
        .collect();
    all.sort();
    write!(socket, "{}", all.join("\n"))
}

/// The lines that a worker tells.
fn reported(process: Process, name: &str) -> Vec<String> {
    let text = text_of(process.run(name));
    text.lines().map(str::to_owned).collect()
}

fn directory(process: Process) -> PathBuf {
    look_at(process, |worker| {
        fs::read_link(format!("/proc/{}/cwd", worker.pid())).unwrap()
    })
}

fn nice(process: Process) -> i32 {
    look_at(process, |worker| nice_of(worker.pid()))
}

/// The soft and the hard limit of a resource, by its name there.
fn limit(process: Process, name: &str) -> [String; 2] {
    look_at(process, |worker| limits(worker.pid(), name))
}

fn group_of(worker: &blocking::Worker) -> u32 {
    let pid = Pid::from_raw(worker.pid().cast_signed());
    getpgid(Some(pid)).unwrap().as_raw().cast_unsigned()
}

#[test]
fn variables_are_set_and_removed_in_the_calls_order() {
    let inherited = reported(new(), "variables");
    assert!(inherited.iter().any(|it| it.starts_with("PATH=")));
    let with = |more: &[&str]| {
        let mut all = inherited.clone();
        all.extend(more.iter().map(|it| (*it).to_owned()));
        all.sort();
        all
    };
    let one = reported(new().env("ANYFORK_A", "1"), "variables");
    assert_eq!(one, with(&["ANYFORK_A=1"]));
    let several = new().envs([("ANYFORK_A", "x=y"), ("ANYFORK_B", "")]);
    assert_eq!(
        reported(several, "variables"),
        with(&["ANYFORK_A=x=y", "ANYFORK_B="])
    );
    let last = new().env("ANYFORK_A", "1").env("ANYFORK_A", "2");
    assert_eq!(reported(last, "variables"), with(&["ANYFORK_A=2"]));
    let removed = new().env("ANYFORK_A", "1").env_remove("ANYFORK_A");
    assert_eq!(reported(removed, "variables"), inherited);
    let impossible = ["", "=", "A=B", "a\0b"];
    let removed = impossible.into_iter().fold(new(), Process::env_remove);
    assert_eq!(reported(removed, "variables"), inherited);
    let set_again = new().env_remove("ANYFORK_A").env("ANYFORK_A", "1");
    assert_eq!(reported(set_again, "variables"), with(&["ANYFORK_A=1"]));
    let path = reported(new().env_remove("PATH"), "variables");
    assert!(!path.iter().any(|it| it.starts_with("PATH=")));
    assert_eq!(path.len(), inherited.len() - 1);
    let cleared = new().env("ANYFORK_A", "1").env_clear();
    assert!(reported(cleared, "variables").is_empty());
    let cleared = new().env("ANYFORK_A", "1").env_clear().env("B", "2");
    assert_eq!(reported(cleared, "variables"), ["B=2"]);
}

#[test]
fn a_directory_is_relative_to_the_callers() {
    let here = env::current_dir().unwrap();
    assert_eq!(directory(new()), here);
    assert_eq!(directory(new().current_dir("/")), Path::new("/"));
    let sources = here.join("src");
    assert_eq!(directory(new().current_dir(&sources)), sources);
    assert_eq!(directory(new().current_dir("src")), sources);
    // Neither to the one that was named before, nor to the template's.
    let twice = new().current_dir("/").current_dir("src");
    assert_eq!(directory(twice), sources);
    let template = new().current_dir("/");
    let fork = template.fork().current_dir("src");
    assert_eq!(directory(fork), sources);
    assert_eq!(directory(template.fork()), Path::new("/"));
}

#[test]
fn a_process_group_is_made_or_joined() {
    assert_eq!(
        look_at(new(), group_of),
        getpgrp().as_raw().cast_unsigned(),
        "the caller's, if nothing is said"
    );
    let leader = held(new().process_group(0));
    assert_eq!(group_of(&leader), leader.pid());
    let group = leader.pid().cast_signed();
    let session = getsid(Some(Pid::from_raw(group))).unwrap();
    assert_eq!(session, getsid(None).unwrap());
    assert_eq!(
        look_at(new().process_group(group), group_of),
        leader.pid(),
        "as a member"
    );
    release(leader);

    let template = new().process_group(0);
    let led = serving(&template);
    assert_eq!(look_at(template.fork(), group_of), led);
    let other = held(template.fork().process_group(0));
    assert_eq!(group_of(&other), other.pid());
    release(other);
}

#[test]
fn both_limits_are_set() {
    let core = anyfork::Resource::CORE;
    let (_, hard) = getrlimit(Resource::RLIMIT_CPU).unwrap();
    let shown = match hard {
        u64::MAX => "unlimited".to_owned(),
        hard => hard.to_string(),
    };
    let set = new().rlimit(core, 0, 0);
    assert_eq!(limit(set, "Max core file size"), ["0", "0"]);
    // The last one counts, and `u64::MAX` is no limit at all.
    let cpu = libc::RLIMIT_CPU;
    let set = new().rlimit(cpu, 100_000, hard).rlimit(cpu, hard, hard);
    assert_eq!(limit(set, "Max cpu time"), [&*shown, &*shown]);
    let set = new().rlimit(cpu, 100_000, hard);
    assert_eq!(limit(set, "Max cpu time"), ["100000", &*shown]);
    let set = new().rlimit(cpu, 100_000, 100_001);
    assert_eq!(limit(set, "Max cpu time"), ["100000", "100001"]);
}

/// A template raises its own soft limit; that is not what its forks are to have.
#[test]
fn a_templates_limit_is_inherited_as_it_was_set() {
    let files = libc::RLIMIT_NOFILE;
    let template = new().rlimit(files, 50, 60);
    let name = "Max open files";
    assert_eq!(limit(template.fork(), name), ["50", "60"]);
    assert_eq!(limit(template.fork().fork(), name), ["50", "60"]);
    assert_eq!(
        limit(template.fork().rlimit(files, 40, 45), name),
        ["40", "45"]
    );
    assert_eq!(limit(template.fork(), name), ["50", "60"]);
}

#[test]
fn nice_values_add_up() {
    let own = nice_of(id());
    let plus = |step: i32| (own + step).min(19);
    assert_eq!(nice(new()), own);
    assert_eq!(nice(new().nice(0)), own);
    assert_eq!(nice(new().nice(1)), plus(1));
    assert_eq!(nice(new().nice(2).nice(3)), plus(5));
    let template = new().nice(1);
    assert_eq!(nice(template.fork()), plus(1));
    assert_eq!(nice(template.fork().nice(1)), plus(2));
    if may(SYS_NICE) {
        // The value that is also nice(3)'s failure.
        assert_eq!(nice(new().nice(-1 - own)), -1);
    }
}

#[test]
fn a_title_is_shown() {
    let shown = |process| {
        look_at(process, |worker| {
            let read = |file| fs::read_to_string(format!("/proc/{}/{file}", worker.pid())).unwrap();
            let line = read("cmdline").trim_end_matches('\0').to_owned();
            (read("comm").trim_end().to_owned(), line)
        })
    };
    // A kernel may refuse to show another command line (prctl(2)).
    let shows_line = shown(new()).1.starts_with("anyfork: hold of ");
    let assert_shown = |process: Process, name: &str, line: &str| {
        let (name_shown, line_shown) = shown(process);
        assert_eq!(name_shown, name);
        assert!(!shows_line || line_shown == line, "{line_shown}");
    };
    assert_shown(new().title("short"), "short", "short");
    let long = "a title of more than 15 bytes";
    assert_shown(new().title(long), &long[..15], long);
    let twice = new().title("one").title("two");
    assert_shown(twice, "two", "two");
    // No character is cut.
    assert_shown(
        new().title("fourteen bytesß"),
        "fourteen bytes",
        "fourteen bytesß",
    );
    let template = new().title("both");
    let pid = serving(&template);
    let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    assert_eq!(comm, "both\n");
    assert_shown(template.fork(), "both", "both");
    assert_shown(template.fork().title("own"), "own", "own");
    assert_shown(new().title("in between").fork(), "in between", "in between");
}

#[test]
fn all_is_set_before_any_code_of_the_users_runs() {
    let own = nice_of(id());
    let niced = (own + 1).min(19);
    let process = new()
        .init("prepared", ())
        .current_dir("/")
        .nice(1)
        .init("prepared", ())
        .env("COLOR", "red");
    let expected = [
        format!("after_fork red / {niced}"),
        format!("init red / {niced}"),
        format!("init red / {niced}"),
        format!("worker red / {niced}"),
    ];
    assert_eq!(reported(process, "seen"), expected);

    // In a template it is the template's code that sees its settings.
    let template = new()
        .init("prepared", ())
        .env("COLOR", "red")
        .current_dir("/");
    let fork = template.fork().init("prepared", ()).env("COLOR", "blue");
    let expected = [
        format!("after_fork red / {own}"),
        format!("init red / {own}"),
        format!("after_fork blue / {own}"),
        format!("init blue / {own}"),
        format!("worker blue / {own}"),
    ];
    assert_eq!(reported(fork, "seen"), expected);
    let expected = [
        format!("after_fork red / {own}"),
        format!("init red / {own}"),
        format!("after_fork red / {own}"),
        format!("worker red / {own}"),
    ];
    assert_eq!(reported(template.fork(), "seen"), expected);
}
