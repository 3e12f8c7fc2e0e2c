//! Changes what a program has beside its environment, directory and streams, and is
//! inherited: umask, limits, nice value, processors, OOM score, ignored signals.

use std::fs;

use anyfork::Process;
use anyfork_tests::bounded;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::stat::Mode;
use nix::unistd::Pid;

use super::Scene;

pub(super) fn change(what: &str, scene: &mut Scene) {
    match what {
        "umask" => umask(scene),
        "limits" => limits(scene),
        "nice value" => nice_value(scene),
        "processors" => processors(scene),
        "oom_score_adj" => oom_score_adj(scene),
        "ignored signals" => ignored_signals(scene),
        "prepared attributes" => prepared(scene),
        other => panic!("{other}"),
    }
}

fn umask(scene: &mut Scene) {
    for mask in [0o077, 0, 0o777, 0o022] {
        nix::sys::stat::umask(Mode::from_bits_truncate(mask));
        scene.compare(&["--brief"]);
    }
}

/// Among them that of descriptors, which a template raises for itself.
fn limits(scene: &mut Scene) {
    scene.compare(&[]);
    for (resource, soft, hard) in [
        (Resource::RLIMIT_NOFILE, 200, 300),
        (Resource::RLIMIT_NOFILE, 100, 200),
        (Resource::RLIMIT_CORE, 0, 0),
        (Resource::RLIMIT_STACK, 4 << 20, 1 << 30),
        (Resource::RLIMIT_CPU, 3600, 3601),
    ] {
        setrlimit(resource, soft, hard).expect("less is allowed");
        scene.compare(&[]);
    }
}

fn nice_value(scene: &mut Scene) {
    for _ in 0..2 {
        // SAFETY: takes a number.
        unsafe { libc::nice(3) };
        scene.compare(&["--brief"]);
    }
}

fn processors(scene: &mut Scene) {
    let all = sched_getaffinity(Pid::from_raw(0)).expect("a set");
    for processor in (0..CpuSet::count()).filter(|it| all.is_set(*it) == Ok(true)) {
        let mut one = CpuSet::new();
        one.set(processor).expect("it is there");
        sched_setaffinity(Pid::from_raw(0), &one).expect("it may be used");
        scene.compare(&["--brief"]);
    }
    sched_setaffinity(Pid::from_raw(0), &all).expect("they may be used");
    scene.compare(&["--brief"]);
}

fn oom_score_adj(scene: &mut Scene) {
    for adjustment in [300, 700] {
        fs::write("/proc/self/oom_score_adj", adjustment.to_string()).expect("more is allowed");
        scene.compare(&["--brief"]);
    }
}

/// Also real-time ones; what is handled is not.
fn ignored_signals(scene: &mut Scene) {
    extern "C" fn handle(_signal: i32) {}
    let signals = [
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGTERM,
        libc::SIGRTMIN() + 2,
    ];
    let handler = handle as *const () as libc::sighandler_t;
    for action in [libc::SIG_IGN, handler, libc::SIG_IGN, libc::SIG_DFL] {
        for signal in signals {
            // SAFETY: the handler does nothing.
            unsafe { libc::signal(signal, action) };
        }
        scene.compare(&["--brief"]);
    }
}

#[anyfork::init]
fn prepare() {
    nix::sys::stat::umask(Mode::from_bits_truncate(0o027));
    setrlimit(Resource::RLIMIT_CORE, 0, 0).expect("less is allowed");
    fs::write("/proc/self/oom_score_adj", "400").expect("more is allowed");
    // SAFETY: an action without code.
    unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
}

/// What a preparation has changed stays, and the rest is the caller's.
fn prepared(scene: &mut Scene) {
    let template = Process::new().expect("a template");
    let template = template.init(prepare::NAME, ());
    let template = template.prepare().blocking().expect("a template");
    nix::sys::stat::umask(Mode::from_bits_truncate(0o077));
    setrlimit(Resource::RLIMIT_NOFILE, 150, 250).expect("less is allowed");
    // SAFETY: takes a number.
    unsafe { libc::nice(4) };
    // SAFETY: an action without code.
    unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
    // SAFETY: takes numbers.
    let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    let [printed, _] = scene.printed(|tell| {
        let status = template.fork().exec(tell).status();
        let status = bounded("status", || status.blocking());
        assert!(status.expect("a status").success());
    });
    let has = |words: &[&str]| {
        let is_it = |line: &String| line.split_whitespace().eq(words.iter().copied());
        assert!(printed.iter().any(is_it), "no {words:?} in {printed:?}");
    };
    has(&["Umask", "0027"]);
    has(&["oom_score_adj", "400"]);
    has(&["Max", "core", "file", "size", "0", "0", "bytes"]);
    has(&["Max", "open", "files", "150", "250", "files"]);
    has(&["nice", &nice.to_string()]);
    let ignored = printed
        .iter()
        .find_map(|line| line.strip_prefix("ignored "));
    let ignored = u64::from_str_radix(ignored.expect("a field"), 16).expect("a mask");
    for signal in [libc::SIGHUP, libc::SIGTERM] {
        assert_ne!(ignored & 1 << (signal - 1), 0, "{signal} in {ignored:x}");
    }
}
