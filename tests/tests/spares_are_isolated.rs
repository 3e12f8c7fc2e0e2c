//! A spare has no descriptor of its siblings, sees no request but the one that it
//! takes, and becomes a worker that knows nothing of its time as a spare: no
//! signal that came then, no limit of its template's.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::id;

use anyfork::{Args, Process, blocking};
use anyfork_tests::spares::{idle, remembers, until_idle, warm};
use anyfork_tests::{Scene, alone, bounded, descriptors, flags, held, limits, pipe_with};
use anyfork_tests::{release, rest_of, send_signal, set_soft_limit, status};

#[anyfork::early]
fn preload() {}

/// A pipe's reading end, to be sent, and how to know it again.
fn marked() -> (OwnedFd, String) {
    let pipe = pipe_with("");
    let link = descriptors(id())[&pipe.as_raw_fd()].clone();
    (pipe, link)
}

/// The descriptors of a child but the standard streams, which it shares with this
/// process, or as a spare with its template, and `sent`, which it must have.
fn own(child: u32, like: u32, sent: &[&String]) -> BTreeMap<i32, String> {
    let (mut open, theirs) = (descriptors(child), descriptors(like));
    for number in 0..3 {
        assert_eq!(open.remove(&number), theirs.get(&number).cloned());
    }
    for &number in open.keys() {
        let closes = flags(child, number) & libc::O_CLOEXEC != 0;
        assert!(closes, "{number} of {open:?}");
    }
    for &link in sent {
        let found = open.iter().find(|(_, it)| *it == link);
        let number = *found.unwrap_or_else(|| panic!("{link} in {open:?}")).0;
        open.remove(&number);
    }
    open
}

/// A spare has its template's end of the control socket, which the others have,
/// too, the socket that it tells its template by, and what it wakes it with.
fn assert_spare(spare: u32, template: u32, sent: &[&String]) -> BTreeSet<String> {
    let mut open = own(spare, template, sent);
    assert_eq!(open.len(), 3, "{open:?}");
    let sockets = open.values().filter(|it| it.starts_with("socket:"));
    assert_eq!(sockets.count(), 2, "{open:?}");
    let bells = open.values().filter(|it| it.contains("[eventfd]"));
    assert_eq!(bells.count(), 1, "{open:?}");
    open.retain(|_, it| !it.contains("[eventfd]"));
    let callers: BTreeSet<_> = descriptors(id()).into_values().collect();
    assert!(open.values().all(|it| !callers.contains(it)), "{open:?}");
    open.into_values().collect()
}

/// A worker has its socket and its status pipe.
fn assert_worker(worker: &blocking::Worker, template: u32, sent: &[&String]) {
    let open = own(worker.pid(), id(), sent);
    let callers: BTreeSet<_> = descriptors(id()).into_values().collect();
    let (sockets, pipes): (Vec<_>, Vec<_>) =
        open.values().partition(|it| it.starts_with("socket:"));
    assert_eq!((sockets.len(), pipes.len()), (1, 1), "{open:?}");
    assert!(callers.contains(pipes[0]) && !callers.contains(sockets[0]));
    // The template's are its own.
    assert!(!descriptors(template).values().any(|it| it == sockets[0]));
}

#[test]
fn siblings_share_nothing() {
    let _alone = alone();
    let scene = Scene::early();
    let (common, common_name) = marked();
    let (template, pid) = warm(Process::new().unwrap().send_fd(common), 3);
    let mut workers = Vec::new();
    // With time for spares to come, and in a burst, in which some are forked.
    for n in 0..20 {
        if n < 10 {
            until_idle(pid, 3);
        }
        let (pipe, name) = marked();
        let kills = n % 2 == 0;
        let process = template.fork().send_fd(pipe).kill_on_drop(kills);
        workers.push((held(process), name));
    }
    for (worker, name) in &workers {
        assert_worker(worker, pid, &[&common_name, name]);
    }
    let spares = until_idle(pid, 3);
    let sockets = spares
        .iter()
        .map(|&spare| assert_spare(spare, pid, &[&common_name]));
    // The same two in each.
    assert_eq!(sockets.collect::<BTreeSet<_>>().len(), 1);
    workers.into_iter().for_each(|(worker, _)| release(worker));
    drop(template);
    scene.must_return();
}

/// What the kernel tells of a worker's signals.
fn signals(pid: u32) -> [String; 5] {
    ["SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"].map(|field| status(pid, field))
}

