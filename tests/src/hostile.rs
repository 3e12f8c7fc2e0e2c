//! What a hostile process of the tests does: it finds anyfork's descriptors among its
//! own, as any code in a worker or an init function can.

use std::fs::File;
use std::io::{PipeReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::id;

use sendfd::SendWithFd;

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
    OwnedFd::from(duplicate).into()
}

fn number_of(kind: &str, fits: impl Fn(i32) -> bool) -> i32 {
    let all = descriptors(id()).into_iter();
    let mut all = all.filter(|(number, link)| *number > 2 && link.starts_with(kind));
    let found = all.find(|(number, _)| fits(*number));
    found.expect("a descriptor of anyfork's").0
}

/// The bytes of `Claim`.
pub const CLAIM: [u8; 8] = [4, 1, 0, 0, 0, 0, 0, 0];

/// The bytes of `Ready`.
pub fn ready(pid: u32) -> [u8; 8] {
    let mut bytes = [1, 1, 0, 0, 0, 0, 0, 0];
    bytes[4..].copy_from_slice(&pid.to_le_bytes());
    bytes
}

/// The bytes of `Failed`, which says `message`.
pub fn failed(message: &str) -> Vec<u8> {
    let mut bytes = vec![2, 1, 7, 0];
    bytes.extend((message.len() as u32 + 4).to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(message.as_bytes());
    bytes
}

/// A pidfd of any process, for which nobody needs any rights (pidfd_open(2)).
pub fn pidfd_of(pid: u32) -> OwnedFd {
    // SAFETY: takes two numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    assert!(fd >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the kernel has just made it for this process.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

/// Sends bytes with descriptors.
pub fn send_with(socket: &UnixStream, bytes: &[u8], fds: &[impl AsFd]) {
    let numbers: Vec<_> = fds.iter().map(|fd| fd.as_fd().as_raw_fd()).collect();
    let sent = socket.send_with_fd(bytes, &numbers);
    assert_eq!(sent.expect("room"), bytes.len());
}

/// A connection that is closed only when all that was sent has been received, or after
/// an hour (`SO_LINGER`, socket(7)); and the end that never receives.
pub fn lingering() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut stream = TcpStream::connect(address).expect("a connection");
    let (other, _) = listener.accept().expect("a connection");
    stream.set_nonblocking(true).expect("it is open");
    while stream.write(&[0; 65536]).is_ok() {}
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 3600,
    };
    // SAFETY: reads from a local of that size.
    let set = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of_val(&linger) as u32,
        )
    };
    assert_eq!(set, 0);
    (stream, other)
}

/// A connection as [`lingering`]'s, whose other end is a process's that stays until the gate
/// is opened.
pub fn lingering_until(mut gate: PipeReader) -> TcpStream {
    let (stream, end) = lingering();
    let (mut closed, tell) = std::io::pipe().expect("a pipe");
    in_a_fork(|| {
        let kept = [end.as_raw_fd(), gate.as_raw_fd(), tell.as_raw_fd()];
        for number in descriptors(id())
            .into_keys()
            .filter(|it| !kept.contains(it))
        {
            // SAFETY: nobody in this process uses it again.
            unsafe { libc::close(number) };
        }
        drop(tell);
        let _ = gate.read_to_end(&mut Vec::new());
    });
    // Or that process would be the last to close the connection.
    let _ = closed.read_to_end(&mut Vec::new());
    stream
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
