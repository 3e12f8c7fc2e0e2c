//! A large request brings its arguments in a memory file. What is no sealed memory file of
//! the length that the request says is refused, before anything of it is read, whoever would
//! read it: a worker, a template to come, a program, or the template itself. Nothing else in
//! the protocol is a memory file: results, events and requests of calls are bytes on a socket.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyfork::Process;
use anyfork_tests::spares::{until_settled, warm};
use anyfork_tests::{Scene, SetAtEnd, alone, bounded, held, new, release, status, until};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use sendfd::SendWithFd;

#[anyfork::early]
fn preload() {}

/// Number of bytes that a request says its arguments have.
const LEN: usize = 100_000;

/// The seals that such a file has (fcntl(2)).
const SEALS: i32 = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE | libc::F_SEAL_SEAL;

fn memory(len: usize, seals: i32) -> OwnedFd {
    let name = CString::new("a test's").unwrap();
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut file = File::from(memfd_create(name.as_c_str(), flags).unwrap());
    file.write_all(&vec![7; len]).unwrap();
    fcntl(
        &file,
        FcntlArg::F_ADD_SEALS(SealFlag::from_bits_retain(seals)),
    )
    .unwrap();
    file.into()
}

fn open(path: &str) -> OwnedFd {
    File::open(path).unwrap().into()
}

/// Files, and what the answer says of them. `ends` stay open.
fn files(ends: &mut Vec<OwnedFd>) -> Vec<(&'static str, OwnedFd, &'static str)> {
    let sealed = "sealed memory file";
    let (pipe, writer) = io::pipe().unwrap();
    let (socket, other) = UnixStream::pair().unwrap();
    ends.extend([writer.into(), other.into()]);
    let lacks = |seal: i32| memory(LEN, SEALS & !seal);
    vec![
        ("a device without end", open("/dev/zero"), sealed),
        ("a file", open("/proc/self/exe"), sealed),
        ("a folder", open("/"), sealed),
        ("a pipe that stays empty", pipe.into(), sealed),
        ("a socket", socket.into(), sealed),
        ("one that is not sealed", memory(LEN, 0), sealed),
        ("one that can grow", lacks(libc::F_SEAL_GROW), sealed),
        ("one that can shrink", lacks(libc::F_SEAL_SHRINK), sealed),
        ("one that can change", lacks(libc::F_SEAL_WRITE), sealed),
        ("a shorter one", memory(LEN - 1, SEALS), "99999 bytes"),
        ("an empty one", memory(0, SEALS), "0 bytes"),
        ("a longer one", memory(LEN + 1, SEALS), "100001 bytes"),
    ]
}

/// A request for a process of this kind whose body is in a memory file.
fn request(kind: u8, len: u64) -> Vec<u8> {
    let mut message = vec![b'A', b'F', 1, kind, 1, 0, 0, 0];
    message.extend([0; 8]);
    message.extend(len.to_le_bytes());
    message
}

/// What a template answers to a request with this file.
fn answer(owner: &UnixDatagram, kind: u8, len: u64, file: &OwnedFd) -> String {
    let (mut here, there) = UnixStream::pair().unwrap();
    let (status, writer) = io::pipe().unwrap();
    let (control, _owner) = UnixDatagram::pair().unwrap();
    let mut fds = vec![there.as_raw_fd(), writer.as_raw_fd()];
    if kind == 2 {
        fds.push(control.as_raw_fd());
    }
    fds.push(file.as_raw_fd());
    let sent = || owner.send_with_fd(&request(kind, len), &fds);
    let blocked = || sent().is_err_and(|it| it.kind() == io::ErrorKind::WouldBlock);
    until("room for a message", || !blocked());
    drop((there, writer));
    let mut answer = Vec::new();
    bounded("an answer", || here.read_to_end(&mut answer)).unwrap();
    // The process is gone, and its exit told.
    let mut exit = Vec::new();
    bounded("an exit", || {
        File::from(OwnedFd::from(status)).read_to_end(&mut exit)
    })
    .unwrap();
    assert_eq!(answer.first(), Some(&2), "{answer:?}");
    String::from_utf8_lossy(&answer).into_owned()
}

fn shared(spares: usize) -> (Process, UnixDatagram, u32) {
    let (template, pid) = warm(new(), spares);
    let owner = template.into_fd().unwrap();
    let template = Process::from_fd(owner.try_clone().unwrap()).unwrap();
    (template, owner.into(), pid)
}

fn peak(pid: u32) -> u64 {
    let text = status(pid, "VmHWM");
    text.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn others_are_refused() {
    let _alone = alone();
    let scene = Scene::early();
    for spares in [0, 1] {
        let (template, owner, pid) = shared(spares);
        let bystander = held(template.fork());
        let before = peak(pid);
        for kind in [1, 2, 3] {
            let mut ends = Vec::new();
            for (what, file, expected) in files(&mut ends) {
                let said = answer(&owner, kind, LEN as u64, &file);
                assert!(said.contains(expected), "{kind}, {what}: {said}");
            }
            for len in [1 << 40, u64::MAX] {
                let said = answer(&owner, kind, len, &memory(LEN, SEALS));
                assert!(said.contains("bytes"), "{kind}, {len}: {said}");
            }
        }
        release(held(template.fork()));
        assert!(peak(pid) < before + 4096, "it has read what it refused");
        until_settled(pid, spares, &[bystander.pid()]);
        release(bystander);
        drop((template, owner));
        scene.must_return();
    }
}

/// It shrinks and grows while it is looked at, and nobody dies of it.
#[test]
fn one_that_shrinks_meanwhile_is_refused() {
    let _alone = alone();
    let scene = Scene::early();
    let (template, owner, pid) = shared(1);
    let file = memory(LEN, 0);
    let shrinking = File::from(file.try_clone().unwrap());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let _end = SetAtEnd(&done);
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                shrinking.set_len(0).unwrap();
                shrinking.set_len(LEN as u64).unwrap();
            }
        });
        for kind in [1, 2, 3].repeat(20) {
            let said = answer(&owner, kind, LEN as u64, &file);
            assert!(said.contains("sealed memory file"), "{kind}: {said}");
        }
    });
    release(held(template.fork()));
    until_settled(pid, 1, &[]);
    drop((template, owner, file, shrinking));
    scene.must_return();
}
