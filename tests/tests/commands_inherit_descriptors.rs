//! A `Command` that inherits the caller's descriptors has those without close-on-exec,
//! under their numbers, and no others.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use anyfork::Command;
use anyfork_tests::births::succeed;

#[anyfork::early]
fn preload() {}

/// A memory file of this text under a number of at least `from`, which exec does not
/// close.
fn inherited(text: &str, from: i32) -> OwnedFd {
    // SAFETY: takes a C string.
    let number = unsafe { libc::memfd_create(c"text".as_ptr(), libc::MFD_CLOEXEC) };
    // SAFETY: it is nobody else's.
    let mut file = unsafe { File::from_raw_fd(number) };
    file.write_all(text.as_bytes()).expect("room");
    // SAFETY: makes a new descriptor.
    let number = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD, from) };
    assert!(number >= from);
    // SAFETY: it is nobody else's.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// What a shell finds under the numbers that these descriptors have here.
fn read_by_shell(command: &mut Command, fds: &[&OwnedFd]) -> String {
    let read = |fd: &&OwnedFd| {
        let number = fd.as_raw_fd();
        // By its path: the offset is this process's, too.
        format!("cat /dev/fd/{number} 2>/dev/null || echo none")
    };
    let script = fds.iter().map(read).collect::<Vec<_>>().join("; ");
    let output = command.args(["-c", &script]).output().blocking();
    String::from_utf8(output.expect("a shell").stdout).expect("text")
}

/// One test, because each would hand its descriptors to the others' programs.
#[test]
fn the_program_has_what_exec_does_not_close() {
    let (one, two) = (inherited("one\n", 50), inherited("two\n", 63));
    let closed = File::open("/etc/passwd")
        .map(OwnedFd::from)
        .expect("a file");
    let all = [&one, &two, &closed];

    let text = read_by_shell(Command::new("sh").inherit_fds(), &all);
    assert_eq!(text, "one\ntwo\nnone\n");

    let text = read_by_shell(&mut Command::new("sh"), &all);
    assert_eq!(text, "none\nnone\nnone\n");

    // One that is given under a number is preferred.
    let other = inherited("other\n", 70);
    let mut command = Command::new("sh");
    command.fd(one.as_raw_fd(), other).inherit_fds();
    assert_eq!(read_by_shell(&mut command, &all), "other\ntwo\nnone\n");

    // As std does it.
    let mut std = std::process::Command::new("sh");
    let number = two.as_raw_fd();
    succeed(std.args(["-c", &format!("grep -q two /dev/fd/{number}")]));
}