#[test]
fn a_signal_to_a_spare_is_not_its_workers() {
    let _alone = alone();
    let scene = Scene::early();
    let forked = held(Process::new().unwrap());
    let expected = signals(forked.pid());
    release(forked);
    let (template, pid) = warm(Process::new().unwrap(), 1);
    let real_time = [libc::SIGRTMIN(), libc::SIGRTMIN() + 3, libc::SIGRTMAX()];
    let usual = [
        libc::SIGINT,
        libc::SIGTERM,
        libc::SIGHUP,
        libc::SIGQUIT,
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGALRM,
        libc::SIGCHLD,
        libc::SIGCONT,
        libc::SIGTSTP,
        libc::SIGPIPE,
        libc::SIGSEGV,
    ];
    let each = usual.iter().chain(&real_time).map(|&signal| vec![signal]);
    let all = [&usual[..], &real_time].concat();
    // Those of real time wait in a queue.
    let queued = real_time.repeat(5);
    for signals_sent in each.chain([all, queued]) {
        let spare = until_idle(pid, 1)[0];
        for &signal in &signals_sent {
            send_signal(spare, signal);
        }
        assert_eq!(idle(pid), [spare], "{signals_sent:?}");
        let worker = held(template.fork());
        assert_eq!(worker.pid(), spare);
        assert_eq!(signals(spare), expected, "{signals_sent:?}");
        release(worker);
    }
    // What comes now is the worker's.
    until_idle(pid, 1);
    let mut worker = held(template.fork());
    worker.signal(libc::SIGTERM).unwrap();
    let exit = bounded("an end", || worker.wait()).unwrap();
    assert_eq!(exit.signal(), Some(libc::SIGTERM));
    drop((worker, template));
    scene.must_return();
}

/// Tells which signal it gets at its template's end, with whom a spare goes.
#[anyfork::worker]
fn parents_end(mut socket: UnixStream, _rest: Args) -> io::Result<()> {
    let mut signal = -1;
    // SAFETY: writes a number.
    let asked = unsafe { libc::prctl(libc::PR_GET_PDEATHSIG, &raw mut signal) };
    assert_eq!(asked, 0);
    write!(socket, "{signal}")
}

#[test]
fn a_worker_that_was_a_spare_has_the_programs_limits() {
    const SOFT: u64 = 700;
    let _alone = alone();
    let scene = Scene::early();
    // The early template is there already: this one begins with the limit.
    let before = set_soft_limit(id(), libc::RLIMIT_NOFILE, SOFT).unwrap();
    let (template, pid) = warm(Process::new_exec().unwrap().send_arg("x"), 1);
    set_soft_limit(id(), libc::RLIMIT_NOFILE, before).unwrap();
    let [_, hard] = limits(id(), "Max open files");
    let raised = [hard.clone(), hard.clone()];
    assert_eq!(limits(pid, "Max open files"), raised);
    for _ in 0..3 {
        let spare = until_idle(pid, 1)[0];
        let worker = held(template.fork());
        assert_eq!(worker.pid(), spare);
        let original = [SOFT.to_string(), hard.clone()];
        assert_eq!(limits(spare, "Max open files"), original);
        release(worker);
    }
    until_idle(pid, 1);
    let mut worker = parents_end::run(template.fork(), Args::new())
        .blocking()
        .unwrap();
    let mut text = String::new();
    worker.socket.read_to_string(&mut text).unwrap();
    assert_eq!(text, "0");
    drop((worker, template));
    scene.must_return();
}

const SECRET: &[u8; 16] = b"pqjzxwvkqjzxwvkt";

/// Tells whether a secret is in its memory.
#[anyfork::worker]
fn search(mut socket: UnixStream, rest: Args) -> io::Result<()> {
    write!(socket, "{}", remembers(SECRET)?)?;
    drop(rest);
    Ok(())
}

fn found(process: Process) -> (u32, bool) {
    let mut worker = search::run(process, Args::new()).blocking().unwrap();
    let text = rest_of(&mut worker);
    (worker.pid(), text.parse().unwrap())
}

#[test]
fn no_other_request_is_in_a_workers_memory() {
    let _alone = alone();
    let scene = Scene::early();
    let (template, pid) = warm(Process::new().unwrap(), 2);
    // In the message, and in a file of its own.
    for size in [3, 100, 3000, 100_000] {
        let secret = SECRET.repeat(size);
        // More at once than there are spares, so that the template forks, too.
        let reported: Vec<_> = (0..6)
            .map(|_| held(template.fork().send_arg(&secret[..])))
            .collect();
        let workers: Vec<_> = (0..6).map(|_| found(template.fork())).collect();
        assert!(workers.iter().all(|(_, found)| !found), "{size}");
        let spares = until_idle(pid, 2);
        let (worker, is_found) = found(template.fork());
        assert!(spares.contains(&worker) && !is_found, "{size}");
        reported.into_iter().for_each(release);
        assert!(!found(template.fork()).1);
        // It would be found.
        until_idle(pid, 2);
        assert!(found(template.fork().send_arg(&secret[..])).1);
    }
    drop(template);
    scene.must_return();
}
