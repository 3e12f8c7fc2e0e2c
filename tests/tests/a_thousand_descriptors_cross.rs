//! A thousand descriptors go with one call, and come back.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::process::id;

use anyfork::Process;
use anyfork_tests::{bounded, descriptors, set_soft_limit, until};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::{Resource, getrlimit};

#[anyfork::early]
fn preload() {}

const COUNT: usize = 1000;

/// Gives them back, the last one first.
#[anyfork::call]
fn reverse(files: Vec<File>) -> Vec<OwnedFd> {
    files.into_iter().rev().map(Into::into).collect()
}

fn file(number: usize) -> File {
    let mut file = File::from(memfd_create(c"numbered", MFdFlags::MFD_CLOEXEC).unwrap());
    write!(file, "{number}").unwrap();
    file
}

#[test]
fn in_their_order_and_none_is_left() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    assert!(hard >= 4 * COUNT as u64, "the hard limit is {hard}");
    set_soft_limit(id(), libc::RLIMIT_NOFILE, hard).unwrap();
    let process = || {
        let process = Process::new().unwrap();
        process.rlimit(anyfork::Resource::NOFILE, hard, hard)
    };
    // What is opened once stays.
    drop(reverse::call(process(), vec![file(0)]).blocking().unwrap());
    let before = descriptors(id());
    let files = (0..COUNT).map(file).collect();
    let back = bounded("a call", || reverse::call(process(), files).blocking()).unwrap();
    assert_eq!(back.len(), COUNT);
    for (number, fd) in (0..COUNT).rev().zip(back) {
        let (mut file, mut text) = (File::from(fd), String::new());
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, number.to_string());
    }
    // A thread that has sent them closes what it waited with.
    until("none is left", || descriptors(id()) == before);
}
