//! A program for tests that need one of their own: does what its first argument
//! says and asserts what must hold.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::process::{self, ExitCode};

use anyfork::{ErrorKind, Process};
use anyfork_tests::{
    bounded, children, descriptors, early_template, error_number, flags, has_ended, held,
    pipe_with, status, template_of,
};
use anyfork_tests::{release, send_signal, set_soft_limit, try_held, until};

#[path = "probe/signals_of_others.rs"]
mod signals_of_others;

#[anyfork::early]
fn main() -> ExitCode {
    let what = std::env::args().nth(1).unwrap_or_default();
    match what.as_str() {
        "describe" => describe(),
        "many-at-once" => many_at_once(),
        "early-template-killed" => early_template_killed(),
        "caller-full" => caller_full(),
        "caller-full-at-the-answer" => caller_full_at_the_answer(),
        "small-files-only" => small_files_only(),
        "default-sigpipe" => default_sigpipe(),
        "cut-files" => signals_of_others::cut_files(),
        "leads-a-terminal" => signals_of_others::lead_a_terminal(),
        "in-the-background" => signals_of_others::use_all(),
        _ => return ExitCode::from(2),
    }
    ExitCode::SUCCESS
}

/// Writes what the program, its template and a worker are like into a file: it
/// may have no standard streams.
fn describe() {
    // The first look: nothing was made yet but by the template's fork.
    let me = process::id();
    let open = descriptors(me);
    let mut text = String::new();
    let mut tell = |who: &str, pid: u32, open: &BTreeMap<i32, String>| {
        for (number, link) in open {
            let cloexec = flags(pid, *number) & libc::O_CLOEXEC != 0;
            writeln!(text, "{who} {number} {link} {cloexec}").expect("a string");
        }
        for field in ["SigBlk", "SigIgn", "SigCgt", "Threads"] {
            writeln!(text, "{who} {field} {}", status(pid, field)).expect("a string");
        }
    };
    tell("program", me, &open);
    assert!(children(me).is_empty(), "the template is nobody's child");
    let worker = held(Process::new().expect("a template"));
    let template = template_of(&worker);
    tell("template", template, &descriptors(template));
    tell("worker", worker.pid(), &descriptors(worker.pid()));
    release(worker);
    std::fs::write(std::env::args().nth(2).expect("a path"), text).expect("a report");
}

/// Has as many workers as its third argument says.
fn many_at_once() {
    let count = std::env::args().nth(2).expect("a number");
    let workers =
        (0..count.parse().expect("a number")).map(|_| held(Process::new().expect("a template")));
    workers.collect::<Vec<_>>().into_iter().for_each(release);
}

fn early_template_killed() {
    let process = Process::new().expect("a template");
    let mut worker = held(Process::new().expect("a template"));
    let template = early_template();
    send_signal(template, libc::SIGKILL);
    until("the template is gone", || has_ended(template));
    // The next one is exec'ed.
    release(held(Process::new().expect("a template")));
    for error in [
        Process::early().expect_err("no template"),
        process.run("hold").blocking().expect_err("no template"),
    ] {
        assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}");
        assert!(error.to_string().contains("has ended"), "{error}");
    }
    assert!(worker.try_wait().expect("it runs").is_none());
    worker.start_kill().expect("its pidfd is here");
    let exit = bounded("wait", || worker.wait()).expect("a status");
    assert_eq!(exit.signal(), Some(libc::SIGKILL));
}

/// Fills the descriptor table, but for some places.
fn fill(free: usize) -> Vec<OwnedFd> {
    let mut filling = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        filling.push(file.into());
    }
    filling.truncate(filling.len() - free);
    filling
}

