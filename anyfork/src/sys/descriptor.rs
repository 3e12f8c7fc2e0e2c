//! Making and closing descriptors.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::fcntl::OFlag;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{AddressFamily, Shutdown, SockFlag, SockType, shutdown, socketpair};
use nix::unistd::pipe2;

/// A connected pair of streams: what a worker and its caller talk over
/// (socketpair(2)).
pub(crate) fn stream_pair() -> io::Result<(UnixStream, UnixStream)> {
    UnixStream::pair()
}

/// A connected pair that keeps messages apart and tells the end of the last
/// sender: what a template is asked over. Neither end ever blocks.
pub(crate) fn message_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (family, kind) = (AddressFamily::Unix, SockType::SeqPacket);
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socketpair(family, kind, None, flags)?)
}

/// Makes every further message of the peer's fail (shutdown(2)). What it has
/// sent before can still be read.
pub(crate) fn stop_receiving(socket: BorrowedFd<'_>) -> io::Result<()> {
    Ok(shutdown(socket.as_raw_fd(), Shutdown::Read)?)
}

/// A pipe, neither end of which ever blocks (pipe(2)): `(read, write)`.
pub(crate) fn status_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?)
}

/// Opens `/dev/null` on each of 0, 1 and 2 that is closed, as std does before
/// `main`: else the next descriptor to be made would be taken for a standard
/// stream.
pub(crate) fn open_standard_streams() -> io::Result<()> {
    loop {
        // The kernel gives the lowest number that is free.
        let null = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null")?;
        if null.as_raw_fd() > 2 {
            return Ok(());
        }
        let number = null.as_raw_fd();
        std::mem::forget(null);
        // SAFETY: the descriptor was opened above and is owned by nobody else.
        if unsafe { libc::fcntl(number, libc::F_SETFD, 0) } == -1 {
            return Err(io::Error::last_os_error());
        }
    }
}

/// Closes every descriptor above 2 but `kept`, which is sorted in place
/// (close_range(2)).
///
/// For a process that has just been forked and has one thread: whoever owns the
/// other descriptors in this address space must not use or drop them again.
pub(crate) fn close_all_but(kept: &mut [RawFd]) -> io::Result<()> {
    kept.sort_unstable();
    let mut first = 3;
    for &fd in kept.iter() {
        close_range(first, fd - 1)?;
        first = fd + 1;
    }
    close_range(first, RawFd::MAX)
}

fn close_range(first: RawFd, last: RawFd) -> io::Result<()> {
    if first > last {
        return Ok(());
    }
    // SAFETY: the caller gives all descriptors in the range up.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// How many descriptors this process has open.
pub(crate) fn open_descriptors() -> io::Result<u64> {
    // One of them reads the folder.
    let entries = std::fs::read_dir("/proc/self/fd")?;
    Ok((entries.count() as u64).saturating_sub(1))
}

/// How many descriptors the process may have: `(soft, hard)`, `RLIMIT_NOFILE`
/// of getrlimit(2).
pub(crate) fn descriptor_limit() -> io::Result<(u64, u64)> {
    Ok(getrlimit(Resource::RLIMIT_NOFILE)?)
}

/// Sets the same.
pub(crate) fn set_descriptor_limit((soft, hard): (u64, u64)) -> io::Result<()> {
    Ok(setrlimit(Resource::RLIMIT_NOFILE, soft, hard)?)
}

/// Reads what is there, up to `buffer`'s length (read(2)).
pub(crate) fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(nix::unistd::read(fd, buffer)?)
}

/// Writes what there is room for (write(2)).
pub(crate) fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    Ok(nix::unistd::write(fd, bytes)?)
}
