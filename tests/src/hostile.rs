//! What a hostile process of the tests does: it finds anyfork's descriptors among its
//! own, as any code in a worker or an init function can.

use std::fs::File;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::id;

use crate::{descriptors, duplicate, flags};

/// The bytes of `Hello`.
pub const HELLO: [u8; 8] = [3, 1, 0, 0, 0, 0, 0, 0];

/// The write end of this process's status pipe.
pub fn status_pipe() -> File {
    let writes = |number| flags(id(), number) & libc::O_ACCMODE == libc::O_WRONLY;
    duplicate(number_of("pipe:", writes))
}

/// The socket on which this process answers its caller.
pub fn reply_socket() -> UnixStream {
    let duplicate = duplicate(number_of("socket:", |_| true));
    std::os::fd::OwnedFd::from(duplicate).into()
}

fn number_of(kind: &str, fits: impl Fn(i32) -> bool) -> i32 {
    let all = descriptors(id()).into_iter();
    let mut all = all.filter(|(number, link)| *number > 2 && link.starts_with(kind));
    let found = all.find(|(number, _)| fits(*number));
    found.expect("a descriptor of anyfork's").0
}

/// The bytes of a failure's report, which says `message`.
pub fn failure(message: &str) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0];
    bytes.extend((4 * 8 + message.len() as u32).to_le_bytes());
    for text in [message, "", "", ""] {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes
}

/// The bytes of the record of an exit with this status (wait(2)).
pub fn record(status: i32) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[0] = 1;
    bytes[4..8].copy_from_slice(&status.to_le_bytes());
    bytes
}

/// Writes the bytes over and over, until nobody reads them any more.
pub fn write_for_ever(mut to: impl Write, bytes: &[u8]) {
    // Whole pages, which fill a pipe faster than its reader empties it.
    let many = bytes.repeat(4096_usize.div_ceil(bytes.len()));
    loop {
        match to.write_all(&many) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                std::thread::yield_now();
            }
            Err(_) => return,
        }
    }
}

/// Forks a process that does this and exits.
pub fn in_a_fork(work: impl FnOnce()) -> u32 {
    // SAFETY: this process has one thread.
    match unsafe { libc::fork() } {
        0 => {
            work();
            // SAFETY: exits at once.
            unsafe { libc::_exit(0) }
        }
        pid => pid.unsigned_abs(),
    }
}
