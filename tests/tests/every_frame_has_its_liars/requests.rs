//! Liars among the owners of a template.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyfork::Process;
use anyfork_tests::spares::{until_settled, warm};
use anyfork_tests::{Scene, SetAtEnd, bounded, held, new, release, until};
use sendfd::SendWithFd;

use crate::{Frame, REQUESTS, Way, cells, with_bystander};

fn bytes_of(frame: Frame) -> Vec<u8> {
    let mut bytes = vec![b'A', b'F', 1];
    match frame {
        // For a worker, and nothing behind the head.
        Frame::Request => bytes.extend([1, 0, 0, 0, 0].into_iter().chain([0; 16])),
        Frame::SetSpares => bytes.extend([4, 1, 0, 0, 0].into_iter().chain([0xff; 8])),
        Frame::ExitSpare => bytes.extend([5, 0, 0, 0, 0].into_iter().chain([0; 8])),
        _ => unreachable!("of another part"),
    }
    bytes
}

/// Sends a message, if there is room.
fn send(owner: &UnixDatagram, bytes: &[u8], fds: &[i32]) -> bool {
    let sent = owner.send_with_fd(bytes, fds);
    !sent.is_err_and(|it| it.kind() == io::ErrorKind::WouldBlock)
}

#[test]
fn requests() {
    with_bystander(|| {
        let scene = Scene::early();
        for (frame, way) in cells(&REQUESTS) {
            let cell = format!("{frame:?}, {way:?}");
            println!("{cell}");
            let (template, pid) = warm(new(), 1);
            let owner = UnixDatagram::from(template.into_fd().unwrap());
            let template = Process::from_fd(OwnedFd::from(owner.try_clone().unwrap())).unwrap();
            let (bytes, null) = (bytes_of(frame), File::open("/dev/null").unwrap());
            let must_send = |bytes: &[u8], fds: &[i32]| {
                until("there is room", || send(&owner, bytes, fds));
            };
            let done = AtomicBool::new(false);
            thread::scope(|scope| {
                let _end = SetAtEnd(&done);
                match way {
                    Way::Twice => (0..2).for_each(|_| must_send(&bytes, &[])),
                    Way::Half => must_send(&bytes[..bytes.len() / 2], &[]),
                    Way::Endless => drop(scope.spawn(|| {
                        while !done.load(Ordering::Relaxed) {
                            if !send(&owner, &bytes, &[]) {
                                thread::yield_now();
                            }
                        }
                    })),
                    Way::Wrong => must_send(&bytes, &[null.as_raw_fd(); 2]),
                    Way::TooMany => must_send(&bytes, &[null.as_raw_fd(); 250]),
                    _ => must_send(&bytes, &[]),
                }
                for _ in 0..5 {
                    release(bounded(&cell, || held(template.fork())));
                }
            });
            until_settled(pid, 1, &[]);
            release(bounded(&cell, || held(template.fork())));
            drop((template, owner, null));
            scene.must_return();
        }
    });
}