fn caller_full() {
    let template = early_template();
    let before = descriptors(process::id());
    set_soft_limit(process::id(), libc::RLIMIT_NOFILE, 64).expect("prlimit");
    for free in 0..8 {
        let forked = Process::new().expect("a template").send_arg("x");
        let filling = fill(free);
        let worker = Process::new().and_then(try_held);
        let nested = try_held(forked.fork());
        drop(filling);
        for result in [worker, nested] {
            match result {
                Ok(worker) => {
                    assert!(free >= 4, "{free}");
                    release(worker);
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Io, "{free}: {error}");
                    assert_eq!(error_number(&error), Some(libc::EMFILE), "{free}: {error}");
                }
            }
        }
        drop(forked);
        release(held(Process::new().expect("a template")));
        until("all is gone", || children(template).is_empty());
        assert_eq!(descriptors(process::id()), before);
    }
}

/// The request went, and then there is no room for the pidfd that comes back
/// but the launch's own.
fn caller_full_at_the_answer() {
    let template = early_template();
    let before = descriptors(process::id());
    set_soft_limit(process::id(), libc::RLIMIT_NOFILE, 64).expect("prlimit");
    for dropped in [false, true] {
        let process = Process::new().expect("a template").send_fd(pipe_with(""));
        let launch = process.run("stay");
        let answered = || children(template).values().eq(&['S']);
        until("the worker is entered", answered);
        let filling = fill(0);
        if dropped {
            drop(launch);
        } else {
            let mut worker = bounded("a launch", || launch.blocking()).expect("a place was kept");
            worker.start_kill().expect("its pidfd is here");
        }
        until("the worker is gone", || children(template).is_empty());
        drop(filling);
    }
    assert_eq!(descriptors(process::id()), before);
}

/// So large a file the program may not write: then the kernel sends it SIGXFSZ.
fn small_files_only() {
    early_template();
    let before = descriptors(process::id());
    let bystander = held(Process::new().expect("a template"));
    for limit in [0, 4096, 100_000] {
        set_soft_limit(process::id(), libc::RLIMIT_FSIZE, limit).expect("prlimit");
        for _ in 0..3 {
            let large = Process::new().expect("a template");
            let error = try_held(large.send_arg(vec![7; 200_000])).expect_err("no room");
            assert_eq!(error_number(&error), Some(libc::EFBIG), "{error}");
            release(held(Process::new().expect("a template").send_arg("small")));
        }
        // The page of a call is a file, too.
        let call = signals_of_others::cut_all::call(Process::new().expect("a template"));
        match bounded("a call", || call.blocking()) {
            Ok(cut) => assert!(limit > 0 && cut == 0),
            Err(error) => assert_eq!(error_number(&error), Some(libc::EFBIG), "{error}"),
        }
        assert_eq!(status(process::id(), "SigPnd").trim_start_matches('0'), "");
        assert_eq!(status(process::id(), "SigBlk").trim_start_matches('0'), "");
    }
    set_soft_limit(process::id(), libc::RLIMIT_FSIZE, libc::RLIM_INFINITY).expect("prlimit");
    let large = Process::new().expect("a template");
    release(held(large.send_arg(vec![7; 200_000])));
    release(bystander);
    assert_eq!(descriptors(process::id()), before);
}

/// The template is gone, and writing to it raises no signal.
fn default_sigpipe() {
    // SAFETY: the action runs no code.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let template = early_template();
    let process = Process::new().expect("a template").send_arg("x");
    // To be forked from is what makes this one a template.
    let forked_from = Process::new().expect("a template").send_arg("x");
    let fork = forked_from.fork().keep_warm(1);
    send_signal(template, libc::SIGKILL);
    until("the template is gone", || has_ended(template));
    let must_be_gone = |error: anyfork::Error| {
        assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}");
    };
    must_be_gone(try_held(process).expect_err("no template"));
    signals_of_others::use_all();
    // The early template may have forked theirs before.
    for process in [forked_from, fork] {
        match try_held(process) {
            Ok(worker) => release(worker),
            Err(error) => must_be_gone(error),
        }
    }
    release(held(Process::new().expect("a template")));
}

/// Does not care for its socket.
#[anyfork::worker]
fn stay(socket: OwnedFd, pipe: OwnedFd) {
    let _open = (socket, pipe);
    loop {
        std::thread::park();
    }
}
