//! Requests that were recorded and changed, with descriptors that are missing, too many, of
//! another kind or in another order: a template answers them or closes them, and works on.
//! It has no process, no descriptor and no memory more than before.

use std::fs::{self, File};
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};

use anyfork::{Args, Process, args};
use anyfork_tests::random::Random;
use anyfork_tests::spares::{until_settled, warm};
use anyfork_tests::{Scene, alone, bounded, held, hold, new, release, status, until};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use sendfd::{RecvWithFd, SendWithFd};

#[anyfork::early]
fn preload() {}

/// Number of requests, half of them to a template with spares.
const COUNT: usize = 10_000;

/// Number of requests after which the processes that they have made are let go.
const BATCH: usize = 250;

/// Returns at once.
#[anyfork::worker]
fn nothing(_socket: UnixStream, _rest: Args) {}

#[anyfork::init]
fn prepare(_text: String) {}

fn message_pair() -> (OwnedFd, OwnedFd) {
    let flags = SockFlag::SOCK_CLOEXEC;
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap()
}

/// A request as it was sent.
struct Recorded {
    bytes: Vec<u8>,
    fds: Vec<OwnedFd>,
}

/// Records the requests of all launches that are worth it.
fn corpus() -> Vec<Recorded> {
    let (owner, mine) = message_pair();
    let mine = UnixDatagram::from(mine);
    let process = || Process::from_fd(owner.try_clone().unwrap()).unwrap();
    let null = || OwnedFd::from(File::open("/dev/null").unwrap());
    let mut corpus = Vec::new();
    let mut record = |launched: &mut dyn FnMut()| {
        launched();
        let (mut bytes, mut fds) = (vec![0; 65536], [0; 32]);
        let (len, count) = mine.recv_with_fd(&mut bytes, &mut fds).unwrap();
        bytes.truncate(len);
        // SAFETY: they have just been received, and each is owned here once.
        let own = |fd: &i32| unsafe { OwnedFd::from_raw_fd(*fd) };
        let fds = fds[..count].iter().map(own).collect();
        corpus.push(Recorded { bytes, fds });
    };
    record(&mut || drop(nothing::run(process(), Args::new())));
    record(&mut || drop(nothing::run(process(), args!["text", 7u32, null()])));
    record(&mut || {
        drop(nothing::run(
            process().kill_on_drop(true),
            args![vec![1u8; 100_000]],
        ))
    });
    record(&mut || {
        let process = process().env("NAME", "value").title("title").nice(1);
        let process = process.current_dir("/").process_group(0);
        drop(nothing::run(
            process.init("prepare", args!["x"]),
            args!["y"],
        ));
    });
    record(&mut || drop(process().env("NAME", "value").exec("/bin/true").spawn()));
    record(&mut || drop(process().init("prepare", args!["x"]).fork()));
    corpus
}

/// What a request is answered on, and how its processes are let go.
type Ends = (UnixStream, OwnedFd, OwnedFd);

/// Sends a changed request.
fn send(random: &mut Random, corpus: &[Recorded], to: &UnixDatagram) -> Option<Ends> {
    let (recorded, other) = (random.of(corpus), random.of(corpus));
    let bytes = match random.one_in(8) {
        true => recorded.bytes.clone(),
        false => random.mutated(&recorded.bytes, &other.bytes),
    };
    // A number of spares that nobody means would be kept.
    if bytes.len() == 16 {
        return None;
    }
    let (here, there) = UnixStream::pair().unwrap();
    let (read, write) = io::pipe().unwrap();
    let (owner, served) = message_pair();
    let read = OwnedFd::from(read);
    let mut fds: Vec<i32> = recorded.fds.iter().map(AsRawFd::as_raw_fd).collect();
    fds[0] = there.as_raw_fd();
    fds[1] = write.as_raw_fd();
    if recorded.bytes[3] == 2 {
        fds[2] = served.as_raw_fd();
    }
    match random.below(8) {
        0 => drop(fds.remove(random.below(fds.len()))),
        1 => fds.insert(random.below(fds.len() + 1), read.as_raw_fd()),
        2 => {
            let (one, other) = (random.below(fds.len()), random.below(fds.len()));
            fds.swap(one, other);
        }
        3 => {
            let at = random.below(fds.len());
            fds[at] = *random.of(&[read.as_raw_fd(), there.as_raw_fd(), served.as_raw_fd()]);
        }
        4 => fds.truncate(random.below(3)),
        _ => {}
    }
    let sent = || to.send_with_fd(&bytes, &fds);
    let blocked = || sent().is_err_and(|it| it.kind() == io::ErrorKind::WouldBlock);
    until("room for a message", || !blocked());
    Some((here, read, owner))
}

fn memory(pid: u32) -> u64 {
    let text = status(pid, "VmRSS");
    text.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn ten_thousand_of_them() {
    let _alone = alone();
    let corpus = corpus();
    let scene = Scene::early();
    let mut random = Random::new(13);
    for spares in [0, 2] {
        let (template, pid) = warm(new(), spares);
        let bystander = held(template.fork());
        let owner = UnixDatagram::from(template.into_fd().unwrap());
        let template = Process::from_fd(OwnedFd::from(owner.try_clone().unwrap())).unwrap();
        let descriptors = || {
            fs::read_dir(format!("/proc/{pid}/fd"))
                .map(Iterator::count)
                .ok()
        };
        let mut before = None;
        for batch in 0..COUNT / BATCH / 2 {
            let ends: Vec<_> = (0..BATCH)
                .filter_map(|_| send(&mut random, &corpus, &owner))
                .collect();
            // Served in time, and behind all of them.
            let launch = hold::run(template.fork(), Args::new());
            let worker = bounded("a launch", || launch.blocking());
            let worker = worker.unwrap_or_else(|error| panic!("in batch {batch}: {error}"));
            for (reply, ..) in &ends {
                let _ = reply.shutdown(Shutdown::Both);
            }
            drop(ends);
            worker.socket.shutdown(Shutdown::Write).unwrap();
            drop(worker);
            until_settled(pid, spares, &[bystander.pid()]);
            if batch == 4 {
                before = Some((descriptors(), memory(pid)));
            }
        }
        let (fds, kib) = before.expect("there are more batches");
        assert_eq!(descriptors(), fds);
        let grown = memory(pid).saturating_sub(kib);
        assert!(grown < 1024, "the template has grown by {grown} KiB");
        release(bystander);
        drop((template, owner));
        scene.must_return();
    }
}
