//! A program that the kernel gives orphans to: it is the first process of its
//! container, or, as its argument says, a subreaper. It asserts that it finds no
//! child and no zombie but its own.

use std::env;
use std::process::{self, Command as Std};

use anyfork::{Command, ErrorKind, Process};
use anyfork_tests::births::{kill_now, serving, stop};
use anyfork_tests::{bounded, children, held, new, release, template_of, until};
use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

/// Prepares a template, or does not.
#[anyfork::early]
fn load() -> Result<(), String> {
    match env::var("LOAD").as_deref() {
        Ok("fails") => Err("as it should".to_owned()),
        Ok("panics") => panic!("as it should"),
        Ok("exits") => process::exit(3),
        Ok("aborts") => process::abort(),
        _ => Ok(()),
    }
}

#[anyfork::early]
fn main() {
    let what = env::args().nth(1).expect("an argument");
    match what.as_str() {
        "first" => assert_eq!(process::id(), 1),
        "subreaper" => {
            // SAFETY: takes numbers.
            let set = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
            assert_eq!(set, 0);
        }
        other => panic!("{other}"),
    }
    let uses: [(&str, fn()); 6] = [
        ("workers", workers),
        ("programs", programs),
        ("templates", templates),
        ("templates that die", templates_that_die),
        (
            "templates that fail as they are prepared",
            templates_that_fail,
        ),
        ("templates that die with their children", all_die_at_once),
    ];
    for (name, make_use) in uses {
        make_use();
        nothing_is_left(name);
    }
    Process::end_early();
    Process::reset_default();
    until("no child is left", || {
        release(held(Process::new_exec().expect("a template")));
        children(process::id()).is_empty()
    });
    assert_eq!(
        waitpid(None, Some(WaitPidFlag::WNOHANG)),
        Err(Errno::ECHILD)
    );
}

fn zombies() -> Vec<u32> {
    let all = children(process::id()).into_iter();
    all.filter(|(_, state)| *state == 'Z')
        .map(|(pid, _)| pid)
        .collect()
}

/// A template that had no time to end when its last handle was dropped is reaped when
/// another one's is.
fn nothing_is_left(of: &str) {
    until(of, || {
        release(held(Process::new_exec().expect("a template")));
        zombies().is_empty()
    });
    // What a program's own loop would get.
    match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => {}
        other => panic!("{of}: {other:?}"),
    }
}

fn workers() {
    for process in [
        new(),
        new().env("NESTED", "1").fork(),
        Process::new_exec().expect("a template"),
    ] {
        for _ in 0..3 {
            release(held(process.fork()));
        }
        let mut worker = held(process.kill_on_drop(true));
        worker.kill().expect("it runs");
    }
}

fn programs() {
    for process in [new(), Process::new_exec().expect("a template")] {
        let status = process.fork().exec("true").status();
        let status = bounded("a program", || status.blocking());
        assert!(status.expect("a status").success());
        let output = Command::new("echo").output();
        bounded("a program", || output.blocking()).expect("a program");
        let error = process.fork().exec("/no/such/program").spawn().blocking();
        error.expect_err("there is none");
        // Nobody else knows the child that has found that out.
        let template = serving(&process);
        until("the template has reaped all", || {
            children(template).is_empty()
        });
        // One of this program's own.
        assert!(Std::new("true").status().expect("a program").success());
    }
}

fn templates() {
    for _ in 0..3 {
        release(held(Process::new_exec().expect("a template")));
        let process = Process::new_exec().expect("a template").keep_warm(2);
        release(held(process.fork()));
        // Its worker outlives it.
        let worker = held(process.fork());
        drop(process);
        release(worker);
    }
}

fn templates_that_die() {
    for process in [
        Process::new_exec().expect("a template"),
        new().env("NESTED", "1"),
    ] {
        let template = serving(&process);
        kill_now(template);
        until("it has ended", || {
            children(process::id()).get(&template) != Some(&'S')
        });
        process.run("hold").blocking().expect_err("it has ended");
    }
    let worker = held(new());
    kill_now(template_of(&worker));
    release(worker);
    // Found, and replaced.
    until("the default template is replaced", || {
        new().run("hold").blocking().is_ok()
    });
}

/// Each of them is this process's to reap, and never replies, or that it has failed.
fn templates_that_fail() {
    for how in ["fails", "panics", "exits", "aborts"] {
        // SAFETY: no other thread reads the environment meanwhile.
        unsafe { env::set_var("LOAD", how) };
        for _ in 0..3 {
            let process = Process::new_exec().expect("a program");
            let launch = process.run("hold");
            let error = bounded(how, || launch.blocking()).expect_err("no template");
            assert_eq!(error.kind(), ErrorKind::TemplateGone, "{error}");
        }
        // SAFETY: as above.
        unsafe { env::remove_var("LOAD") };
    }
}

/// As when memory is short in a container: all are killed in one moment.
fn all_die_at_once() {
    for round in 0..10 {
        let process = match round % 2 {
            0 => Process::new_exec().expect("a template"),
            _ => new().env("NESTED", "1"),
        };
        let mut workers = [(); 3].map(|()| held(process.fork()));
        let pids = workers.each_ref().map(|worker| worker.pid());
        let template = template_of(&workers[0]);
        stop(template);
        pids.into_iter().for_each(kill_now);
        kill_now(template);
        for worker in &mut workers {
            // Its status may be lost.
            if let Ok(exit) = bounded("an end", || worker.wait()) {
                assert_eq!(exit.signal(), Some(libc::SIGKILL));
            }
        }
    }
}
