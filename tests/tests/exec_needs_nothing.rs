//! A template that is exec'ed needs nothing from the program: no attribute on its
//! `main`, no thread of its own, no small heap. It is this program once more,
//! without a `main`, and with nothing else open or in its environment.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, id};
use std::sync::Barrier;
use std::thread;

use anyfork::{ErrorKind, Process};
use anyfork_tests::births::{program, serving, succeed};
use anyfork_tests::{descriptors, flags, held, release, template_of, text_of, until};

const PLAIN: &str = env!("CARGO_BIN_EXE_plain");

/// Reports where the program lies in its memory, and what variable it has.
#[anyfork::worker]
fn report(mut socket: UnixStream) -> io::Result<()> {
    let marked = std::env::vars_os().any(|(name, _)| name.to_string_lossy().contains("ANYFORK"));
    let children = Command::new("env").output()?.stdout;
    let children = String::from_utf8_lossy(&children).contains("ANYFORK");
    let name = std::env::args_os().next().unwrap_or_default();
    let place = report as *const () as usize;
    write!(socket, "{place:x} {marked} {children} {}", name.display())
}

fn reported(process: Process) -> Vec<String> {
    let text = text_of(report::run(process));
    text.split(' ').map(str::to_owned).collect()
}

#[test]
fn there_is_no_early_template_here() {
    let error = Process::early().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TemplateGone);
    assert!(error.to_string().contains("#[anyfork::early]"), "{error}");
}

#[test]
fn the_default_template_is_kept() {
    let barrier = Barrier::new(8);
    let templates: BTreeSet<u32> = thread::scope(|scope| {
        let new = || {
            barrier.wait();
            let worker = held(Process::new().unwrap());
            let template = template_of(&worker);
            release(worker);
            template
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(new)).collect();
        threads.into_iter().map(|it| it.join().unwrap()).collect()
    });
    assert_eq!(templates.len(), 1, "{templates:?}");
    assert!(!templates.contains(&id()));
    let process = Process::new().unwrap();
    assert_ne!(serving(&process), *templates.first().unwrap());
    let grandparent = anyfork_tests::stat(serving(&process)).unwrap().1;
    assert!(templates.contains(&grandparent));
}

/// In a program of its own, whose very first need it is.
#[test]
fn many_threads_that_come_first_get_one_template() {
    for _ in 0..10 {
        succeed(&mut program(PLAIN, "first-need"));
    }
}

#[test]
fn every_new_exec_is_another_process_with_another_layout() {
    let two = [Process::new_exec().unwrap(), Process::new_exec().unwrap()];
    let templates: BTreeSet<u32> = two.iter().map(serving).collect();
    assert_eq!(templates.len(), 2);
    // The template is nobody's child that anybody here would have to wait for.
    for template in templates {
        assert_ne!(anyfork_tests::stat(template).unwrap().1, id());
    }
    let [one, two] = two.map(|process| reported(process.fork())[0].clone());
    let randomized = fs::read_to_string("/proc/sys/kernel/randomize_va_space").unwrap();
    if randomized.trim() == "0" {
        eprintln!("skipped: this system does not randomize the layout");
    } else {
        assert_ne!(one, two);
        let own = format!("{:x}", report as *const () as usize);
        assert_ne!(one, own);
    }
}

#[test]
fn it_has_this_programs_arguments_and_no_marker() {
    let name = std::env::args().next().unwrap();
    for process in [Process::new().unwrap(), Process::new_exec().unwrap()] {
        let template = serving(&process);
        for text in [
            fs::read(format!("/proc/{template}/environ")).unwrap(),
            fs::read(format!("/proc/{template}/cmdline")).unwrap(),
        ] {
            assert!(!String::from_utf8_lossy(&text).contains("ANYFORK"));
        }
        let [_, marked, children, program] = &reported(process)[..] else {
            panic!("not a report")
        };
        assert_eq!((&marked[..], &children[..]), ("false", "false"));
        assert_eq!(*program, name);
    }
}

#[test]
fn it_has_the_callers_variables_of_the_moment() {
    let mut environment = program(PLAIN, "environment");
    succeed(environment.env("GREETING", "hello").env("EMPTY", ""));
}

#[test]
fn it_has_no_descriptor_of_the_callers() {
    // One that the caller would leave to any program that it executes.
    let (inheritable, _write) = io::pipe().unwrap();
    let number = inheritable.as_raw_fd();
    // SAFETY: sets a flag of a descriptor that is ours.
    assert_eq!(unsafe { libc::fcntl(number, libc::F_SETFD, 0) }, 0);
    let link = descriptors(id())[&number].clone();

    let process = Process::new_exec().unwrap();
    let worker = held(process.fork());
    let template = template_of(&worker);
    for (pid, own) in [(template, 4), (worker.pid(), 2)] {
        // A template: its control socket, its answer's, an epoll set and what
        // it has of the child; a worker: its socket and its status pipe.
        let is_file = |it: &(&i32, &String)| *it.0 > 2 && !it.1.starts_with("anon_inode");
        // The worker may be ready before its template has closed what came with the request.
        until("few descriptors are open", || {
            descriptors(pid).iter().filter(is_file).count() <= own
        });
        let mut open = descriptors(pid);
        for number in 0..3 {
            let wanted = match pid == template {
                true => Some("/dev/null".to_owned()),
                false => descriptors(id()).remove(&number),
            };
            assert_eq!(open.remove(&number), wanted);
        }
        assert!(!open.values().any(|other| *other == link), "{open:?}");
        for &number in open.keys() {
            assert_ne!(flags(pid, number) & libc::O_CLOEXEC, 0, "{open:?}");
        }
    }
    release(worker);
}

#[test]
fn main_is_never_reached() {
    let text = succeed(&mut program(PLAIN, "main-once"));
    assert_eq!(text.matches("main runs").count(), 1, "{text}");
}

/// From a thread of a process with 1 GiB of memory in use.
#[test]
fn a_large_callers_memory_is_not_copied() {
    succeed(&mut program(PLAIN, "large"));
}
