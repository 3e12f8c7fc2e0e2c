//! A template has many owners, and spares that anybody of the same user can stop. What
//! one owner sends, or what becomes of the spares, holds up no launch of another, and
//! changes no spares for good.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;

use anyfork::Process;
use anyfork_tests::births::{end, stop};
use anyfork_tests::spares::{until_idle, until_settled, warm};
use anyfork_tests::{Scene, alone, bounded, held, new, release, send_signal, until};

#[anyfork::early]
fn preload() {}

/// What an owner sends that does as it likes: a message of its own on the socket.
fn send_raw(owner: &OwnedFd, message: &[u8]) {
    let socket = UnixDatagram::from(owner.try_clone().unwrap());
    bounded("room for a message", || socket.send(message)).unwrap();
}

/// A template of a test's own with so many spares, its pid, and another owner's end.
fn shared(spares: usize) -> (Process, u32, OwnedFd) {
    let (template, pid) = warm(new(), spares);
    let owner = template.into_fd().unwrap();
    let template = Process::from_fd(owner.try_clone().unwrap()).unwrap();
    (template, pid, owner)
}

#[test]
fn an_empty_message_is_not_the_end() {
    let _alone = alone();
    let scene = Scene::early();
    for spares in [0, 2] {
        let (template, pid, owner) = shared(spares);
        let bystander = held(template.fork());
        for _ in 0..50 {
            send_raw(&owner, b"");
        }
        for _ in 0..5 {
            release(held(template.fork()));
        }
        until_settled(pid, spares, &[bystander.pid()]);
        release(bystander);
        drop((template, owner));
        scene.must_return();
    }
}

/// An empty message is not the end, and the end is, also behind such a message.
#[test]
fn the_end_is_told_after_empty_messages() {
    let _alone = alone();
    let scene = Scene::early();
    for spares in [0, 2] {
        let (template, _, owner) = shared(spares);
        let launch = template.fork().run("hold");
        for _ in 0..10 {
            send_raw(&owner, b"");
        }
        drop((template, owner));
        let worker = bounded("a launch", || launch.blocking()).unwrap();
        release(worker);
        scene.must_return();
    }
}

/// The message of [`Process::keep_warm`], with a time of the sender's choice.
fn set_spares(count: u32, at: u64) -> Vec<u8> {
    let mut message = b"AF\x01\x04".to_vec();
    message.extend(count.to_le_bytes());
    message.extend(at.to_le_bytes());
    message
}

#[test]
fn a_number_from_the_future_is_not_the_last() {
    let _alone = alone();
    let scene = Scene::early();
    for spares in [0, 2] {
        let (template, pid, owner) = shared(spares);
        for at in [u64::MAX, u64::MAX - 1, u64::MAX / 2] {
            send_raw(&owner, &set_spares(3, at));
            until_idle(pid, 3);
            drop(Process::from_fd(owner.try_clone().unwrap()).map(|it| it.keep_warm(1)));
            until_settled(pid, 1, &[]);
        }
        release(held(template.fork()));
        drop((template, owner));
        scene.must_return();
    }
}

#[test]
fn stopped_spares_hold_no_launch_up() {
    let _alone = alone();
    let scene = Scene::early();
    let (template, pid) = warm(new(), 2);
    let bystander = held(template.fork());
    let spares = until_idle(pid, 2);
    spares.iter().for_each(|&it| stop(it));
    for _ in 0..5 {
        let worker = held(template.fork());
        assert!(!spares.contains(&worker.pid()));
        release(worker);
    }
    // They serve again once they go on, and the template leaves it to them.
    spares.iter().for_each(|&it| send_signal(it, libc::SIGCONT));
    until("a spare serves", || {
        let worker = held(template.fork());
        let pid = worker.pid();
        release(worker);
        spares.contains(&pid)
    });
    release(bystander);
    until_settled(pid, 2, &[]);
    drop(template);
    scene.must_return();
}

/// What was to send them away comes back to the template meanwhile.
#[test]
fn stopped_spares_that_are_too_many_end_when_they_go_on() {
    let _alone = alone();
    let scene = Scene::early();
    let (template, pid) = warm(new(), 3);
    let spares = until_idle(pid, 3);
    spares.iter().for_each(|&it| stop(it));
    let template = template.keep_warm(1);
    for _ in 0..3 {
        release(held(template.fork()));
    }
    spares.iter().for_each(|&it| send_signal(it, libc::SIGCONT));
    until_settled(pid, 1, &[]);
    release(held(template.fork()));
    drop(template);
    scene.must_return();
}

#[test]
fn a_stopped_spare_that_is_killed_is_replaced() {
    let _alone = alone();
    let scene = Scene::early();
    let (template, pid) = warm(new(), 1);
    for _ in 0..3 {
        let spare = until_idle(pid, 1)[0];
        stop(spare);
        let launch = template.fork().run("hold");
        end(spare);
        release(bounded("a launch", || launch.blocking()).unwrap());
        until_settled(pid, 1, &[]);
    }
    drop(template);
    scene.must_return();
}

/// Each is answered if it brings a socket to answer on, and closed if it does not.
#[test]
fn messages_of_nonsense_are_thrown_away() {
    let _alone = alone();
    let scene = Scene::early();
    for spares in [0, 2] {
        let (template, pid, owner) = shared(spares);
        let bystander = held(template.fork());
        let (pipe, write) = io::pipe().unwrap();
        for len in [1, 3, 15, 16, 17, 24, 25, 4096, 60_000] {
            let mut message = vec![0xff; len];
            send_raw(&owner, &message);
            message[..len.min(3)].copy_from_slice(&b"AF\x01"[..len.min(3)]);
            send_raw(&owner, &message);
            send_with_fd(&owner, &message, &pipe);
            release(held(template.fork()));
        }
        until_settled(pid, spares, &[bystander.pid()]);
        release(bystander);
        drop((template, owner, pipe, write));
        scene.must_return();
    }
}

fn send_with_fd(owner: &OwnedFd, message: &[u8], fd: &impl AsFd) {
    use sendfd::SendWithFd;
    use std::os::fd::AsRawFd;
    let socket = UnixDatagram::from(owner.try_clone().unwrap());
    let sent = || socket.send_with_fd(message, &[fd.as_fd().as_raw_fd()]);
    let blocked = || sent().is_err_and(|it| it.kind() == io::ErrorKind::WouldBlock);
    until("room for a message", || !blocked());
}
