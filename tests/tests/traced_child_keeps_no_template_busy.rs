//! A child that has exited while another process traces it can be reaped only when the
//! tracer lets it go. Until then its template sleeps and serves others.

use std::ptr;
use std::sync::mpsc;
use std::thread;

use anyfork_tests::{alone, bounded, has_ended, held, new, release, stat, template_of, until};

#[anyfork::early]
fn preload() {}

#[test]
fn one_that_was_killed() {
    let _alone = alone();
    let mut worker = held(new());
    let (pid, template) = (worker.pid(), template_of(&worker));
    let (traced, is_traced) = mpsc::channel();
    let (let_go, may_go) = mpsc::channel::<()>();
    // The end of the thread ends the tracing.
    let tracer = thread::spawn(move || {
        let none = ptr::null_mut::<libc::c_void>();
        // SAFETY: traces a process of this test's.
        let seized = unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid as libc::pid_t, none, none) };
        traced.send(seized == 0).unwrap();
        let _ = may_go.recv();
    });
    if !is_traced.recv().unwrap() {
        eprintln!("skipped: this process may not trace");
        return release(worker);
    }
    worker.start_kill().unwrap();
    until("it has exited", || has_ended(pid));
    // One that does not sleep is busy.
    until("the template sleeps", || {
        stat(template).is_some_and(|(state, _)| state == 'S')
    });
    release(held(new()));
    drop(let_go);
    tracer.join().unwrap();
    let exit = bounded("an exit", || worker.wait()).unwrap();
    assert_eq!(exit.signal(), Some(libc::SIGKILL));
    until("it is reaped", || stat(pid).is_none());
}
