//! A worker has its standard streams, its socket and what was sent to it, and
//! not one descriptor of its caller, of its template or of another worker.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process;

use anyfork::{Process, blocking};
use anyfork_tests::{Scene, alone, children, descriptors, flags, held};
use anyfork_tests::{pipe_with, release, until};

#[anyfork::early]
fn preload() {}

/// A descriptor's link, by which another process's copy of it is known.
fn link(fd: &impl AsRawFd) -> String {
    descriptors(process::id())[&fd.as_raw_fd()].clone()
}

/// A pipe's reading end, to be sent, and how to know it again.
fn marked() -> (OwnedFd, String) {
    let pipe = pipe_with("");
    let link = link(&pipe);
    (pipe, link)
}

/// The descriptors of a worker are the standard streams of its template, a
/// socket, those in `sent`, and at most its own status pipe.
fn assert_isolated(worker: &blocking::Worker, sent: &[&str]) {
    let pid = worker.pid();
    let mut open = descriptors(pid);
    let streams = descriptors(process::id());
    for number in 0..3 {
        assert_eq!(open.remove(&number), streams.get(&number).cloned());
    }
    for &number in open.keys() {
        assert_ne!(
            flags(pid, number) & libc::O_CLOEXEC,
            0,
            "{number} of {open:?}"
        );
    }
    for sent in sent {
        let found = open.iter().find(|(_, link)| link == sent);
        let number = *found.unwrap_or_else(|| panic!("{sent} in {open:?}")).0;
        open.remove(&number);
    }
    let status: BTreeSet<String> = descriptors(process::id()).into_values().collect();
    open.retain(|&number, link| {
        let writes = flags(pid, number) & libc::O_ACCMODE == libc::O_WRONLY;
        !(writes && link.starts_with("pipe:") && status.contains(link))
    });
    let left: Vec<_> = open.into_values().collect();
    assert!(
        left.len() == 1 && left[0].starts_with("socket:"),
        "{left:?}"
    );
    assert!(
        !status.contains(&left[0]),
        "the caller has the worker's end"
    );
}

#[test]
fn a_worker_has_only_what_was_sent_to_it() {
    let _alone = alone();
    let _opened_before = marked();
    let worker = held(Process::new().unwrap());
    assert_isolated(&worker, &[]);
    release(worker);

    let (pipe, name) = marked();
    let worker = held(Process::new().unwrap().send_fd(pipe));
    assert_isolated(&worker, &[&name]);
    release(worker);
}

#[test]
fn a_worker_has_nothing_of_what_its_caller_opens() {
    let _alone = alone();
    let template = Process::new().unwrap();
    let forked = template.fork();
    let before = held(template.fork());
    let file = File::open("/proc/self/exe").unwrap();
    // One that the caller would have left to a child of its own.
    let inheritable = {
        let (read, _) = io::pipe().unwrap();
        // SAFETY: sets a flag of a descriptor that is ours.
        let set = unsafe { libc::fcntl(read.as_raw_fd(), libc::F_SETFD, 0) };
        assert_eq!(set, 0);
        read
    };
    let after = held(forked);
    let names = [link(&file), link(&inheritable)];
    for worker in [before, after] {
        assert_isolated(&worker, &[]);
        let open = descriptors(worker.pid());
        assert!(!open.values().any(|link| names.contains(link)), "{open:?}");
        release(worker);
    }
}

#[test]
fn twenty_siblings_share_nothing() {
    let _alone = alone();
    let (common, common_name) = marked();
    let template = Process::new().unwrap().send_fd(common);
    let workers: Vec<_> = (0..20)
        .map(|n| {
            let (pipe, name) = marked();
            // Every other one of the early template, the rest of a nested one.
            match n % 2 {
                0 => (held(Process::new().unwrap().send_fd(pipe)), vec![name]),
                _ => (
                    held(template.fork().send_fd(pipe)),
                    vec![common_name.clone(), name],
                ),
            }
        })
        .collect();
    for (worker, sent) in &workers {
        let sent: Vec<_> = sent.iter().map(String::as_str).collect();
        assert_isolated(worker, &sent);
    }
    for (worker, _) in workers {
        release(worker);
    }
}

#[test]
fn a_worker_of_a_nested_template_is_isolated_too() {
    let _alone = alone();
    let mut template = Process::new().unwrap();
    let mut names = Vec::new();
    for _ in 0..3 {
        let (pipe, name) = marked();
        names.push(name);
        template = template.send_fd(pipe).fork();
        // A child of every level lives while the next is made.
        let worker = held(template.fork());
        let sent: Vec<_> = names.iter().map(String::as_str).collect();
        assert_isolated(&worker, &sent);
        release(worker);
    }
}

#[test]
fn workers_of_a_template_that_was_a_spare_are_isolated_too() {
    let _alone = alone();
    let warm = Process::new().unwrap().keep_warm(1).prepare();
    let warm = warm.blocking().unwrap();
    until("there is a spare", || {
        !children(warm.pid().unwrap()).is_empty()
    });
    let template = warm.fork();
    let workers: Vec<_> = (0..3).map(|_| held(template.fork())).collect();
    for worker in &workers {
        assert_isolated(worker, &[]);
    }
    workers.into_iter().for_each(release);
}

#[test]
fn all_of_the_callers_descriptors_are_closed_on_exec() {
    let _alone = alone();
    let me = process::id();
    let before = descriptors(me);
    let template = Process::new().unwrap().send_fd(pipe_with(""));
    let workers = [held(template.fork()), held(Process::new().unwrap())];
    let unfinished = template.fork().run("hold");
    let after = descriptors(me);
    let made: Vec<_> = after
        .keys()
        .filter(|number| !before.contains_key(number))
        .collect();
    assert!(made.len() >= 6, "{made:?} of {after:?}");
    for &&number in &made {
        assert_ne!(
            flags(me, number) & libc::O_CLOEXEC,
            0,
            "{number} of {after:?}"
        );
    }
    drop(unfinished);
    workers.into_iter().for_each(release);
}

#[test]
fn two_hundred_workers_leave_no_descriptor() {
    let _alone = alone();
    let scene = Scene::early();
    for n in 0..200 {
        let mut worker = held(Process::new().unwrap().send_arg(n).send_fd(pipe_with("")));
        worker.socket.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(worker.wait().unwrap().success());
    }
    let together: Vec<_> = (0..200).map(|_| held(Process::new().unwrap())).collect();
    assert_eq!(scene.workers().len(), 200);
    drop(together);
    scene.must_return();
}

#[test]
fn a_nested_template_goes_with_its_last_owner() {
    let _alone = alone();
    let scene = Scene::early();
    let template = Process::new().unwrap().send_fd(pipe_with("")).send_arg("x");
    let deeper = template.fork().send_arg("y");
    let worker = held(deeper.fork());
    drop((template, deeper));
    release(worker);
    scene.must_return();
}
