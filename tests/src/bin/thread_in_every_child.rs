//! A program with a library that starts its thread again in each process that is forked,
//! as ThreadSanitizer's runtime and some allocators do.

use std::thread;
use std::time::Duration;

use anyfork::{ErrorKind, Process, args};
use anyfork_tests::{held, release, status};

/// Before anyfork's own.
#[used]
#[unsafe(link_section = ".init_array.00050")]
static CONSTRUCTOR: extern "C" fn() = register;

extern "C" fn register() {
    // SAFETY: registers a function that stays.
    let registered = unsafe { libc::pthread_atfork(None, None, Some(start)) };
    assert_eq!(registered, 0);
}

unsafe extern "C" fn start() {
    thread::spawn(|| {
        loop {
            thread::park();
        }
    });
}

#[anyfork::init]
fn load(leaves_a_thread: bool) {
    if leaves_a_thread {
        let thread = thread::Builder::new().name("forgotten".into());
        let started = thread.spawn(|| thread::sleep(Duration::from_secs(3600)));
        started.expect("a thread");
    }
}

#[anyfork::early]
fn main() {
    for process in [Process::early(), Process::new_exec()] {
        let process = process.expect("a template");
        let worker = held(process.fork());
        assert_eq!(status(worker.pid(), "Threads"), "2");
        release(worker);
        let prepared = load::init(process.fork(), false);
        release(held(prepared.fork()));
        // Somebody's fault all the same.
        let prepared = load::init(process.fork(), true);
        let error = prepared.fork().init("load", args![false]).run("hold");
        let error = error.blocking().expect_err("two threads");
        assert_eq!(error.kind(), ErrorKind::InitFailed, "{error}");
        let text = "left 1 thread running: `forgotten`";
        assert!(error.to_string().contains(text), "{error}");
    }
}
